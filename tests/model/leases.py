"""The model's runs and leases: what people, agents and ticks do to them.

Only the table of `orchestrator.states` is shared with the server: it is the promise itself.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any
from uuid import UUID

from orchestrator.agent_messages import LeaseRef
from orchestrator.states import TERMINAL, By, StateType, default_name, is_held, may_move

LEASE = timedelta(seconds=60)
LOST_AFTER = {True: timedelta(days=1), False: timedelta(minutes=10)}  # by whether the run is local
SEALED = timedelta(hours=30)
LATE = timedelta(seconds=15)
CLOSED = 3  # The rank of a task run that ended because its attempt did.


@dataclass
class Attempt:
    """One claim: its secret, whose it is, how far each of its writers was heard."""

    token: str
    agent: UUID | None
    begun: datetime
    ended: datetime | None = None
    marks: dict[int, tuple[int, timedelta]] = field(default_factory=dict)  # writer → last number, clock offset


@dataclass
class Run:
    """A run and what hangs on it. Leases end at `until`, that of each slot at `slots[target]`."""

    id: UUID
    root: UUID
    type: str = "PENDING"
    name: str = "Pending"
    deployment: Any = None
    due: datetime | None = None
    attempt: int = 0
    run_count: int = 0
    crashes: int = 0
    claims_lost: int = 0
    suspensions: int = 0
    until: datetime | None = None
    slots: dict[UUID, datetime] = field(default_factory=dict)
    attempts: dict[int, Attempt] = field(default_factory=dict)
    lines: list[str] = field(default_factory=list)
    tasks: dict[UUID, tuple[int, tuple[int, int, int], str]] = field(default_factory=dict)

    @property
    def held(self) -> bool:
        return is_held(self.type, self.name)

    @property
    def local(self) -> bool:
        return self.deployment is None

    @property
    def may_go_on(self) -> bool:
        own = self.deployment
        executions = self.run_count - self.suspensions
        return own is not None and (executions <= own.retries or self.crashes < (own.crash_retries or 0))


class Runs:
    """One organization's runs, and who holds them."""

    def __init__(self, limits: dict[UUID, int], priorities: dict[UUID, int]) -> None:
        self.runs: dict[UUID, Run] = {}
        self.keys: dict[str, UUID] = {}
        self.limits = dict(limits)  # slots by pool, queue or deployment
        self.priorities = priorities  # of queues
        self.paused: set[UUID] = set()

    # ── intent ───────────────────────────────────────────────────────────────────────────────────

    def trigger(self, id: UUID, deployment: Any, due: datetime) -> None:
        self.runs[id] = Run(id, id, "SCHEDULED", "Scheduled", deployment, due)

    def cancel(self, run: Run, at: datetime) -> None:
        if run.name == "Unreachable" and run.until:
            run.until = min(run.until, at + LEASE)
        self.move(run, StateType.CANCELLING if run.held else StateType.CANCELLED, By.SERVER)
        self.settle(run, at)

    def mark_late(self, at: datetime) -> None:
        for run in self.runs.values():
            if (run.type, run.name) == ("SCHEDULED", "Scheduled") and run.due < at - LATE:
                run.name = "Late"

    def set_limit(self, target: UUID, slots: int | None) -> None:
        self.limits.pop(target, None)
        if slots is not None:
            self.limits[target] = slots
        else:
            for run in self.runs.values():
                run.slots.pop(target, None)

    # ── claims and leases ────────────────────────────────────────────────────────────────────────

    def claim(self, agent: Any, slots: int, at: datetime) -> list[UUID]:
        """Whom the agent is handed: by queue, then by due time; who must wait for a limit hides nobody."""
        taken: list[UUID] = []
        waiting = [run for run in self.runs.values() if run.type == "SCHEDULED" and self._is_for(agent, run, at)]
        for run in sorted(waiting, key=lambda run: (self.priorities[run.deployment.queue_id], run.due, run.id)):
            limits = [target for target in targets(run) if target in self.limits]
            if len(taken) < slots and all(self.taken(target, at) < self.limits[target] for target in limits):
                taken.append(run.id)
                run.attempt += 1
                run.until, run.slots = at + LEASE, dict.fromkeys(limits, at + LEASE)
                self.move(run, StateType.PENDING, By.SERVER)
        return taken

    def hand_over(self, id: UUID, token: str, agent: Any, at: datetime) -> None:
        """Who was handed a run has its token."""
        run = self.runs[id]
        run.attempts[run.attempt] = Attempt(token, agent.id, at)

    def _is_for(self, agent: Any, run: Run, at: datetime) -> bool:
        pool, queue, _ = targets(run)
        serves = not agent.queues or run.deployment.queue.name in agent.queues
        return pool == agent.pool_id and serves and run.due <= at and not {pool, queue} & self.paused

    def taken(self, target: UUID, at: datetime) -> int:
        """How many slots of a limit are in use."""
        return sum(run.slots.get(target, at) > at for run in self.runs.values())

    def heartbeat(self, agent: Any, refs: Sequence[LeaseRef], at: datetime) -> tuple[list[LeaseRef], set[UUID]]:
        """What is lost, and what shall be cancelled."""
        lost, cancelled, held = [], set(), []
        for ref in refs:
            run = self.runs[ref.run]
            if run.until is None or run.attempt != ref.attempt or run.attempts[ref.attempt].agent != agent.id:
                lost.append(ref)
                continue
            held.append(run)
            run.until, run.slots = (
                at + LEASE,
                {t: at + LEASE if until > at else until for t, until in run.slots.items()},
            )
            self.come_back(run)
            cancelled |= {run.id} if run.type == "CANCELLING" else set()
        self._take_again(held, at + LEASE, at)
        return lost, cancelled

    def _take_again(self, runs: Sequence[Run], until: datetime, at: datetime) -> None:
        """Slots that ran out are held again where nobody else took them, the oldest run's first."""
        for run in sorted(runs, key=lambda run: run.id):
            for target, ended in run.slots.items():
                if ended <= at and self.taken(target, at) < self.limits[target]:
                    run.slots[target] = until

    def end_attempt(self, run: Run, attempt: int, started: bool, at: datetime) -> None:
        if run.attempt == attempt and run.held:
            self._lose(run, at) if started or run.type != "PENDING" else self._give_back(run, at)
            self.settle(run, at)

    def expire(self, at: datetime) -> None:
        for run in [run for run in self.runs.values() if run.until and run.until < at]:
            if run.type in {"RUNNING", "PAUSED"} and run.name != "Unreachable" and not run.may_go_on:
                run.name, run.until = "Unreachable", at + LOST_AFTER[run.local]
            else:
                self._lose(run, at)
            self.settle(run, at)

    def forgive(self, gap: timedelta, at: datetime) -> None:
        """The platform was away for `gap`: that is nobody's silence."""
        for run in self.runs.values():
            if run.until:
                run.until = max(run.until + gap + LEASE, at + LEASE)
                run.slots = {t: until + gap + LEASE if until > at else until for t, until in run.slots.items()}
        self._take_again(list(self.runs.values()), at + gap + LEASE, at)

    def _lose(self, run: Run, at: datetime) -> None:
        if run.type == "CANCELLING":
            self.move(run, StateType.CANCELLED, By.SERVER)
        elif run.type == "PENDING" and not run.local:
            self._give_back(run, at)
        else:
            goes_on = run.type in {"RUNNING", "PAUSED"} and run.may_go_on
            run.crashes += 1
            if goes_on:
                due = at + timedelta(seconds=run.deployment.retry_delay)
                self.move(run, StateType.SCHEDULED, By.SERVER, "AwaitingRetry", due)
            else:
                self.move(run, StateType.CRASHED, By.SERVER)

    def _give_back(self, run: Run, at: datetime) -> None:
        run.claims_lost += 1
        again = run.claims_lost < 3
        due = at + timedelta(seconds=5 * run.claims_lost)
        self.move(run, StateType.SCHEDULED if again else StateType.CRASHED, By.SERVER, due=due)

    # ── state ────────────────────────────────────────────────────────────────────────────────────

    def move(
        self, run: Run, to: StateType, by: By, name: str | None = None, due: datetime | None = None, run_count: int = 0
    ) -> bool:
        """Change the state where the table allows it; the beginning of user code is counted."""
        if not may_move(StateType(run.type), to, by):
            return False
        run.run_count = max(run.run_count + (run.type == "PENDING" and to == "RUNNING"), run_count)
        held = run.held
        run.type, run.name = to.value, name or default_name(to)
        run.suspensions += held and to == "PAUSED" and not run.held
        run.due = (due or run.due) if to == "SCHEDULED" else run.due
        return True

    def come_back(self, run: Run) -> bool:
        """Who was thought lost is heard of again."""
        lost = run.type in {"RUNNING", "PAUSED"} and run.name == "Unreachable"
        run.name = run.type.capitalize() if lost else run.name
        return lost

    def settle(self, run: Run, at: datetime) -> None:
        """Nobody holds a run that is not held: with its lease go its slots, its attempt, what its process ran."""
        if not run.held and run.until:
            run.until, run.slots = None, {}
            run.attempts[run.attempt].ended = at
            self.close(run, run.attempt)
        if run.type in TERMINAL:
            self.close(run, run.attempt)

    def close(self, run: Run, attempt: int) -> None:
        """What an attempt left open ends when the attempt does; the task's own last word still counts."""
        type = "CANCELLED" if run.type in {"CANCELLED", "PAUSED"} and attempt == run.attempt else "CRASHED"
        for each in [each for each in self.runs.values() if each.root == run.id]:
            if each is not run and each.type not in TERMINAL and attempt == run.attempt:
                each.type, each.name = type, type.capitalize()
            for id, (of, order, _) in each.tasks.items():
                if of == attempt and order[1] < CLOSED:
                    each.tasks[id] = (of, (order[0], CLOSED, order[2]), type)


def targets(run: Run) -> tuple[UUID, UUID, UUID]:
    """What a run's limits may stand on."""
    return run.deployment.pool_id, run.deployment.queue_id, run.deployment.id
