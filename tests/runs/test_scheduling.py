"""The tick that makes the runs of schedules, and what becomes of them when a schedule is paused or changed."""

from __future__ import annotations

from datetime import datetime, timedelta

import pytest

from runs import deployments, schedules, scheduling
from runs.models import Deployment, FlowRun, Schedule
from tenants.errors import Invalid
from tests.cast import Company
from tests.runs.work import agent, claim, deploy, in_seconds, moment, trigger
from tests.threads import at_once

# ── the tick ─────────────────────────────────────────────────────────────────────────────────────


def tick(company: Company) -> int:
    with company.scope():
        ids = list(Schedule.objects.values_list("id", flat=True))
        return len(scheduling.create_due_runs(company.organization.id, ids))


def scheduled(company: Company, **schedule: object) -> object:
    return deploy(company, schedule=schedule or {"interval": 10, "anchor": "2026-01-01T00:00:00+00:00"})


def scheduled_for_later(company: Company) -> object:
    """As `scheduled`, by times of which none comes while a test is at work."""
    return scheduled(company, interval=20, anchor=in_seconds(20).isoformat())


def due_times(company: Company) -> list[datetime]:
    with company.scope():
        return list(FlowRun.objects.order_by("due_at").values_list("due_at", flat=True))


@pytest.mark.django_db
def test_runs_are_made_a_minute_ahead_once(acme: Company) -> None:
    scheduled(acme)
    made = tick(acme)

    assert 5 <= made <= 7
    assert tick(acme) in (0, 1)
    times = due_times(acme)
    assert len(set(times)) == len(times)
    assert times[0] > moment() - timedelta(seconds=11)
    assert times[-1] <= in_seconds(60)
    assert all(time.second % 10 == 0 and time.microsecond == 0 for time in times)
    with acme.scope():
        run = FlowRun.objects.first()
        assert (run.origin, run.created_by, run.state_type) == ("schedule", "schedule", "SCHEDULED")
        assert Schedule.objects.get().next_at == times[-1] + timedelta(seconds=10)


@pytest.mark.django_db
def test_a_tick_that_is_repeated_makes_no_double(acme: Company) -> None:
    """As after a crash between the runs and the schedule, which can't be, or by two ticks at once."""
    scheduled(acme)
    with acme.scope():
        before = Schedule.objects.get().next_at
    made = tick(acme)
    with acme.scope():
        Schedule.objects.update(next_at=before)
    assert tick(acme) <= 1
    assert len(due_times(acme)) in (made, made + 1)


@pytest.mark.django_db(transaction=True)
def test_two_ticks_at_once_make_no_double(acme: Company) -> None:
    for number in range(5):
        deploy(acme, f"d{number}", schedule={"interval": 10})
    at_once(*(lambda: tick(acme) for _ in range(4)))
    with acme.scope():
        runs = list(FlowRun.objects.values_list("schedule_id", "due_at"))
    assert len(runs) >= 25
    assert len(set(runs)) == len(runs)


@pytest.mark.django_db
def test_times_missed_while_the_platform_was_away_are_skipped(acme: Company) -> None:
    scheduled(acme)
    with acme.scope():
        Schedule.objects.update(next_at=in_seconds(-86_400))
    tick(acme)

    times = due_times(acme)
    assert times[0] > in_seconds(-75)
    assert len(times) <= 13


@pytest.mark.django_db
def test_what_is_not_due_within_a_minute_waits(acme: Company) -> None:
    deploy(acme, schedule={"interval": 366 * 86_400})
    assert tick(acme) == 0


@pytest.mark.django_db
def test_due_schedules_are_found_for_all_tenants(acme: Company, globex: Company) -> None:
    from tenants.scope import system_scope

    for company in (acme, globex):
        scheduled(company)
    deploy(acme, "rare", schedule={"interval": 366 * 86_400})
    with system_scope():
        found = scheduling.due(limit=10)
    assert {organization for organization, _ in found} == {acme.organization.id, globex.organization.id}
    assert len(found) == 2


@pytest.mark.django_db
def test_what_is_deleted_starts_nothing(acme: Company, globex: Company) -> None:
    from tenants.models import Organization, Workspace
    from tenants.scope import system_scope

    for company in (acme, globex):
        scheduled(company)
    with acme.scope():
        Workspace.objects.update(deleted_at=moment())
    with globex.scope():
        Organization.objects.update(deleted_at=moment())
    with system_scope():
        assert scheduling.due(limit=10) == []


# ── pause, resume, redeploy ──────────────────────────────────────────────────────────────────────


@pytest.mark.django_db
def test_a_pause_withdraws_runs_that_are_not_due_yet(acme: Company) -> None:
    deployment = scheduled_for_later(acme)
    tick(acme)
    (by_hand,) = trigger(acme, deployment, scheduled_at=in_seconds(30))
    with acme.scope():
        due = FlowRun.objects.exclude(id=by_hand).order_by("due_at").first()
        FlowRun.objects.filter(id=due.id).update(due_at=in_seconds(-1))
        deployments.pause(deployment, by=acme.actor())

        assert set(FlowRun.objects.values_list("id", flat=True)) == {by_hand, due.id}
        schedule = Schedule.objects.get()
        assert (schedule.active, schedule.paused_by, schedule.next_at) == (False, "test", None)
    assert tick(acme) == 0


@pytest.mark.django_db
def test_a_run_that_an_agent_holds_is_not_withdrawn(acme: Company) -> None:
    deployment = scheduled(acme)
    tick(acme)
    with acme.scope():
        FlowRun.objects.update(due_at=moment())
    held = {run.run for run in claim(acme, agent(acme), 100)}
    with acme.scope():
        deployments.pause(deployment, by=acme.actor())
        assert set(FlowRun.objects.values_list("id", flat=True)) == held


@pytest.mark.django_db
def test_resume_goes_on_from_now(acme: Company) -> None:
    deployment = scheduled(acme)
    with acme.scope():
        deployments.pause(deployment, by=acme.actor())
        deployments.resume(deployment, by=acme.actor())
        schedule = Schedule.objects.get()
        assert (schedule.active, schedule.paused_by) == (True, "")
        assert schedule.next_at > in_seconds(-1)
    assert tick(acme) > 0


@pytest.mark.django_db
@pytest.mark.parametrize("schedule", [{"interval": 10}, {"cron": "0 6 * * *"}])
def test_a_redeploy_keeps_a_persons_pause(acme: Company, schedule: dict) -> None:
    deployment = deploy(acme, schedule={"interval": 10})
    with acme.scope():
        deployments.pause(deployment, by=acme.actor())
    deploy(acme, schedule=schedule)
    with acme.scope():
        kept = Schedule.objects.get()
        assert (kept.active, kept.paused_by, kept.next_at) == (False, "test", None)
        assert kept.cron == schedule.get("cron", "")
    assert tick(acme) == 0


@pytest.mark.django_db
def test_a_changed_schedule_withdraws_the_runs_of_the_former_times(acme: Company) -> None:
    scheduled_for_later(acme)
    tick(acme)
    deploy(acme, schedule={"cron": "0 6 1 1 *", "timezone": "Europe/Berlin"})
    assert due_times(acme) == []
    with acme.scope():
        assert Schedule.objects.get().next_at.hour == 5


@pytest.mark.django_db
def test_the_same_schedule_again_changes_nothing(acme: Company) -> None:
    scheduled(acme)
    made = tick(acme)
    with acme.scope():
        before = Schedule.objects.values().get()
    scheduled(acme)
    with acme.scope():
        assert Schedule.objects.values().get() == before
        assert FlowRun.objects.count() == made


@pytest.mark.django_db
def test_a_schedule_that_is_deployed_no_more_goes_with_its_runs(acme: Company) -> None:
    scheduled_for_later(acme)
    tick(acme)
    deploy(acme, schedule=None)
    with acme.scope():
        assert not Schedule.objects.exists()
        assert not FlowRun.objects.exists()


@pytest.mark.django_db(transaction=True)
def test_a_redeploy_waits_for_a_tick_and_withdraws_what_it_made(acme: Company) -> None:
    """A tick holds the schedule and is about to commit runs of the former times."""
    import threading

    scheduled_for_later(acme)
    made, leave = threading.Event(), threading.Event()

    def slow_tick() -> None:
        with acme.scope():
            assert tick(acme) > 0
            made.set()
            assert leave.wait(10)

    def redeploy() -> None:
        assert made.wait(10)
        threading.Timer(0.2, leave.set).start()
        deploy(acme, schedule={"interval": 366 * 86_400})

    assert at_once(slow_tick, redeploy) == [None, None]
    assert due_times(acme) == []


@pytest.mark.django_db
def test_a_schedule_needs_every_parameter(acme: Company) -> None:
    schema = {"type": "object", "properties": {"day": {"type": "string"}}, "required": ["day"]}
    with pytest.raises(Invalid) as refused:
        deploy(acme, parameter_schema=schema, schedule={"interval": 60})
    assert refused.value.fields == {"parameters.day": "Required."}
    deploy(acme, parameter_schema=schema, parameters={"day": "monday"}, schedule={"interval": 60})
    assert tick(acme) >= 1


@pytest.mark.django_db
def test_upcoming_times_are_computed_and_bounded(acme: Company) -> None:
    scheduled(acme, cron="* * * * *")
    with acme.scope():
        schedule = Schedule.objects.get()
    assert len(schedules.upcoming(schedule, 3)) == 3
    assert len(schedules.upcoming(schedule, 10**9)) == 100
    schedule.active = False
    assert schedules.upcoming(schedule, 3) == []


# ── after an outage ──────────────────────────────────────────────────────────────────────────────


@pytest.mark.django_db
@pytest.mark.parametrize(("catch_up", "number"), [("skip", 0), ("latest", 1), ("all", 3)])
def test_what_was_missed_is_made_up_for_as_the_schedule_says(acme: Company, catch_up: str, number: int) -> None:
    """2.6: of 24 hours that were missed, none, the last one, or the last three."""
    anchor = in_seconds(-86_400 - 1_800)
    scheduled(acme, interval=3_600, anchor=anchor.isoformat(), catch_up=catch_up, catch_up_max=3)
    with acme.scope():
        Schedule.objects.update(next_at=anchor)
    assert tick(acme) == number
    expected = [anchor + timedelta(hours=24 - back) for back in reversed(range(number))]
    assert due_times(acme) == expected
    with acme.scope():
        assert Schedule.objects.get().next_at == anchor + timedelta(hours=25)
    assert tick(acme) == 0


@pytest.mark.django_db
def test_what_would_be_too_late_at_once_is_not_made(acme: Company) -> None:
    """2.6: of what is made up for, what `skip_if_late` gives up anyway."""
    anchor = in_seconds(-86_400 - 1_800)
    scheduled(acme, interval=3_600, anchor=anchor.isoformat(), catch_up="all", skip_if_late=7_200)
    with acme.scope():
        Schedule.objects.update(next_at=anchor)
    assert tick(acme) == 2


@pytest.mark.django_db
def test_a_clock_that_jumps_makes_no_time_twice(acme: Company) -> None:
    """2.6: an hour forward and back again, as a mended clock does."""
    scheduled(acme)
    with acme.scope():
        schedule = Schedule.objects.get()
        before, at = schedule.next_at, moment()
        for step in (0, 3_600, 0, 30):
            scheduling.take_times(schedule, at + timedelta(seconds=step))
        assert schedule.next_at > before
    made = tick(acme)
    with acme.scope():
        Schedule.objects.update(next_at=before)
    assert tick(acme) <= 1
    times = due_times(acme)
    assert len(set(times)) == len(times) >= made


@pytest.mark.django_db
def test_those_that_are_refused_do_not_keep_the_others_from_their_runs(acme: Company) -> None:
    """2.6: of a set, two schedules whose deployment wants a parameter by now."""
    schema = {"type": "object", "properties": {"day": {"type": "string"}}, "required": ["day"]}
    for number in range(4):
        deploy(acme, f"d{number}", schedule={"interval": 31_536_000, "anchor": in_seconds(30).isoformat()})
    with acme.scope():
        Deployment.objects.filter(name__in=["d1", "d2"]).update(parameter_schema=schema)
    assert tick(acme) == 2
    with acme.scope():
        refused = Schedule.objects.exclude(refusal="").values_list("deployment__name", flat=True)
        assert sorted(refused) == ["d1", "d2"]
