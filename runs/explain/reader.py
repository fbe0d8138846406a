"""For whom it is explained: what of the things that causes name they may see, and what they may do about it."""

from __future__ import annotations

from collections.abc import Collection
from functools import cached_property
from typing import Any
from uuid import UUID

from orchestrator.causes import Action, Thing
from runs.hidden import hidden_deployments
from runs.models import Agent, FlowRun, WorkPool, WorkQueue
from tenants.permissions import Actor, can

UNSEEN = "a run that you may not see"


class Reader:
    """Who asks. What they may not see has no name and no page."""

    def __init__(self, by: Actor) -> None:
        self.by = by
        self._pools: dict[UUID, bool] = {}

    @cached_property
    def hidden(self) -> Collection[UUID]:
        """The deployments whose runs they may not see."""
        return hidden_deployments(self.by)

    def sees(self, pool: WorkPool) -> bool:
        """Whether they may see a pool, its queues and its agents."""
        if pool.id not in self._pools:
            self._pools[pool.id] = can(self.by, "pools.view", pool)
        return self._pools[pool.id]

    def name_of(self, pool: WorkPool) -> str:
        """A pool as a sentence names it."""
        return f"the work pool {pool.name}" if self.sees(pool) else "its work pool"

    def queue_name(self, queue: WorkQueue, pool: WorkPool) -> str:
        """A queue as a sentence names it."""
        return queue.name if self.sees(pool) else "of its own"

    def pool(self, pool: WorkPool) -> list[Thing]:
        """A pool as something that is named."""
        return [Thing("work-pool", pool.id, pool.name, f"pools/{pool.id}")] if self.sees(pool) else []

    def queue(self, queue: WorkQueue, pool: WorkPool) -> list[Thing]:
        """A queue and its pool."""
        own = [Thing("work-queue", queue.id, queue.name, f"pools/{pool.id}")] if self.sees(pool) else []
        return [*own, *self.pool(pool)]

    def agent(self, agent: Agent | None, pool: WorkPool) -> list[Thing]:
        """An agent of a pool."""
        return [Thing("agent", agent.id, agent.name, f"agents/{agent.id}")] if agent and self.sees(pool) else []

    def run(self, run: FlowRun) -> Thing:
        """A run that holds something."""
        if run.deployment_id in self.hidden:
            return Thing("flow-run", None, UNSEEN)
        return Thing("flow-run", run.id, run.name, f"runs/{run.id}")

    def may(self, verb: str, about: Any, label: str, page: str, form: str = "") -> Action | None:
        """What they may do, if they may."""
        return Action(label, page, form) if can(self.by, verb, about) else None
