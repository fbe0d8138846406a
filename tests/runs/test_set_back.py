"""2.6, 2.9: the server's clock is set far ahead and back: no tick comes twice, none is lost, nothing waits for ever."""

from __future__ import annotations

import itertools
import pickle
from collections.abc import Iterator
from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest
from celery.beat import ScheduleEntry, Scheduler

from orchestrator.server import celery, steady
from orchestrator.server.steady import Every, steady_now
from runs import outages, tasks
from runs.claims import lease_time
from runs.models import Agent, BulkOperation, FlowRun, Lease, Schedule
from runs.scheduling import AHEAD
from tests.cast import Company
from tests.model.clock import Clock, ruled_by
from tests.runs.work import agent, claim, deploy, run_row, start, state, trigger

FAR = 3 * 86_400


@pytest.fixture
def clock(valkey: object) -> Iterator[Clock]:
    with ruled_by(Clock()) as clock:
        outages.note_alive()
        yield clock


def tick() -> None:
    tasks.expire_leases()
    tasks.create_scheduled_runs()


def jump(clock: Clock, seconds: int) -> None:
    clock.advance(seconds)
    tick()


def near(company: Company, clock: Clock) -> list[datetime]:
    """The times that runs were made for, of the first day."""
    with company.scope():
        runs = FlowRun.objects.filter(scheduled_at__lt=clock.begun + timedelta(days=1)).order_by("scheduled_at")
        return list(runs.values_list("scheduled_at", flat=True))


# ── schedules ────────────────────────────────────────────────────────────────────────────────────


@pytest.mark.django_db
@pytest.mark.parametrize("catch_up", ["skip", "latest", "all"])
def test_a_schedule_goes_on_when_the_clock_has_come_back(acme: Company, clock: Clock, catch_up: str) -> None:
    """Each time once, whatever was made for times that lie ahead again."""
    deploy(acme, schedule={"interval": 20, "anchor": clock.begun.isoformat(), "catch_up": catch_up})
    for seconds in (0, 10, FAR, 10, -FAR, 10, 10, 30):
        jump(clock, seconds)

    expected = [clock.begun + timedelta(seconds=20 * number) for number in range(1, 7)]
    assert near(acme, clock) == expected
    assert clock.at == clock.begun + timedelta(seconds=70)
    with acme.scope():
        waiting = FlowRun.objects.filter(state_type="SCHEDULED", scheduled_at__gt=clock.at + AHEAD)
        assert not waiting.exists()
        assert Schedule.objects.get().next_at == clock.begun + timedelta(seconds=140)


@pytest.mark.django_db
def test_a_rare_schedule_is_not_silent_for_as_long_as_the_clock_was_ahead(acme: Company, clock: Clock) -> None:
    deploy(acme, schedule={"cron": "0 6 * * *", "timezone": "UTC"})
    for seconds in (0, FAR, -FAR):
        jump(clock, seconds)
    tick()
    with acme.scope():
        assert Schedule.objects.get().next_at == clock.begun + timedelta(hours=6)
    jump(clock, 6 * 3_600)
    assert near(acme, clock) == [clock.begun + timedelta(hours=6)]


@pytest.mark.django_db
def test_a_time_that_was_executed_is_not_executed_again(acme: Company, clock: Clock) -> None:
    """The clock goes back over times whose runs have been there."""
    deploy(acme, schedule={"interval": 20, "anchor": clock.begun.isoformat()})
    for _ in range(6):
        jump(clock, 20)
        claim(acme, agent(acme))
    executed = [clock.begun + timedelta(seconds=20 * number) for number in range(1, 7)]
    for seconds in (-100, 1):
        jump(clock, seconds)
        assert near(acme, clock) == executed


# ── what else a later clock has written ──────────────────────────────────────────────────────────


@pytest.mark.django_db
def test_a_lease_runs_out_although_the_clock_was_ahead(acme: Company, clock: Clock) -> None:
    trigger(acme, deploy(acme))
    (claimed,) = claim(acme, agent(acme))
    start(claimed)
    for seconds in (FAR, -FAR):
        jump(clock, seconds)
    with acme.scope():
        assert clock.at + lease_time() <= Lease.objects.get().expires_at <= clock.at + 2 * lease_time()
    for _ in range(15):
        jump(clock, 9)
    assert state(acme, claimed.run) == ("RUNNING", "Unreachable")


@pytest.mark.django_db
def test_runs_that_were_triggered_by_a_later_clock_are_claimed(acme: Company, clock: Clock) -> None:
    """But what is to start at a time that somebody has chosen starts then."""
    deployment = deploy(acme, retries=1, retry_delay=30)
    by = agent(acme)
    jump(clock, FAR)
    (now,) = trigger(acme, deployment)
    chosen = clock.at + timedelta(days=1)
    (later,) = trigger(acme, deployment, scheduled_at=chosen)
    jump(clock, -FAR)
    assert [run.run for run in claim(acme, by)] == [now]
    assert run_row(acme, later).due_at == chosen


@pytest.mark.django_db
def test_an_agent_that_was_heard_of_by_a_later_clock_is_gone_when_it_is_silent(acme: Company, clock: Clock) -> None:
    jump(clock, FAR)
    by = agent(acme)
    jump(clock, -FAR)
    with acme.scope():
        assert Agent.objects.get(id=by.id).is_connected
    clock.advance(91)
    with acme.scope():
        assert not Agent.objects.get(id=by.id).is_connected


@pytest.mark.django_db
def test_a_bulk_operation_that_was_asked_for_by_a_later_clock_begins(acme: Company, clock: Clock) -> None:
    from runs.bulk import operations

    trigger(acme, deploy(acme))
    jump(clock, FAR)
    with acme.scope():
        operations.begin("cancel", {}, by=replace(acme.actor(), user_id=acme.owner.id))
    jump(clock, -FAR)
    with acme.scope():
        assert BulkOperation.objects.get().begins_at <= clock.at + timedelta(seconds=60)


# ── the beat ─────────────────────────────────────────────────────────────────────────────────────


class Beat(Scheduler):
    """Notes what it would send."""

    def setup_schedule(self) -> None:
        self.sent: list[str] = []
        self.data = {
            name: ScheduleEntry(**entry, name=name, app=self.app)
            for name, entry in celery.app.conf.beat_schedule.items()
        }

    def apply_entry(self, entry: ScheduleEntry, producer: object = None) -> None:
        self.sent.append(entry.name)

    producer = None


def test_the_beat_goes_on_when_the_wall_clock_is_set_back(monkeypatch: pytest.MonkeyPatch) -> None:
    """7.3: once a second, whatever the wall clock says."""
    wall, passed = datetime.now(UTC), 0.0
    monkeypatch.setattr(celery.app, "now", lambda: wall)
    monkeypatch.setattr(steady.time, "monotonic", lambda begun=steady._BEGUN_MONOTONIC: begun + passed)
    beat = Beat(app=celery.app)
    for second in range(1, 31):
        passed, wall = float(second), wall + timedelta(hours=-1 if second == 10 else 0, seconds=1)
        list(itertools.takewhile(lambda wait: not wait, (beat.tick() for _ in range(100))))
    assert beat.sent.count("every 1 s") in (29, 30)
    assert beat.sent.count("every 5 s") in (5, 6)


def test_what_the_file_of_the_beat_says_of_a_time_to_come_is_not_waited_for() -> None:
    kept = pickle.loads(pickle.dumps(Every(3_600)))
    assert kept.is_due(steady_now() + timedelta(days=400)) == (True, 3_600)
    assert not kept.is_due(steady_now() - timedelta(seconds=10)).is_due
    assert kept.is_due(steady_now() - timedelta(seconds=3_601)).is_due


# ── what is done because of the date ─────────────────────────────────────────────────────────────


@pytest.mark.django_db
def test_nothing_that_is_kept_for_days_goes_by_a_clock_that_went_on_by_days(
    clock: Clock, monkeypatch: pytest.MonkeyPatch
) -> None:
    """2.9: not even by a tick that comes before the one that notices; when the clock has come back, all go on."""
    done: list[str] = []
    monkeypatch.setattr(celery, "TICKS", dict.fromkeys(["runs.tasks.forget_firings", "runs.tasks.note_seats"], 7))
    for name in celery.TICKS:
        monkeypatch.setitem(celery.app.tasks, name, lambda name=name: done.append(name))
    clock.advance(FAR)
    celery.take_turns(7)
    tick()
    celery.take_turns(7)
    assert done == ["runs.tasks.note_seats"] * 2
    jump(clock, -FAR)
    celery.take_turns(7)
    assert done == ["runs.tasks.note_seats"] * 2 + ["runs.tasks.forget_firings", "runs.tasks.note_seats"]
