"""1.18: slots against a model of a few lines: never one lost or doubled, first in, first out, whatever happens.

Processes ask, give back, fall silent and come back; limits are raised, lowered, switched off and deleted; answers and
words are lost. A second test has real threads do it all at once.
"""

from __future__ import annotations

import random
from dataclasses import dataclass, field
from functools import partial
from typing import Any
from uuid import UUID

import pytest
from django.db import transaction
from django.db.models import F, Sum
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, rule, run_state_machine_as_test

from orchestrator.ids import uuid7
from orchestrator.slot_bodies import AskInput, LimitInput, SlotsAnswer, SlotsInput
from runs.models import NamedLimit, Slot
from runs.slots import named, queue, words
from runs.slots.exchange import exchange
from tests.cast import Company
from tests.model.profile import ROUNDS, SETTINGS, THREADS_SEED
from tests.threads import at_once

NAMES = ["a", "b", "c", "nothing"]  # The last one is never limited.
PROCESSES = 4
LIFE = 30.0  # seconds for which a process may be silent
WHICH = st.integers(0, 20)
SOME_NAMES = st.lists(st.sampled_from(NAMES), min_size=1, max_size=3, unique=True)


@dataclass
class Wanted:
    """An ask, as it should stand."""

    id: UUID
    process: int
    names: list[str]
    occupy: int
    until: float
    held: bool = False
    told: bool = False  # Its process has heard that it is held.


@dataclass
class Model:
    """What the server should come to, in the order of asking."""

    now: float = 0.0
    limits: dict[str, int | None] = field(default_factory=dict)  # None: inactive
    asks: dict[UUID, Wanted] = field(default_factory=dict)

    def room(self, name: str) -> float:
        return float("inf") if self.limits.get(name) is None else float(self.limits[name] or 0)

    def settle(self) -> None:
        """The dead are gone; what is free goes to who has waited longest."""
        self.asks = {id: ask for id, ask in self.asks.items() if ask.until > self.now}
        blocked: set[str] = set()
        for ask in [each for each in self.asks.values() if not each.held]:
            if any(ask.occupy > self.room(name) for name in ask.names):
                continue
            fits = all(self.used(name) + ask.occupy <= self.room(name) for name in ask.names)
            if fits and blocked.isdisjoint(ask.names):
                ask.held, ask.until = True, self.now + LIFE
            else:
                blocked.update(ask.names)

    def used(self, name: str) -> int:
        return sum(ask.occupy for ask in self.asks.values() if ask.held and name in ask.names)

    def of(self, process: int) -> list[Wanted]:
        return [ask for ask in self.asks.values() if ask.process == process]


class Slots(RuleBasedStateMachine):
    """The server's operations and the model, side by side."""

    def __init__(self, company: Company, told: list[tuple[UUID, UUID]]) -> None:
        super().__init__()
        self.company, self.model, self.told = company, Model(), told
        self.sessions = [uuid7() for _ in range(PROCESSES)]
        self.told.clear()
        self._rolled_back = transaction.atomic()
        self._rolled_back.__enter__()
        for name, slots in zip(NAMES, (1, 3), strict=False):
            self.limit(name, slots)

    def _ask(self, process: int, **more: Any) -> SlotsAnswer:
        told = SlotsInput(session=self.sessions[process], **more)
        answer = exchange(told, by=self.company.actor("agent"))
        for id in answer.granted:
            self._hears(id)
        return answer

    def _hears(self, id: UUID) -> None:
        """A process is told once that it holds its slots, and only if it does."""
        ask = self.model.asks.get(id)
        if ask is not None:
            assert not ask.told, f"{ask} was told twice"
            ask.told = True

    @rule(process=st.integers(0, PROCESSES - 1), names=SOME_NAMES, occupy=st.integers(1, 3), lock=st.booleans())
    def somebody_asks(self, process: int, names: list[str], occupy: int, lock: bool) -> None:
        known = sorted(name for name in names if name in self.model.limits)
        id = uuid7()
        ask = AskInput(id=id, names=names, occupy=occupy)
        refused = any(
            occupy > (self.model.limits[name] or 0) > 0 for name in known if self.model.limits[name] is not None
        )
        if known and not refused:
            self.model.asks[id] = Wanted(id, process, known, occupy, self.model.now + LIFE)
        self.model.settle()
        state = self._ask(process, asks=[ask]).asks[id].state
        if refused:
            assert state == "refused"
        elif not known:
            assert state == "held"
        else:
            mine = self.model.asks[id]
            assert state == ("held" if mine.held else "waiting")
            mine.told = mine.held

    @rule(which=WHICH, lost=st.booleans(), again=st.booleans())
    def somebody_gives_back(self, which: int, lost: bool, again: bool) -> None:
        """What it held, or a place in a queue; the request may be lost, or come twice."""
        asks = list(self.model.asks.values())
        if not asks or lost:
            return
        ask = asks[which % len(asks)]
        del self.model.asks[ask.id]
        self.model.settle()
        for _ in range(1 + again):
            self._ask(ask.process, release=[ask.id])

    @rule(process=st.integers(0, PROCESSES - 1), forgets=st.booleans(), which=WHICH)
    def somebody_is_heard_of(self, process: int, forgets: bool, which: int) -> None:
        """It keeps what it knows of; the answer to one of its asks may have been lost."""
        self.model.settle()
        self._tick()
        own = self.model.of(process)
        if forgets and own:
            del self.model.asks[own.pop(which % len(own)).id]
        for ask in own:
            ask.until = self.model.now + LIFE
        answer = self._ask(process, keep=[ask.id for ask in own])
        self.model.settle()
        own = self.model.of(process)
        assert answer.kept == sorted(ask.id for ask in own if ask.held)
        assert answer.waiting == sorted(ask.id for ask in own if not ask.held)

    @rule(seconds=st.sampled_from([1.0, 9.0, 14.0]))
    def time_passes(self, seconds: float) -> None:
        self.model.now += seconds
        Slot.objects.update(expires_at=F("expires_at") - queue.timedelta(seconds=seconds))

    @rule(name=st.sampled_from(NAMES[:3]), slots=st.one_of(st.none(), st.integers(0, 4)))
    def somebody_sets(self, name: str, slots: int | None) -> None:
        self.limit(name, slots)

    def limit(self, name: str, slots: int | None) -> None:
        before = self.model.limits.get(name) or 1
        self.model.limits[name] = slots
        told = LimitInput(slots=before, active=False) if slots is None else LimitInput(slots=slots, active=True)
        named.set_limit(name=name, told=told, by=self.company.actor())
        self.model.settle()

    @rule(name=st.sampled_from(NAMES[:3]))
    def somebody_deletes(self, name: str) -> None:
        if self.model.limits.pop(name, ...) is not ...:
            named.delete(named.find(self.company.actor(), name=name), by=self.company.actor())
            self.model.settle()

    @rule(which=WHICH)
    def somebody_takes_away(self, which: int) -> None:
        held = [(ask, name) for ask in self.model.asks.values() for name in ask.names if ask.held]
        held = [(ask, name) for ask, name in held if name in self.model.limits]
        if held:
            ask, name = held[which % len(held)]
            del self.model.asks[ask.id]
            limit = named.find(self.company.actor(), name=name)
            named.take_away(limit, ask=ask.id, by=self.company.actor())
            self.model.settle()

    def _tick(self) -> None:
        queue.clear((self.company.workspace.id, "limit", name) for name in NAMES)

    def check(self) -> None:
        """After a tick everything stands as it should, and whoever holds has heard of it."""
        self._tick()
        self.model.settle()
        rows = Slot.objects.order_by("place").values_list("ask", "name", "held_at")
        found = {(ask, name): held_at is not None for ask, name, held_at in rows}
        wanted = {(ask.id, name): ask.held for ask in self.model.asks.values() for name in ask.names}
        assert found == wanted
        for _, id in self.told:
            self._hears(id)
        self.told.clear()
        assert [ask for ask in self.model.asks.values() if ask.held and not ask.told] == []

    def teardown(self) -> None:
        try:
            self.check()
        finally:
            transaction.set_rollback(True)
            self._rolled_back.__exit__(None, None, None)


class CheckedSlots(Slots):
    """Looks after each step."""

    @rule()
    def everything_is_looked_at(self) -> None:
        self.check()


@pytest.fixture
def told(monkeypatch: pytest.MonkeyPatch) -> list[tuple[UUID, UUID]]:
    """Who was told that an ask was granted: (session, ask)."""
    found: list[tuple[UUID, UUID]] = []
    monkeypatch.setattr(words, "tell", lambda workspace, granted=(), lost=(): found.extend(granted))
    return found


@pytest.mark.django_db
def test_slots_do_as_the_model(acme: Company, told: list[tuple[UUID, UUID]]) -> None:
    with acme.scope():
        assert queue.slot_time().total_seconds() == LIFE
        few = settings(SETTINGS, max_examples=max(1, SETTINGS.max_examples // 8))
        run_state_machine_as_test(lambda: CheckedSlots(acme, told), settings=few)


# ── everybody at once ────────────────────────────────────────────────────────────────────────────

LIMITS = {"a": 2, "b": 3, "often": 1}


def change(company: Company) -> None:
    """Change the limit of a rate while others ask for turns of it, and take slots away."""
    by = company.actor()
    for number in range(ROUNDS):
        with company.scope():
            named.set_limit(name="often", told=LimitInput(rate=1_000.0 + number), by=by)
        with company.scope():
            named.reset(named.find(by, name="a"), by=by)


def work(company: Company, seed: int, wrong: list[str]) -> None:
    """Take, give back, take again, by a dice; look whether there are ever too many."""
    dice, session, by = random.Random(seed), uuid7(), company.actor("agent")
    mine: list[UUID] = []
    for _ in range(ROUNDS):
        ask = AskInput(id=uuid7(), names=dice.choice([["a"], ["b"], ["a", "b"]]), within=dice.choice([0, None]))
        turn = AskInput(id=uuid7(), names=["often"], kind="rate")
        release = [mine.pop() for _ in range(dice.randint(0, len(mine)))]
        with company.scope():
            answer = exchange(SlotsInput(session=session, asks=[ask, turn], release=release), by=by)
            if answer.asks[ask.id].state != "busy":
                mine.append(ask.id)
        with company.scope():
            wrong += too_many()
    with company.scope():
        exchange(SlotsInput(session=session, release=mine), by=by)


def too_many() -> list[str]:
    held = Slot.objects.exclude(held_at=None).values("name").annotate(total=Sum("occupy")).order_by()
    return [f"{row['name']}: {row['total']}" for row in held if row["total"] > LIMITS[row["name"]]]


@pytest.mark.django_db(transaction=True)
def test_threads_never_hold_more_than_there_is_and_lose_nothing(acme: Company) -> None:
    """1.18: two web processes are two transactions: whoever comes first, no slot is given out twice."""
    wrong: list[str] = []
    with acme.scope():
        for name, slots in LIMITS.items():
            NamedLimit.objects.create(
                organization=acme.organization, workspace=acme.workspace, name=name, slots=slots, rate=1
            )
    workers = [partial(work, acme, THREADS_SEED + number, wrong) for number in range(5)]
    assert at_once(*workers, partial(change, acme)) == [None] * 6
    assert wrong == []
    with acme.scope():
        assert not Slot.objects.exists()
