"""2.9: The whole server, in process and on real rows, against the model: whatever happens, in whatever order."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from typing import Any
from uuid import UUID

import pytest
from django.db import transaction
from hypothesis import strategies as st
from hypothesis.stateful import (
    RuleBasedStateMachine,
    initialize,
    invariant,
    precondition,
    rule,
    run_state_machine_as_test,
)
from msgspec import UNSET

from orchestrator.agent_messages import LeaseRef
from orchestrator.bodies import LimitsChange
from orchestrator.states import TERMINAL
from orchestrator.wire import Answer
from runs import claims, deleting, deployments, emptying, outages, tasks, trigger
from runs.bulk import operations, working
from runs.bulk.choosing import Kind
from runs.ingest import apply_batch, streams
from runs.limits import set_limit
from runs.messenger import client
from runs.models import FlowRun, WorkPool, WorkQueue
from tenants.errors import Conflict, NotFound
from tenants.permissions import Actor
from tests.cast import Company
from tests.model import rows
from tests.model.clock import Clock, ruled_by
from tests.model.holders import WORDS, Holder, Letter
from tests.model.leases import LEASE, SEALED, Run
from tests.model.many import AT_ONCE, BATCH, Operation
from tests.model.model import Model, Told
from tests.model.profile import SETTINGS
from tests.model.world import Works, equip

DEPLOYMENTS = st.integers(0, 4)
WHICH = st.integers(0, 20)  # Counted from the newest: 0 is the simplest choice.
SIDE = st.sampled_from([0, 0, 0, 1])  # Mostly Acme, sometimes Globex.
FATES = st.sampled_from(["arrives"] * 4 + ["is lost", "is answered in vain", "comes twice", "comes late"])
ENDS = ["COMPLETED", "COMPLETED", "FAILED", "CANCELLED", "handed back"]
KINDS = st.sampled_from(sorted(Kind))
MANY = [[], ["FAILED", "CRASHED", "CANCELLED"], ["RUNNING", "COMPLETED"]]  # States that are asked for; none: all.
LONGEST_DAYS = 6


class Side:
    """One company, its model, and those who hold or held its runs."""

    def __init__(self, works: Works) -> None:
        self.works, self.company = works, works.company
        self.model: Model = works.model()
        self.holders: list[Holder] = []
        self.under_way: list[Letter] = []
        self.final: dict[UUID, dict[str, Any]] = {}

    def holder(self, which: int) -> Holder:
        return self.holders[-1 - which % len(self.holders)]

    def run(self, which: int) -> Run:
        roots = [run for run in self.model.runs.values() if run.id == run.root]
        return roots[-1 - which % len(roots)]


class Platform(RuleBasedStateMachine):
    """Rules are what people, agents, processes, ticks and the network do."""

    def __init__(self, world: list[Works], clock: Clock) -> None:
        super().__init__()
        self.sides = [Side(works) for works in world]
        self.clock = clock
        self.last_word = clock.at  # When the platform last said that it is alive.
        clock.at = clock.begun
        client().delete(outages.ALIVE)
        self._rolled_back = transaction.atomic()
        self._rolled_back.__enter__()
        self._forget_outage()

    @initialize(which=st.lists(DEPLOYMENTS, min_size=1, max_size=5), begun=st.booleans(), aside=st.booleans())
    def something_runs(self, which: list[int], begun: bool, aside: bool) -> None:
        """From nothing, chance alone would seldom come to where it gets interesting."""
        for each in which:
            self.somebody_triggers(0, each, None, 0, "")
        if aside:
            self.somebody_triggers(1, 1, None, 0, "")
        self._claim_and_begin(begun)

    def _claim_and_begin(self, begun: bool) -> None:
        for side in (0, 1):
            for agent in range(3):
                before = len(self.sides[side].holders)
                self.an_agent_claims(side, agent, 3)
                for place in range(len(self.sides[side].holders) - before if begun else 0):
                    self.a_process_writes(side, place, 0, "arrives", ["task begins"], begins=True)

    # ── people ───────────────────────────────────────────────────────────────────────────────────

    @rule(
        side=SIDE, which=DEPLOYMENTS, key=st.sampled_from([None, None, "a", "b"]), wait=st.sampled_from([0, 40]),
        whose=st.sampled_from(["", "ada", "ada", "bob"]),
    )  # fmt: skip
    def somebody_triggers(self, side: int, which: int, key: str | None, wait: int, whose: str) -> None:
        own = self.sides[side]
        deployment = own.works.deployments[which]
        due = claims.now() + wait * claims.timedelta(seconds=1)
        with own.company.scope():
            deployment.refresh_from_db(fields=["on_limit"])
            request = trigger.RunRequest(deployment, scheduled_at=due, idempotency_key=key, concurrency_key=whose)
            run, new = trigger.create_run(request, by=own.company.actor())
        assert new == (key is None or key not in own.model.keys)
        assert new or run.id == own.model.keys[key]
        if new:
            own.model.trigger(run.id, deployment, due, whose, self.clock.at)
            own.model.keys |= {key: run.id} if key else {}

    @rule(side=SIDE, which=WHICH)
    def somebody_cancels(self, side: int, which: int) -> None:
        own = self.sides[side]
        if own.model.runs:
            run = own.run(which)
            with own.company.scope():
                trigger.cancel_runs([run.id], by=own.company.actor())
            own.model.cancel(run, self.clock.at)

    @rule(side=SIDE, which=WHICH)
    def somebody_deletes(self, side: int, which: int) -> None:
        own = self.sides[side]
        if own.model.runs:
            run = own.run(which)
            begun = self._begun(own)
            with own.company.scope():
                left = deleting.delete_runs([run.id], by=own.company.actor())
            is_over, reused = run.type in TERMINAL, own.model.is_reused(run)
            wanted = None if is_over and not reused else "reused" if is_over else "not_ended"
            assert [each.code for each in left.values()] == ([wanted] if wanted else [])
            if wanted is None:
                own.model.delete(run)
            own.model.begun_of_gone += begun - self._begun(own)

    def _begun(self, own: Side) -> int:
        with own.company.scope():
            return FlowRun.objects.filter(started_at__isnull=False).count()

    @rule(side=SIDE, kind=KINDS, states=st.sampled_from(MANY), delay=st.sampled_from([0, 0, 40]))
    def somebody_asks_for_many(self, side: int, kind: str, states: list[str], delay: int) -> None:
        own = self.sides[side]
        wanted = {"state": states} if states else {}
        with own.company.scope():
            if sum(not each.ended for each in own.model.operations) == AT_ONCE:
                with pytest.raises(Conflict):
                    operations.begin(kind, wanted, by=_owner(own.company), delay=delay)
                return
            made, _ = operations.begin(kind, wanted, by=_owner(own.company), delay=delay)
        own.model.operations.append(Operation(made.id, kind, states, self.clock.at, made.begins_at))

    @rule(side=SIDE, which=WHICH)
    def a_batch_is_done(self, side: int, which: int) -> None:
        own = self.sides[side]
        if own.model.operations:
            self._work(own, own.model.operations[-1 - which % len(own.model.operations)])

    def _work(self, own: Side, operation: Operation) -> None:
        if operation.ended or operation.begins > self.clock.at:
            with own.company.scope():
                assert not working.work(operation.id)
            return
        begun, batch = self._begun(own), own.model.due(operation)
        with own.company.scope():
            more = working.work(operation.id)
            made = FlowRun.objects.filter(retry_of__in=[run.id for run in batch]).order_by("created_at", "id")
            retries = dict(made.values_list("retry_of", "id"))
        own.model.work(operation, batch, retries, self.clock.at)
        own.model.begun_of_gone += begun - self._begun(own) if operation.kind == "delete" else 0
        assert more == (not operation.ended)

    @rule(side=SIDE)
    def some_of_what_is_deleted_is_removed(self, side: int) -> None:
        company = self.sides[side].company
        with company.scope():
            emptying.empty(company.organization.id)

    @rule(side=SIDE, which=DEPLOYMENTS, slots=st.sampled_from([1, 2, None]), of_keys=st.booleans())
    def somebody_changes_a_limit(self, side: int, which: int, slots: int | None, of_keys: bool) -> None:
        self._change(side, which, "key" if of_keys else "deployment", slots=slots)

    @rule(side=SIDE, which=DEPLOYMENTS, policy=st.sampled_from(["ENQUEUE", "CANCEL_NEW", "CANCEL_OLD"]))
    def somebody_says_what_a_limit_cancels(self, side: int, which: int, policy: str) -> None:
        self._change(side, which, "deployment", policy=policy)

    def _change(self, side: int, which: int, kind: str, *, slots: Any = UNSET, policy: Any = UNSET) -> None:
        own = self.sides[side]
        deployment = own.works.deployments[which]
        name = {"key": "key_slots", "deployment": "concurrency_limit"}[kind]
        with own.company.scope():
            before = deployments.limits_of(deployment)
            told = LimitsChange(**{name: slots, "on_limit": policy})
            deployments.change_limits(deployment, told=told, by=own.company.actor())
            if before == deployments.limits_of(deployment):
                return
        if slots is not UNSET:
            own.model.set_limit(kind, deployment.id, slots, self.clock.at)
        if policy is not UNSET:
            own.model.policies[deployment.id] = policy
        own.model.cancel_surplus([deployment], self.clock.at)

    @rule(side=SIDE, of=st.sampled_from(["organization", "pool", "queue"]), slots=st.sampled_from([1, 4, None]))
    def somebody_limits_more_than_a_deployment(self, side: int, of: str, slots: int | None) -> None:
        own = self.sides[side]
        first = own.works.deployments[0]
        target = {"organization": own.company.organization, "pool": own.company.pool, "queue": first.queue}[of]
        with own.company.scope():
            set_limit(target, slots)
        own.model.set_limit(of, target.id, slots, self.clock.at)

    @rule()
    def surplus_runs_are_cancelled(self) -> None:
        tasks.cancel_surplus_runs()
        for side in self.sides:
            side.model.cancel_surplus(side.works.deployments, self.clock.at)

    @rule(side=SIDE, queue=st.booleans(), paused=st.sampled_from([False, False, True]))
    def somebody_pauses(self, side: int, queue: bool, paused: bool) -> None:
        own = self.sides[side]
        deployment = own.works.deployments[0]
        kind, id = (WorkQueue, deployment.queue_id) if queue else (WorkPool, deployment.pool_id)
        with own.company.scope():
            kind.objects.filter(id=id).update(paused=paused)
        own.model.paused = own.model.paused | {id} if paused else own.model.paused - {id}

    # ── agents ───────────────────────────────────────────────────────────────────────────────────

    @rule(side=SIDE, which=st.integers(0, 2), slots=st.sampled_from([1, 3, 10]))
    def an_agent_claims(self, side: int, which: int, slots: int) -> None:
        own = self.sides[side]
        agent = own.works.agents[which]
        before = rows.over_the_limit(own.model, self.clock.at)
        with own.company.scope():
            handed = claims.claim(agent, slots=slots)
        assert [each.run for each in handed] == own.model.claim(agent, slots, self.clock.at)
        assert rows.over_the_limit(own.model, self.clock.at) <= before
        for each in handed:
            own.model.hand_over(each.run, each.token, agent, self.clock.at)
            own.holders.append(Holder(each.run, each.attempt, each.token, agent, each.run_count + 1))

    @rule(side=SIDE, which=st.integers(0, 2), of=st.sets(st.integers(0, 5), max_size=4))
    def an_agent_renews(self, side: int, which: int, of: set[int]) -> None:
        """Some of what it held, what it lost, what is another's. A lost answer changes nothing here."""
        own = self.sides[side]
        agent = own.works.agents[which]
        held = [own.holder(each) for each in sorted(of) if own.holders]
        before = rows.over_the_limit(own.model, self.clock.at)
        known = {(each.root, each.attempt): LeaseRef(each.root, each.attempt) for each in held}
        refs = [ref for ref in known.values() if ref.run in own.model.runs or ref.run in own.model.deleted]
        with own.company.scope():
            beat = claims.heartbeat(agent, refs)
        lost, words = own.model.heartbeat(agent, refs, self.clock.at)
        assert rows.over_the_limit(own.model, self.clock.at) <= before
        assert beat.lost == lost
        assert {(signal.run, signal.signal) for signal in beat.signals} == words

    @rule(side=SIDE, which=WHICH, agent=st.sampled_from([0, 0, 0, 1, 2]), started=st.booleans())
    def an_agent_says_that_a_process_is_gone(self, side: int, which: int, agent: int, started: bool) -> None:
        own = self.sides[side]
        if own.holders:
            holder, by = own.holder(which), own.works.agents[agent]
            with own.company.scope():
                ending = {"run_id": holder.root, "attempt": holder.attempt, "started": started}
                if holder.agent != by or holder.root in own.model.deleted:
                    with pytest.raises(NotFound):
                        claims.end_attempt(by, **ending, message="gone")
                    return
                claims.end_attempt(by, **ending, message="gone")
            own.model.end_attempt(own.model.runs[holder.root], holder.attempt, started, self.clock.at)

    # ── holders ──────────────────────────────────────────────────────────────────────────────────

    @rule(side=SIDE, state=st.sampled_from(["RUNNING"] * 4 + ["COMPLETED", "SCHEDULED", "CANCELLING"]), fate=FATES)
    def somebody_runs_a_flow_by_hand(self, side: int, state: str, fate: str) -> None:
        holder = Holder(claims.uuid7())
        holder.begin(state, self.clock.at)
        self.sides[side].holders.append(holder)
        self._send(self.sides[side], holder, 0, fate)

    @rule(side=SIDE, which=WHICH)
    def somebody_takes_the_same_id(self, side: int, which: int) -> None:
        """Perhaps of the other company's run, where it is free; else the first one's token counts."""
        if self.sides[0].holders:
            thief = Holder(self.sides[0].holder(which).root)
            thief.begin("RUNNING", self.clock.at)
            own = self.sides[side]
            before = thief.root in own.model.runs
            self._deliver(own, thief.letter(0, self.clock.at))
            if not before and thief.root in own.model.runs:
                own.holders.append(thief)

    @rule(
        side=SIDE, which=WHICH, number=st.sampled_from([0, 0, 0, 7]), fate=FATES,
        words=st.lists(st.sampled_from(WORDS), max_size=3), begins=st.booleans(),
    )  # fmt: skip
    def a_process_writes(self, side: int, which: int, number: int, fate: str, words: list[str], begins: bool) -> None:
        own = self.sides[side]
        if own.holders:
            holder = own.holder(which)
            if begins and number == 0 and not holder.writers[0].entries:
                holder.say("RUNNING", 0, self.clock.at)
            for word in words:
                holder.say(word, number, self.clock.at)
            self._send(own, holder, number, fate)

    @rule(
        side=SIDE,
        which=WHICH,
        fate=FATES,
        end=st.sampled_from(ENDS),
        words=st.lists(st.sampled_from(WORDS), max_size=2),
    )
    def a_process_comes_to_its_end(self, side: int, which: int, fate: str, end: str, words: list[str]) -> None:
        self.a_process_writes(side, which, 0, fate, [end, *words], begins=True)

    @rule(side=SIDE, which=WHICH, number=st.sampled_from([0, 0, 7]), words=st.lists(st.sampled_from(WORDS), max_size=3))
    def a_superseded_process_writes(self, side: int, which: int, number: int, words: list[str]) -> None:
        own = self.sides[side]
        old = [holder for holder in own.holders if _is_old(own, holder)]
        if old:
            place = own.holders[::-1].index(old[which % len(old)])
            self.a_process_writes(side, place, number, "arrives", words, begins=True)

    @rule(side=SIDE, which=WHICH, number=st.sampled_from([0, 7]))
    def a_letter_overtakes_another(self, side: int, which: int, number: int) -> None:
        own = self.sides[side]
        if own.holders:
            holder = own.holder(which)
            holder.say("log", number, self.clock.at)
            holder.say("log", number, self.clock.at)
            self._deliver(own, holder.letter(number, self.clock.at, skip=1))

    @rule(side=SIDE, which=WHICH)
    def a_late_letter_comes(self, side: int, which: int) -> None:
        own = self.sides[side]
        if own.under_way:
            self._deliver(own, own.under_way[-1 - which % len(own.under_way)])

    @rule(side=SIDE, which=WHICH, how=st.sampled_from(["another token", "another company"]))
    def a_stranger_writes(self, side: int, which: int, how: str) -> None:
        own = self.sides[side]
        if own.holders:
            letter = own.holder(which).letter(0, self.clock.at, token="made up" if "token" in how else None)
            other = own if "token" in how else self.sides[1 - side]
            if letter.head.from_seq == 1 and letter.key:
                return  # That would begin a run.
            self._deliver(other, letter)

    # ── time ─────────────────────────────────────────────────────────────────────────────────────

    @rule(seconds=st.sampled_from([1, 5, 16, 30, 61, 61, 601, 86_401, int(SEALED.total_seconds()) + 1]))
    @precondition(lambda self: (self.clock.at - self.clock.begun).days < LONGEST_DAYS - 1)
    def time_passes(self, seconds: int) -> None:
        """And the platform is there all the while, though its ticks are slow."""
        self.clock.advance(seconds)
        self._forget_outage()

    @rule(seconds=st.sampled_from([9, 11, 61, 601]))
    @precondition(lambda self: (self.clock.at - self.clock.begun).days < LONGEST_DAYS - 1)
    def the_platform_is_away(self, seconds: int) -> None:
        self.clock.advance(seconds)

    @rule(seconds=st.sampled_from([61, 61, 61, 601, 86_401]), begun=st.booleans())
    @precondition(lambda self: (self.clock.at - self.clock.begun).days < LONGEST_DAYS - 1)
    def all_are_silent_and_runs_go_to_the_next(self, seconds: int, begun: bool) -> None:
        """Whoever was given a run before may still speak."""
        self.time_passes(seconds)
        self.leases_are_swept()
        self.time_passes(40)
        self._claim_and_begin(begun)

    @rule()
    def leases_are_swept(self) -> None:
        gap = self.clock.at - self.last_word
        tasks.expire_leases()
        self.last_word = self.clock.at
        for side in self.sides:
            if gap.total_seconds() > outages.NOTICED:
                side.model.forgive(gap, self.clock.at)
            side.model.expire(self.clock.at)

    @rule()
    def late_runs_are_marked(self) -> None:
        tasks.mark_late_runs()
        for side in self.sides:
            side.model.mark_late(self.clock.at)

    # ── what has to be so ────────────────────────────────────────────────────────────────────────

    @invariant()
    def rows_are_as_they_should_be(self) -> None:
        for side in self.sides:
            with side.company.scope():
                found, leases = rows.runs(), rows.leases()
            rows.compare(side.model, found, leases)
            rows.judge(found, leases)
            for id, former in side.final.items():
                assert id not in side.model.runs or found[id] == former, "a terminal state is final"
            side.final = {id: row for id, row in found.items() if row["type"] in TERMINAL}

    def teardown(self) -> None:
        """Everybody vanishes. Then nobody holds anything, and all that was told is there once."""
        try:
            for _ in range(3):
                self.clock.advance(86_401)
                self._forget_outage()
                self.leases_are_swept()
            for side in self.sides:
                self._bring_to_an_end(side)
            self.rows_are_as_they_should_be()
            for side in self.sides:
                with side.company.scope():
                    found = rows.runs()
                    rows.compare_operations(side.model)
                    assert {row["type"] for row in found.values()} <= TERMINAL | {"SCHEDULED", "PAUSED"}
                    assert not rows.leases()
                    rows.compare_journals(side.model)
                    rows.compare_usage(found, side.model)
        finally:
            transaction.set_rollback(True)
            self._rolled_back.__exit__(None, None, None)

    def _bring_to_an_end(self, side: Side) -> None:
        """What was asked for is done, and what was deleted is removed."""
        for operation in side.model.operations:
            while not operation.ended:
                self._work(side, operation)
        with side.company.scope():
            while emptying.empty(side.company.organization.id) is not None:
                pass

    # ── the network ──────────────────────────────────────────────────────────────────────────────

    def _send(self, own: Side, holder: Holder, number: int, fate: str) -> None:
        letter = holder.letter(number, self.clock.at)
        if fate in {"is lost", "comes late", "comes twice"}:
            own.under_way.append(letter)
        if fate in {"is lost", "comes late"}:
            return
        told = self._deliver(own, letter)
        if fate != "is answered in vain" and told.acked is not None:
            holder.writers[number].acked = told.acked

    def _deliver(self, own: Side, letter: Letter) -> Told:
        told = _told(letter, apply_batch(letter.body, actor=_actor(own.company, letter)))
        wanted = own.model.journal(letter.head, letter.entries, letter.sent_at, self.clock.at, key=letter.key)
        assert told == wanted, f"the server says {told} and should say {wanted}"
        return told

    def _forget_outage(self) -> None:
        self.last_word = self.clock.at
        client().set(outages.ALIVE, f"{self.clock.at.timestamp():.3f}")


def _is_old(own: Side, holder: Holder) -> bool:
    run = own.model.runs.get(holder.root)
    return run is not None and holder.attempt < run.attempt


def _actor(company: Company, letter: Letter) -> Actor:
    if letter.key:
        return company.actor()
    run = {"run_id": letter.head.root, "attempt": letter.head.attempt}
    return Actor("run", company.organization.id, company.workspace.id, "run", "run", **run)


def _owner(company: Company) -> Actor:
    own = {"user_id": company.owner.id, "organization_role": "owner"}
    return Actor("user", company.organization.id, company.workspace.id, "owner", "owner", **own)


def _told(letter: Letter, answer: Answer) -> Told:
    stream = letter.head.id
    assert answer.acked.keys() | answer.expected.keys() | {each.stream for each in answer.rejected} <= {stream}
    rejected = sorted((each.seq, each.code) for each in answer.rejected)
    signals = [each.signal for each in answer.signals]
    return Told(answer.acked.get(stream), answer.expected.get(stream), rejected, *signals)


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Iterator[Clock]:
    """The one clock of the server; ticks that fail say so."""

    def fail(*arguments: object) -> None:
        raise AssertionError("a tick failed") from sys.exception()

    monkeypatch.setattr(streams, "SEALED_AFTER", SEALED)
    monkeypatch.setattr(working, "BATCHES", dict.fromkeys(working.BATCHES, BATCH))
    monkeypatch.setattr(emptying, "ROWS", 3)
    monkeypatch.setattr(tasks.logger, "exception", fail)
    with ruled_by(Clock()) as ruling:
        yield ruling


@pytest.mark.django_db
def test_the_server_does_as_the_model(acme: Company, globex: Company, clock: Clock) -> None:
    assert claims.lease_time() == LEASE
    world = [equip(acme), equip(globex)]
    run_state_machine_as_test(lambda: Platform(world, clock), settings=SETTINGS)
