"""2.6: changes of the clock in ten zones, against times that were worked out by hand from the zones' offsets."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest

from orchestrator.schedule_times import Times, last_times, preview, times_after

# The zone; a time of day that one day lacks; that time on the day before, the day and the day after, UTC, by the clock
# before the change; and the moment of the change, at which a cron makes up for it.
SKIPPED = [
    ("Europe/Berlin", "02:30", "03-28 01:30", "03-29 01:30", "03-30 00:30", "03-29 01:00"),
    ("Europe/London", "01:30", "03-28 01:30", "03-29 01:30", "03-30 00:30", "03-29 01:00"),
    ("America/New_York", "02:30", "03-07 07:30", "03-08 07:30", "03-09 06:30", "03-08 07:00"),
    ("America/Los_Angeles", "02:30", "03-07 10:30", "03-08 10:30", "03-09 09:30", "03-08 10:00"),
    ("America/St_Johns", "02:30", "03-07 06:00", "03-08 06:00", "03-09 05:00", "03-08 05:30"),
    ("Australia/Sydney", "02:30", "10-02 16:30", "10-03 16:30", "10-04 15:30", "10-03 16:00"),
    ("Australia/Lord_Howe", "02:15", "10-02 15:45", "10-03 15:45", "10-04 15:15", "10-03 15:30"),
    ("Pacific/Auckland", "02:30", "09-25 14:30", "09-26 14:30", "09-27 13:30", "09-26 14:00"),
    ("Asia/Jerusalem", "02:30", "03-26 00:30", "03-27 00:30", "03-27 23:30", "03-27 00:00"),
    ("America/Santiago", "00:30", "09-05 04:30", "09-06 04:30", "09-07 03:30", "09-06 04:00"),
]
# The zone; a time of day that one day has twice; that time on the day before, the first on the day, on the day after.
TWICE = [
    ("Europe/Berlin", "02:30", "10-24 00:30", "10-25 00:30", "10-26 01:30"),
    ("Europe/London", "01:30", "10-24 00:30", "10-25 00:30", "10-26 01:30"),
    ("America/New_York", "01:30", "10-31 05:30", "11-01 05:30", "11-02 06:30"),
    ("America/Los_Angeles", "01:30", "10-31 08:30", "11-01 08:30", "11-02 09:30"),
    ("America/St_Johns", "01:30", "10-31 04:00", "11-01 04:00", "11-02 05:00"),
    ("Australia/Sydney", "02:30", "04-03 15:30", "04-04 15:30", "04-05 16:30"),
    ("Australia/Lord_Howe", "01:45", "04-03 14:45", "04-04 14:45", "04-05 15:15"),
    ("Pacific/Auckland", "02:30", "04-03 13:30", "04-04 13:30", "04-05 14:30"),
    ("Asia/Jerusalem", "01:30", "10-23 22:30", "10-24 22:30", "10-25 23:30"),
    ("America/Santiago", "23:30", "04-04 02:30", "04-05 02:30", "04-06 03:30"),
]


def utc(text: str) -> datetime:
    return datetime.fromisoformat(f"2026-{text}").replace(tzinfo=UTC)


def three(schedule: Times, first: str) -> list[str]:
    found = times_after(schedule, utc(first) - timedelta(seconds=1))
    return [f"{next(found):%m-%d %H:%M}" for _ in range(3)]


def cron(zone: str, at: str) -> Times:
    return Times("cron", cron=f"{int(at[3:])} {int(at[:2])} * * *", timezone=zone)


def rule(zone: str, at: str) -> Times:
    return Times("rrule", rrule=f"FREQ=DAILY;BYHOUR={at[:2]};BYMINUTE={at[3:]}", timezone=zone)


def days(zone: str, first: str) -> Times:
    return Times("interval", interval=86_400, anchor=utc(first) - timedelta(days=7), timezone=zone)


@pytest.mark.parametrize(("zone", "at", "before", "on", "after", "change"), SKIPPED, ids=[row[0] for row in SKIPPED])
def test_a_time_that_a_day_lacks(zone: str, at: str, before: str, on: str, after: str, change: str) -> None:
    assert three(rule(zone, at), before) == [before, on, after]
    assert three(days(zone, before), before) == [before, on, after]
    assert three(cron(zone, at), before) == [before, change, after]


@pytest.mark.parametrize(("zone", "at", "before", "on", "after"), TWICE, ids=[row[0] for row in TWICE])
def test_a_time_that_a_day_has_twice_is_due_once(zone: str, at: str, before: str, on: str, after: str) -> None:
    for schedule in (rule(zone, at), days(zone, before), cron(zone, at)):
        assert three(schedule, before) == [before, on, after]


@pytest.mark.parametrize("zone", [row[0] for row in SKIPPED if row[0] != "Australia/Lord_Howe"])
def test_every_half_hour_goes_on_through_both_changes(zone: str) -> None:
    half = [
        Times("cron", cron="*/30 * * * *", timezone=zone),
        Times("rrule", rrule="FREQ=MINUTELY;INTERVAL=30", timezone=zone),
        Times("rrule", rrule="FREQ=HOURLY;BYMINUTE=0,30", timezone=zone),
        Times("interval", interval=1_800, timezone=zone),
    ]
    for first in (*(row[2] for row in SKIPPED if row[0] == zone), *(row[2] for row in TWICE if row[0] == zone)):
        begin = utc(first).replace(minute=0)
        expected = [begin + timedelta(minutes=30 * number) for number in range(1, 97)]
        for schedule in half:
            found = times_after(schedule, begin)
            assert [next(found) for _ in expected] == expected, schedule


def test_each_minute_of_a_clock_that_is_changed_by_half_an_hour() -> None:
    """Lord Howe, 5 April, 02:00 is 01:30 again: the 45th minute comes twice, half an hour apart."""
    rule = Times("rrule", rrule="FREQ=HOURLY;BYMINUTE=45", timezone="Australia/Lord_Howe")
    found = times_after(rule, utc("04-04 13:50"))
    assert [f"{next(found):%H:%M}" for _ in range(3)] == ["14:45", "15:15", "16:15"]


def test_a_day_that_a_zone_leaves_out() -> None:
    """Samoa went from 29 to 31 December 2011: what was meant for the 30th is due as if the clock had gone on."""
    noon = Times("rrule", rrule="DTSTART:20110101T220000Z\nRRULE:FREQ=DAILY", timezone="Pacific/Apia")
    found = times_after(noon, datetime(2011, 12, 29, tzinfo=UTC))
    assert [f"{next(found):%m-%d %H}" for _ in range(3)] == ["12-29 22", "12-30 22", "12-31 22"]


def test_an_interval_that_is_no_number_of_days_is_as_long_as_ever() -> None:
    twelve = Times("interval", interval=43_200, anchor=utc("10-24 06:00"), timezone="Europe/Berlin")
    assert three(twelve, "10-24 18:00") == ["10-24 18:00", "10-25 06:00", "10-25 18:00"]


def test_a_preview_says_what_the_clock_does() -> None:
    told = preview(cron("Europe/Berlin", "06:00"), utc("10-24 00:00"), 3)
    assert [each["local"] for each in told] == [
        "2026-10-24T06:00:00+02:00", "2026-10-25T06:00:00+01:00", "2026-10-26T06:00:00+01:00"
    ]  # fmt: skip
    assert [(each["zone"], each["clock"]) for each in told] == [("CEST", ""), ("CET", "back by 1 h"), ("CET", "")]
    assert preview(cron("Europe/Berlin", "06:00"), utc("03-28 12:00"), 1)[0]["clock"] == "forward by 1 h"


def test_the_last_times_before_a_moment() -> None:
    daily = cron("Europe/Berlin", "06:00")
    found = last_times(daily, utc("01-01 00:00"), utc("10-26 12:00"), 3)
    assert [f"{at:%m-%d %H}" for at in found] == ["10-24 04", "10-25 05", "10-26 05"]
    assert len(last_times(daily, utc("10-25 05:00"), utc("10-26 12:00"), 3)) == 2
    assert last_times(daily, utc("10-26 05:01"), utc("10-26 12:00"), 3) == []
