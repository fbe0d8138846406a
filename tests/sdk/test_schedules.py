"""2.6: Schedules as descriptions."""

import datetime as dt
from zoneinfo import ZoneInfo

import pytest

from orchestrator.schedules import Cron, Interval, check_cron, choose, from_json


@pytest.mark.parametrize(
    "cron", ["* * * * *", "*/5 0-6,22 1,15 jan-mar MON-fri", "0 0 L * *", "0 9 * * 1#1", "0 0 * * 7", "5/10 * * * *"]
)
def test_cron_expressions_that_are_taken(cron):
    check_cron(cron)


@pytest.mark.parametrize(
    ("cron", "why"),
    [
        ("* * * *", "has 4 fields"),
        ("60 * * * *", "minute '60' is not between 0 and 59"),
        ("* 24 * * *", "hour"),
        ("* * 0 * *", "day of the month"),
        ("* * * 13 *", "month"),
        ("* * * * 8", "day of the week"),
        ("*/0 * * * *", "step of 0"),
        ("5-1 * * * *", "runs backwards"),
        ("x * * * *", "not between"),
        ("1,,2 * * * *", "can't be read"),
        ("@daily", "1 fields"),
    ],
)
def test_cron_expressions_that_are_refused(cron, why):
    with pytest.raises(ValueError, match=why):
        check_cron(cron)


def test_schedules_travel_as_json():
    cron = Cron("0 6 * * *", timezone="Europe/Berlin", day_or=False)
    assert from_json(cron.to_json()) == cron
    anchor = dt.datetime(2026, 1, 1, 12)
    told = Interval(dt.timedelta(hours=1), anchor=anchor, timezone="Europe/Berlin").to_json()
    assert told == {"interval": 3600.0, "anchor": "2026-01-01T11:00:00+00:00", "timezone": "Europe/Berlin"}
    read = from_json(told)
    assert isinstance(read, Interval)
    assert read.anchor == anchor.replace(tzinfo=ZoneInfo("Europe/Berlin"))
    with pytest.raises(ValueError, match="an `rrule`"):
        from_json({"timezone": "UTC"})


def test_what_makes_no_sense_is_refused():
    with pytest.raises(ValueError, match="no timezone"):
        Cron("* * * * *", timezone="Mars/Olympus")
    with pytest.raises(ValueError, match="between 1 second"):
        Interval(0.1)
    with pytest.raises(ValueError, match="not several"):
        choose("* * * * *", 5, None)
