"""The model's runs and leases: what people, agents and ticks do to them.

Only the table of `orchestrator.states` is shared with the server: it is the promise itself.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any
from uuid import UUID

from orchestrator.agent_messages import LeaseRef
from orchestrator.states import TERMINAL, WISHES, By, StateType, default_name, is_held, may_move

LEASE = timedelta(seconds=60)
LOST_AFTER = {True: timedelta(days=1), False: timedelta(minutes=10)}  # by whether the run is local
SEALED = timedelta(hours=30)
LATE = timedelta(seconds=15)
UNDER_WAY = {"PENDING", "RUNNING", "PAUSED", "CANCELLING"}
Target = tuple[str, UUID, str]
"""The kind of a limit, what it stands on, and the key, if it is one by keys."""
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
    scheduled: datetime | None = None
    made: datetime | None = None
    retry_of: UUID | None = None
    replay_root: UUID | None = None
    key: str = ""
    attempt: int = 0
    run_count: int = 0
    crashes: int = 0
    claims_lost: int = 0
    suspensions: int = 0
    until: datetime | None = None
    slots: dict[Target, datetime] = field(default_factory=dict)
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

    def __init__(self, limits: dict[tuple[str, UUID], int], priorities: dict[UUID, int]) -> None:
        self.runs: dict[UUID, Run] = {}
        self.keys: dict[str, UUID] = {}
        self.limits = dict(limits)  # slots by kind and target
        self.policies: dict[UUID, str] = {}  # of deployments
        self.priorities = priorities  # of queues
        self.paused: set[UUID] = set()

    # ── intent ───────────────────────────────────────────────────────────────────────────────────

    def trigger(
        self, id: UUID, deployment: Any, due: datetime, key: str, at: datetime, *, retries: Run | None = None
    ) -> None:
        run = self.runs[id] = Run(id, id, "SCHEDULED", "Scheduled", deployment, due, due, at, key=key)
        if retries is not None:
            run.retry_of, run.replay_root = retries.id, retries.replay_root or retries.id
        if due <= at:
            self.cancel_surplus([deployment], at)

    def cancel(self, run: Run, at: datetime) -> None:
        if run.name == "Unreachable" and run.until:
            run.until = min(run.until, at + LEASE)
        self.move(run, StateType.CANCELLING if run.held else StateType.CANCELLED, By.SERVER)
        self.settle(run, at)

    def mark_late(self, at: datetime) -> None:
        for run in self.runs.values():
            if (run.type, run.name) == ("SCHEDULED", "Scheduled") and run.due < at - LATE:
                run.name = "Late"

    def set_limit(self, kind: str, target: UUID, slots: int | None, at: datetime) -> None:
        """What is under way counts, though nobody asked when it began."""
        is_new = self.limits.pop((kind, target), None) is None
        if slots is not None:
            self.limits[kind, target] = slots
        for run in self.runs.values():
            for each in [each for each in targets(run) if each[:2] == (kind, target)] if not run.local else []:
                if slots is None:
                    run.slots.pop(each, None)
                elif is_new and run.held:
                    run.slots[each] = at if run.name == "Unreachable" else run.until

    # ── claims and leases ────────────────────────────────────────────────────────────────────────

    def claim(self, agent: Any, slots: int, at: datetime) -> list[UUID]:
        """Whom the agent is handed, in the order of their turns; who must wait for a limit hides nobody."""
        there = [run for run in self.runs.values() if run.type == "SCHEDULED"]
        there = [run for run in there if run.deployment.pool_id == agent.pool_id]
        self.cancel_surplus({run.deployment.id: run.deployment for run in there}.values(), at)
        taken: list[UUID] = []
        waiting = [run for run in there if run.type == "SCHEDULED" and self._is_for(agent, run, at)]
        for run in self._in_turn([run for run in waiting if self._has_room(run, at)]):
            if len(taken) < slots and self._has_room(run, at):
                taken.append(run.id)
                run.attempt += 1
                run.until, run.slots = at + LEASE, dict.fromkeys(self._limited(run), at + LEASE)
                self.move(run, StateType.PENDING, By.SERVER)
        return taken

    def _limited(self, run: Run) -> list[Target]:
        return [each for each in targets(run) if each[:2] in self.limits]

    def _has_room(self, run: Run, at: datetime) -> bool:
        return all(self.taken(each, at) < self.limits[each[:2]] for each in self._limited(run))

    def _in_turn(self, waiting: list[Run]) -> list[Run]:
        """By queue, then by age; keys of a deployment take turns, and go before nobody who has waited longer."""
        places: dict[tuple[UUID, UUID], list[Run]] = {}
        for run in waiting:
            places.setdefault((run.deployment.queue_id, run.deployment.id), []).append(run)
        line = [each for place in places.values() for each in self._take_turns(place)]
        return [
            run for *_, run in sorted(line, key=lambda each: (self.priorities[each[-1].deployment.queue_id], *each))
        ]

    def _take_turns(self, place: list[Run]) -> list[tuple[datetime, int, UUID, Run]]:
        own = [run for run in self.runs.values() if run.type in UNDER_WAY and run.deployment == place[0].deployment]
        several = len({run.key for run in place}) > 1
        before = {run.key: several * sum(each.key == run.key for each in own) for run in place}
        fair = []
        for run in sorted(place, key=lambda run: (run.due, run.id)):
            before[run.key] += 1
            fair.append((before[run.key], run.due, run.id, run))
        order = [run for *_, run in sorted(fair, key=lambda each: each[:3])]
        return [(max(each.due for each in order[: n + 1]), n, run.id, run) for n, run in enumerate(order)]

    def cancel_surplus(self, deployments: Iterable[Any], at: datetime) -> None:
        """Deployments that have no slot for runs cancel them, where they want that."""
        for kind in ("deployment", "key"):
            for own in sorted(deployments, key=lambda own: own.id):
                slots, policy = self.limits.get((kind, own.id)), self.policies.get(own.id, "ENQUEUE")
                groups: dict[Target, list[Run]] = {}
                for run in sorted(self.runs.values(), key=lambda run: (run.scheduled or at, run.id)):
                    for each in [] if run.deployment != own else [each for each in targets(run) if each[0] == kind]:
                        if run.slots.get(each, at) > at or (run.type == "SCHEDULED" and run.due <= at):
                            groups.setdefault(each, []).append(run)
                for target, alive in groups.items() if slots and policy != "ENQUEUE" else ():
                    for run in surplus(alive, target, slots, policy, at):
                        self.cancel(run, at)

    def hand_over(self, id: UUID, token: str, agent: Any, at: datetime) -> None:
        """Who was handed a run has its token."""
        run = self.runs[id]
        run.attempts[run.attempt] = Attempt(token, agent.id, at)

    def _is_for(self, agent: Any, run: Run, at: datetime) -> bool:
        serves = not agent.queues or run.deployment.queue.name in agent.queues
        return serves and run.due <= at and not {run.deployment.pool_id, run.deployment.queue_id} & self.paused

    def taken(self, target: Target, at: datetime) -> int:
        """How many slots of a limit are in use."""
        return sum(run.slots.get(target, at) > at for run in self.runs.values())

    def heartbeat(
        self, agent: Any, refs: Sequence[LeaseRef], at: datetime
    ) -> tuple[list[LeaseRef], set[tuple[UUID, str]]]:
        """What is lost, and what shall be cancelled or paused."""
        lost, words, held = [], set(), []
        for ref in refs:
            run = self.runs.get(ref.run)
            held_by = run and run.until and run.attempt == ref.attempt and run.attempts[ref.attempt].agent
            if run is None or held_by != agent.id:
                lost.append(ref)
                continue
            held.append(run)
            run.until, run.slots = (
                at + LEASE,
                {t: at + LEASE if until > at else until for t, until in run.slots.items()},
            )
            self.come_back(run)
            words |= {(run.id, word) for word in [wish_of(run)] if word}
        self._take_again(held, at + LEASE, at)
        return lost, words

    def _take_again(self, runs: Sequence[Run], until: datetime, at: datetime) -> None:
        """Slots that ran out are held again where nobody else took them, the oldest run's first."""
        for run in sorted(runs, key=lambda run: run.id):
            for target, ended in run.slots.items():
                if ended <= at and self.taken(target, at) < self.limits[target[:2]]:
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
        begins = run.type == "PENDING" and to == "RUNNING"
        run.claims_lost = 0 if begins else run.claims_lost
        run.run_count = max(run.run_count + begins, run_count)
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


def wish_of(run: Run) -> str | None:
    """What its holder is asked to do."""
    return "cancel" if run.type == "CANCELLING" else WISHES.get(run.name) if run.type == "RUNNING" else None


def targets(run: Run) -> list[Target]:
    """What a run's limits may stand on."""
    own = run.deployment
    found = [("organization", own.organization_id), ("pool", own.pool_id), ("queue", own.queue_id)]
    found += [("deployment", own.id)] + [("key", own.id)] * bool(run.key)
    return [(kind, id, run.key if kind == "key" else "") for kind, id in found]


def surplus(alive: list[Run], target: Target, slots: int, policy: str, at: datetime) -> list[Run]:
    """Which are too many, of runs in the order of their age."""
    if policy == "CANCEL_OLD":
        return alive[: max(len(alive) - slots, 0)]
    new = [run for run in alive if run.slots.get(target, at) <= at and run.attempt == 0]
    return new[max(slots - (len(alive) - len(new)), 0) :]
