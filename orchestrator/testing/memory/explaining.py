"""Why a run waits: the same causes, in the same order and words, as the server's."""

from __future__ import annotations

from collections.abc import Collection, Iterator
from datetime import timedelta
from typing import Any
from uuid import UUID

import msgspec

from orchestrator import clock
from orchestrator.agent_messages import SERVED, minor_version, takes_queue
from orchestrator.causes import (
    MOST,
    PARTED,
    STUCK,
    Action,
    Cause,
    Code,
    Explanation,
    Thing,
    cause,
    debounced,
    number,
    pace,
    shown,
    start_command,
    times,
    under_way,
)
from orchestrator.states import StateType
from orchestrator.testing.memory import explaining_held, room, runs
from orchestrator.testing.memory.agents import held_by, is_connected
from orchestrator.testing.memory.asked import Asked
from orchestrator.testing.memory.definitions import Agent, Deployment, Pool, Queue
from orchestrator.testing.memory.rows import Run
from orchestrator.testing.memory.shown import PORTAL, time_of
from orchestrator.testing.memory.store import Store

LATELY = 900_000_000  # µs
HOLDERS = 5


def explain(store: Store, asked: Asked, verbs: Collection[str]) -> dict[str, Any]:
    """The causes for which a run waits, for somebody who may do `verbs`."""
    run = runs.find(store, asked.id)
    told = Explanation() if run.is_final else of_root(store, store.runs[run.root_id], verbs)
    if told.causes and not run.is_root:
        root = store.runs[run.root_id]
        part = cause(Code.PART_OF, root=root.name, things=[Thing("flow-run", root.id, root.name, f"runs/{root.id}")])
        told = msgspec.structs.replace(told, causes=[part, *told.causes])
    return shown(told, run=run.id, state=run.state_type, name=run.state_name, portal=PORTAL)


def of_root(store: Store, root: Run, verbs: Collection[str]) -> Explanation:
    """Why an execution waits, or one that is imagined would."""
    if root.is_final:
        return Explanation()
    if root.state_type != StateType.SCHEDULED:
        return Explanation(causes=explaining_held.holder_waits(store, root, verbs))
    if root.deployment is None:
        told = cause(Code.RETRY_DELAY, since=time_of(root.state_at), until=time_of(root.due_at))
        return Explanation(causes=[told])
    causes = list(_Waiting(store, root, root.deployment, verbs).causes())
    is_due = root.due_at is not None and root.due_at <= clock.now()
    before = _before(store, root, root.deployment) if is_due else None
    at, why = _expected(store, root, causes, before)
    return Explanation(causes=causes, before=before, expected_at=time_of(at), estimate=why)


class _Waiting:
    """A run in its queue, and what decides about it."""

    def __init__(self, store: Store, run: Run, deployment: Deployment, verbs: Collection[str]) -> None:
        self.store, self.run, self.deployment, self.verbs = store, run, deployment, verbs
        self.pool: Pool = store.pools[deployment.pool]
        self.queue: Queue = store.queues[deployment.pool, run.queue]
        agents = [agent for agent in store.agents.values() if agent.pool == deployment.pool]
        self.agents = sorted(agents, key=lambda agent: -agent.last_seen_at)
        self.names: dict[str, Any] = {"pool": f"the work pool {self.pool.name}", "queue": self.queue.name}

    def causes(self) -> list[Cause]:
        """The cause that decides first."""
        if self.run.start_by is not None and self.run.start_by <= clock.now() and self.run.started_at is None:
            by = time_of(self.run.start_by)
            return [cause(Code.TOO_LATE, since=by, by=f"{by:%Y-%m-%d %H:%M:%S}")]
        found = [*self._time(), *self._paused(), *self._agents()]
        if not self.run.due_at or self.run.due_at > clock.now():
            return found
        found += self._limits()
        if PARTED.isdisjoint(each.code for each in found):
            found += self._busy()
        return found or [cause(Code.NEXT_CLAIM)]

    def _time(self) -> Iterator[Cause]:
        run, since, until = self.run, time_of(self.run.state_at), time_of(self.run.due_at)
        if not run.due_at or run.due_at <= clock.now():
            return
        if run.state_name == "AwaitingRetry":
            yield cause(Code.RETRY_DELAY, since=since, until=until)
        elif run.debounce_until and not run.attempt and until and (latest := time_of(run.debounce_until)):
            yield debounced(until, latest, run.debounced)
        elif run.claims_lost:
            yield cause(Code.GIVEN_BACK, since=since, until=until, times=times(run.claims_lost))
        else:
            yield cause(Code.NOT_DUE, until=until)

    def _paused(self) -> Iterator[Cause]:
        for row, code, label, things in (
            (self.pool, Code.POOL_PAUSED, "Resume the pool", self._pool()),
            (self.queue, Code.QUEUE_PAUSED, "Resume the queue", self._queue()),
        ):
            if row.paused:
                who = f" by {row.paused_by}" if row.paused_by else ""
                action, since = self._may("pools.edit", label), time_of(row.paused_at)
                yield cause(code, since=since, things=things, action=action, by=who, **self.names)

    def _agents(self) -> Iterator[Cause]:
        connected = [agent for agent in self.agents if is_connected(agent)]
        serving = [agent for agent in connected if self._serves(agent)]
        python = self.deployment.facts["python"]
        if serving:
            found = {_version(agent) for agent in serving}
            if python and python not in found:
                there = ", ".join(sorted(found))
                yield cause(Code.OTHER_PYTHON, things=self._pool(), python=python, found=there)
            return
        told: dict[str, Any] = {"action": self._may("pools.view", "Look at its agents"), **self.names}
        command = start_command(self.pool.name)
        if self.queue.name.startswith(SERVED):
            last = next((agent.last_seen_at for agent in self.agents if self._serves(agent)), None)
            yield cause(Code.NOT_SERVED, since=time_of(last), things=self._pool(), **told)
        elif connected:
            command = start_command(self.pool.name, self.queue.name)
            yield cause(Code.QUEUE_NOT_SERVED, things=self._queue(), command=command, **told)
        elif not self.agents:
            yield cause(Code.NO_AGENT, things=self._pool(), command=command, **told)
        else:
            last = self.agents[0]
            things = [_agent(last), *self._pool()]
            told |= {"since": time_of(last.last_seen_at), "agent": last.name, "command": command}
            yield cause(Code.AGENTS_LOST, things=things, **told)

    def _serves(self, agent: Agent) -> bool:
        return takes_queue(agent.facts["queues"], self.queue.name)

    def _limits(self) -> Iterator[Cause]:
        held = [run for run in self.store.runs.values() if run.deployment is not None and self.store.held(run)]
        in_pool = [run for run in held if run.deployment and run.deployment.pool == self.pool.name]
        own = [run for run in held if run.deployment is self.deployment]
        in_queue = [run for run in in_pool if run.queue == self.queue.name]
        name = self.deployment.full_name
        deployment = Thing("deployment", self.deployment.id, name, f"deployments/{self.deployment.id}")
        change = self._may("pools.edit", "Change the limit")
        key_slots = self.deployment.facts["key_slots"] if self.run.key else None
        for code, slots, holders, things, action in (
            (Code.POOL_LIMIT, self.pool.limit, in_pool, self._pool(), change),
            (Code.QUEUE_LIMIT, self.queue.limit, in_queue, self._queue(), change),
            (Code.DEPLOYMENT_LIMIT, self.deployment.facts["concurrency_limit"], own, [deployment], None),
            (Code.KEY_LIMIT, key_slots, [run for run in own if run.key == self.run.key], [deployment], None),
        ):
            if slots is not None and len(holders) >= slots:
                used = {"slots": number(slots, "run"), "used": under_way(len(holders)), "deployment": name}
                told = {**_holders(holders, things), **used, "key": self.run.key, **self.names}
                yield cause(code, action=action, **told)

    def _busy(self) -> Iterator[Cause]:
        python = self.deployment.facts["python"]
        connected = [agent for agent in self.agents if is_connected(agent)]
        fit = [agent for agent in connected if self._serves(agent) and python in ("", _version(agent))]
        if all(len(held_by(self.store, agent)) >= agent.facts["slots"] for agent in fit):
            slots = number(sum(agent.facts["slots"] for agent in fit), "slot")
            action, command = self._may("pools.view", "Look at its agents"), start_command(self.pool.name)
            things = [_agent(agent) for agent in fit[:3]]
            yield cause(Code.AGENTS_BUSY, things=things, action=action, slots=slots, command=command)

    def _pool(self) -> list[Thing]:
        return [Thing("work-pool", self.pool.id, self.pool.name, f"pools/{self.pool.id}")]

    def _queue(self) -> list[Thing]:
        return [Thing("work-queue", self.queue.id, self.queue.name, f"pools/{self.pool.id}"), *self._pool()]

    def _may(self, verb: str, label: str) -> Action | None:
        return Action(label, f"pools/{self.pool.id}") if verb in self.verbs else None


def _version(agent: Agent) -> str:
    return minor_version(agent.facts["python"])


def _agent(agent: Agent) -> Thing:
    return Thing("agent", agent.id, agent.name, f"agents/{agent.id}")


def _holders(held: list[Run], things: list[Thing]) -> dict[str, Any]:
    """Who holds the slots, whoever has held one longest first."""
    held = sorted(held, key=lambda run: run.attempts[run.attempt].created_at)[:HOLDERS]
    if not held:
        return {"things": things}
    return {
        "things": [*things, *(Thing("flow-run", run.id, run.name, f"runs/{run.id}") for run in held)],
        "since": time_of(held[0].attempts[held[0].attempt].created_at),
        "until": time_of(min(run.lease.expires_at for run in held if run.lease)),
    }


def _before(store: Store, run: Run, deployment: Deployment) -> int:
    """How many runs of the pool are claimed before this one."""

    def place(each: Run) -> tuple[int, int, int, UUID]:
        return (store.queues[deployment.pool, each.queue].priority, -each.priority, each.due_at or 0, each.id)

    waiting = [
        each
        for each in store.runs.values()
        if each.state_type == StateType.SCHEDULED and each.deployment and each.deployment.pool == deployment.pool
        and each.due_at is not None and each.due_at <= clock.now() and place(each) < place(run)
        and not store.queues[deployment.pool, each.queue].paused
        and (each.deployment is deployment or room.has_room(store, each))
    ]  # fmt: skip
    return min(len(waiting), MOST)


def _expected(store: Store, run: Run, causes: list[Cause], before: int | None) -> tuple[int | None, str]:
    codes = {each.code for each in causes}
    at = clock.now()
    if codes & STUCK:
        return None, "Unknown: it starts when this is mended."
    if before is None:
        return run.due_at, "When it is due, if an agent has a free slot then."
    if codes == {Code.NEXT_CLAIM} and not before:
        return at, "Any moment now."
    own = Code.DEPLOYMENT_LIMIT in codes
    every = [each for each in store.runs.values() if each.deployment and run.deployment]
    same = [each for each in every if each.deployment is run.deployment or (not own and _same_pool(each, run))]
    began = [a.created_at for each in same for a in each.attempts.values() if a.created_at > at - LATELY]
    seconds = (at - min(began)) / 1_000_000 if began else 0.0
    whose = "its deployment" if own else "its pool"
    waits, why = pace(before, len(began), seconds, whose)
    return None if waits is None else at + waits // timedelta(microseconds=1), why


def _same_pool(each: Run, run: Run) -> bool:
    return each.deployment is not None and run.deployment is not None and each.deployment.pool == run.deployment.pool
