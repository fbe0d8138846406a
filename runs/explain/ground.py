"""What decides about runs that are due: their pools and queues, who serves these, and which limits are full."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass, field
from datetime import datetime
from uuid import UUID

from django.db.models import Count
from django.utils.timezone import now

from orchestrator.agent_messages import minor_version, takes_queue
from runs.models import Agent, FlowRun, Lease, Limit, WorkQueue
from runs.reads.pools import held_slots

MAX_AGENTS = 1_000  # of one pool, those heard of last


@dataclass(frozen=True, slots=True)
class Full:
    """A limit without a free slot."""

    id: UUID
    slots: int
    used: int


@dataclass(slots=True)
class Ground:
    """The facts about some runs, read by a bounded number of queries however many they are."""

    at: datetime
    queues: dict[UUID, WorkQueue] = field(default_factory=dict)
    agents: dict[UUID, list[Agent]] = field(default_factory=dict)  # by pool, whoever was heard of last first
    held: dict[UUID, int] = field(default_factory=dict)  # slots, by agent
    full: dict[UUID, Full] = field(default_factory=dict)  # by target
    full_keys: dict[tuple[UUID, str], Full] = field(default_factory=dict)  # by deployment and key

    def connected(self, pool_id: UUID) -> list[Agent]:
        """The agents of a pool that are heard of."""
        return [agent for agent in self.agents.get(pool_id, ()) if agent.is_connected]

    def is_busy(self, agent: Agent) -> bool:
        """Whether all slots of an agent are used."""
        return self.held.get(agent.id, 0) >= agent.slots


def serves(agent: Agent, queue: str) -> bool:
    """Whether an agent takes runs of a queue: those that it names; all but what is served, where it names none."""
    return takes_queue(agent.queues, queue)


def runs_python(agent: Agent, python: str) -> bool:
    """Whether an agent can load code that was made by this version of Python; any, if it is ""."""
    return python in ("", version(agent))


def version(agent: Agent) -> str:
    """The Python of an agent as code is tied to it: `3.12`."""
    return minor_version(agent.python)


def survey(runs: Collection[FlowRun]) -> Ground:
    """Read what decides about these runs."""
    ground = Ground(now())
    ground.queues = WorkQueue.objects.in_bulk({run.queue_id for run in runs if run.queue_id})
    _read_agents(ground, {run.pool_id for run in runs if run.pool_id})
    _read_limits(ground, {id for run in runs for id in _targets(run) if id})
    return ground


def _read_agents(ground: Ground, pools: set[UUID]) -> None:
    most = MAX_AGENTS * len(pools)
    for agent in Agent.objects.filter(pool__in=pools).defer("load").order_by("-last_seen_at", "name")[:most]:
        ground.agents.setdefault(agent.pool_id, []).append(agent)
    ground.held = held_slots([agent.id for pool in pools for agent in ground.connected(pool)])


def _targets(run: FlowRun) -> tuple[UUID | None, ...]:
    return run.organization_id, run.pool_id, run.queue_id, run.deployment_id


def _read_limits(ground: Ground, targets: set[UUID]) -> None:
    limits = list(Limit.objects.filter(kind__in=Limit.Kind.values, target_id__in=targets))
    live = Lease.objects.filter(limit__in=limits, expires_at__gt=ground.at) if limits else Lease.objects.none()
    counts = live.values_list("limit_id", "key").annotate(number=Count("id")).order_by()
    used = {(limit, key): number for limit, key, number in counts}
    for limit in limits:
        if limit.kind == Limit.Kind.KEY:
            for (id, key), number in used.items():
                if id == limit.id and number >= limit.slots:
                    ground.full_keys[limit.target_id, key] = Full(id, limit.slots, number)
        elif (number := used.get((limit.id, ""), 0)) >= limit.slots:
            ground.full[limit.target_id] = Full(limit.id, limit.slots, number)
