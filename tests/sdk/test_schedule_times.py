"""2.6: when schedules are due, right through changes of the clock."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest

from orchestrator.schedule_times import ScheduleRefusal, Times, check, next_time, times_after

NOW = datetime(2026, 2, 3, tzinfo=UTC)


def cron(expression: str, zone: str = "UTC", **more: bool) -> Times:
    return Times("cron", cron=expression, timezone=zone, **more)


def every(seconds: float, anchor: datetime | None = None, zone: str = "UTC") -> Times:
    return Times("interval", interval=seconds, anchor=anchor, timezone=zone)


def utc(text: str) -> datetime:
    return datetime.fromisoformat(text).replace(tzinfo=UTC)


def times(schedule: Times, after: str, number: int) -> list[str]:
    found = times_after(schedule, utc(after))
    return [f"{next(found):%m-%d %H:%M}" for _ in range(number)]


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
            assert next_time(schedule, after) > after


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
        (cron("every day"), "cron"),
        (cron(""), "cron"),
        (cron("61 * * * *"), "cron"),
        (cron("* * * * * * *"), "cron"),
        (cron("0 0 30 2 *"), "cron"),
        (cron("0 0 31 2 1", day_or=False), "cron"),
        (cron("0 0 * * MON#9"), "cron"),
        (cron("0 6 * * *", "Mars/Olympus"), "timezone"),
        (cron("0 6 * * *", ""), "timezone"),
        (cron("0 6 * * *", "../../etc/passwd"), "timezone"),
        (cron("0 6 * * *", "Europe"), "timezone"),
        (cron("0 6 * * *", "a\x00b"), "timezone"),
        (every(0), "interval"),
        (every(0.5), "interval"),
        (every(-60), "interval"),
        (every(1e12), "interval"),
        (every(float("nan")), "interval"),
    ],
)
def test_what_has_no_next_time_is_refused(schedule: Times, field: str) -> None:
    with pytest.raises(ScheduleRefusal) as refused:
        check(schedule, NOW)
    assert list(refused.value.fields) == [field]
