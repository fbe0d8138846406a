"""Schedules: when they are due, and the tick that makes their runs."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest

from runs import deployments, scheduling
from runs.models import FlowRun, Schedule
from tenants.errors import Invalid
from tests.cast import Company
from tests.runs.work import agent, claim, deploy, in_seconds, moment, trigger
from tests.threads import at_once


def cron(expression: str, zone: str = "UTC", **more: object) -> Schedule:
    return Schedule(kind="cron", cron=expression, timezone=zone, **more)


def every(seconds: float, anchor: datetime | None = None) -> Schedule:
    return Schedule(kind="interval", interval=seconds, anchor=anchor)


def utc(text: str) -> datetime:
    return datetime.fromisoformat(text).replace(tzinfo=UTC)


def times(schedule: Schedule, after: str, number: int) -> list[str]:
    found: list[str] = []
    at = utc(after)
    for _ in range(number):
        at = scheduling.next_time(schedule, at)
        found.append(f"{at:%m-%d %H:%M}")
    return found


# ── times ────────────────────────────────────────────────────────────────────────────────────────


def test_cron_follows_the_wall_clock_of_its_zone() -> None:
    berlin = cron("0 6 * * 1-5", "Europe/Berlin")
    assert times(berlin, "2026-01-09 12:00", 2) == ["01-12 05:00", "01-13 05:00"]
    assert times(berlin, "2026-07-10 12:00", 1) == ["07-13 04:00"]
    assert times(cron("30 9 * * *", "Asia/Kolkata"), "2026-01-01 00:00", 1) == ["01-01 04:00"]


def test_a_time_that_the_clock_skips_in_spring_is_made_up_for() -> None:
    """Berlin, 29 March 2026: 02:00 CET is 03:00 CEST."""
    assert times(cron("30 2 * * *", "Europe/Berlin"), "2026-03-27 12:00", 3) == [
        "03-28 01:30",
        "03-29 01:00",
        "03-30 00:30",
    ]


def test_a_time_that_comes_twice_in_autumn_runs_once() -> None:
    """Berlin, 25 October 2026: 03:00 CEST is 02:00 CET again."""
    assert times(cron("30 2 * * *", "Europe/Berlin"), "2026-10-24 12:00", 2) == ["10-25 00:30", "10-26 01:30"]


def test_every_half_hour_goes_on_through_both_changes() -> None:
    half = cron("*/30 * * * *", "Europe/Berlin")
    for day in ("2026-03-29", "2026-10-25"):
        expected = [f"{utc(day) + timedelta(minutes=30 * number):%m-%d %H:%M}" for number in range(1, 9)]
        assert times(half, f"{day} 00:00", 8) == expected


@pytest.mark.parametrize("zone", ["Europe/Berlin", "America/New_York", "Australia/Lord_Howe"])
@pytest.mark.parametrize("expression", ["30 2 * * *", "15 1,2,3 * * *", "5 1-3 * * *", "0 */2 * * *"])
def test_the_next_time_is_always_later(zone: str, expression: str) -> None:
    schedule = cron(expression, zone)
    for change in ("2026-03-08 04:00", "2026-03-28 22:00", "2026-04-04 12:00", "2026-10-24 22:00", "2026-11-01 02:00"):
        for minutes in range(0, 600, 20):
            after = utc(change) + timedelta(minutes=minutes)
            assert scheduling.next_time(schedule, after) > after


def test_day_and_weekday_one_or_both() -> None:
    """The 13th, a Friday: either of them, as cron has it, or both."""
    either, both = cron("0 0 13 * 5"), cron("0 0 13 * 5", day_or=False)
    assert times(either, "2026-03-10 00:00", 3) == ["03-13 00:00", "03-20 00:00", "03-27 00:00"]
    assert times(both, "2026-03-10 00:00", 2) == ["03-13 00:00", "11-13 00:00"]


def test_intervals_count_from_their_anchor() -> None:
    hourly = every(3600, anchor=utc("2026-01-01 00:10"))
    assert times(hourly, "2026-03-01 12:00", 2) == ["03-01 12:10", "03-01 13:10"]
    assert times(hourly, "2026-03-01 12:10", 1) == ["03-01 13:10"]
    assert times(hourly, "2025-12-31 22:00", 1) == ["12-31 22:10"]
    assert times(every(90), "2026-01-01 00:00", 2) == ["01-01 00:01", "01-01 00:03"]


def test_an_interval_is_as_long_in_october() -> None:
    daily = every(86_400, anchor=utc("2026-10-20 06:00"))
    assert times(daily, "2026-10-24 12:00", 2) == ["10-25 06:00", "10-26 06:00"]


@pytest.mark.parametrize(
    ("schedule", "field"),
    [
        (cron("every day"), "schedule.cron"),
        (cron(""), "schedule.cron"),
        (cron("61 * * * *"), "schedule.cron"),
        (cron("* * * * * * *"), "schedule.cron"),
        (cron("0 0 30 2 *"), "schedule.cron"),
        (cron("0 0 31 2 1", day_or=False), "schedule.cron"),
        (cron("0 0 * * MON#9"), "schedule.cron"),
        (cron("0 6 * * *", "Mars/Olympus"), "schedule.timezone"),
        (cron("0 6 * * *", ""), "schedule.timezone"),
        (cron("0 6 * * *", "../../etc/passwd"), "schedule.timezone"),
        (cron("0 6 * * *", "Europe"), "schedule.timezone"),
        (cron("0 6 * * *", "a\x00b"), "schedule.timezone"),
        (every(0), "schedule.interval"),
        (every(0.5), "schedule.interval"),
        (every(-60), "schedule.interval"),
        (every(1e12), "schedule.interval"),
        (every(float("nan")), "schedule.interval"),
    ],
)
def test_what_has_no_next_time_is_refused(schedule: Schedule, field: str) -> None:
    with pytest.raises(Invalid) as refused:
        scheduling.check(schedule)
    assert list(refused.value.fields) == [field]


def test_upcoming_times_are_computed_and_bounded() -> None:
    schedule = cron("* * * * *", active=True)
    assert len(scheduling.upcoming(schedule, 3)) == 3
    assert len(scheduling.upcoming(schedule, 10**9)) == 100
    schedule.active = False
    assert scheduling.upcoming(schedule, 3) == []


# ── the tick ─────────────────────────────────────────────────────────────────────────────────────


def tick(company: Company) -> int:
    with company.scope():
        ids = list(Schedule.objects.values_list("id", flat=True))
        return len(scheduling.create_due_runs(company.organization.id, ids))


def scheduled(company: Company, **schedule: object) -> object:
    return deploy(company, schedule=schedule or {"interval": 10, "anchor": "2026-01-01T00:00:00+00:00"})


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
    deployment = scheduled(acme)
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
    scheduled(acme)
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
    scheduled(acme)
    tick(acme)
    deploy(acme, schedule=None)
    with acme.scope():
        assert not Schedule.objects.exists()
        assert not FlowRun.objects.exists()


@pytest.mark.django_db(transaction=True)
def test_a_redeploy_waits_for_a_tick_and_withdraws_what_it_made(acme: Company) -> None:
    """A tick holds the schedule and is about to commit runs of the former times."""
    import threading

    scheduled(acme)
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
