"""2.6: schedules in plain words."""

from __future__ import annotations

import pytest

from orchestrator.schedule_times import Times
from orchestrator.schedule_words import in_words


@pytest.mark.parametrize(
    ("cron", "words"),
    [
        ("0 9 * * 1-5", "Every weekday at 09:00"),
        ("0 6 * * mon-fri", "Every weekday at 06:00"),
        ("0 8 * * MON,WED,FRI", "Every Monday, Wednesday, and Friday at 08:00"),
        ("0 0 * * 0", "Every Sunday at 00:00"),
        ("0 9,17 * * *", "Every day at 09:00 and 17:00"),
        ("*/15 * * * *", "Every 15 minutes"),
        ("*/7 * * * *", "Every seventh minute of every hour"),  # Which begins anew with each hour.
        ("0 */6 * * *", "Every 6 hours"),
        ("* * * * *", "Every minute"),
        ("0 * * * *", "Every hour"),
        ("5 * * * *", "Every hour at :05"),
        ("30 2 1 * *", "On the first day of every month at 02:30"),
        ("0 9 * * 1#1", "On the first Monday of the month at 09:00"),
        ("0 0 L * *", "On the last day of every month at 00:00"),
        ("0 0 13 * 5", "On the 13th day of the month or on Friday at 00:00"),
    ],
)
def test_crons(cron: str, words: str) -> None:
    assert in_words(Times("cron", cron=cron)) == words


def test_where_both_days_have_to_fit_it_says_so() -> None:
    told = in_words(Times("cron", cron="0 0 13 * 5", day_or=False))
    assert told == "On the 13th day of the month if it is Friday at 00:00"


@pytest.mark.parametrize(
    ("seconds", "words"),
    [(1, "Every second"), (900, "Every 15 minutes"), (5400, "Every 90 minutes"), (86_400, "Every day"),
     (90.5, "Every 90.5 seconds"), (14 * 86_400, "Every 2 weeks")],
)  # fmt: skip
def test_intervals(seconds: float, words: str) -> None:
    assert in_words(Times("interval", interval=seconds)) == words


@pytest.mark.parametrize(
    ("rule", "words"),
    [
        ("FREQ=DAILY;BYHOUR=9,17", "Every day at 09:00 and 17:00"),
        ("FREQ=WEEKLY;BYDAY=MO,TU,WE,TH,FR;BYHOUR=9", "Every weekday at 09:00"),
        ("FREQ=WEEKLY;INTERVAL=2;BYDAY=FR", "Every 2 weeks on Friday at 00:00"),
        ("FREQ=DAILY;BYDAY=MO,FR;BYMONTH=1,2", "Every Monday and Friday in January and February at 00:00"),
        ("FREQ=MONTHLY;BYDAY=-1FR;BYHOUR=18", "On the last Friday of every month at 18:00"),
        ("FREQ=MONTHLY;BYDAY=MO", "Every Monday at 00:00"),
        ("FREQ=MONTHLY;BYMONTHDAY=1,22,-1", "On the 1st, 22nd and last day of every month at 00:00"),
        ("FREQ=MONTHLY;INTERVAL=3;BYMONTHDAY=11", "Every 3 months on the 11th at 00:00"),
        ("FREQ=MONTHLY;BYMONTH=3;BYDAY=1MO", "On the first Monday of March at 00:00"),
        ("FREQ=YEARLY;BYMONTH=3;BYMONTHDAY=31;BYHOUR=12", "Every year on 31 March at 12:00"),
        ("FREQ=HOURLY;INTERVAL=6;BYMINUTE=5", "Every 6 hours at :05"),
        ("DTSTART:20260101T090000\nRRULE:FREQ=DAILY;COUNT=10", "Every day at 09:00, 10 times"),
        ("FREQ=DAILY;UNTIL=20270101\nEXDATE:20261224T000000",
         "Every day at 00:00, until 1 Jan 2027, but not on 1 of them"),
    ],
)  # fmt: skip
def test_recurrence_rules(rule: str, words: str) -> None:
    assert in_words(Times("rrule", rrule=rule)) == words


@pytest.mark.parametrize(
    "rule",
    [
        "FREQ=YEARLY;BYWEEKNO=20;BYDAY=MO",
        "FREQ=MONTHLY;BYDAY=MO;BYSETPOS=1",
        "FREQ=MONTHLY;BYMONTHDAY=13;BYDAY=FR",
        "FREQ=YEARLY;BYYEARDAY=100",
        "FREQ=MINUTELY;BYHOUR=9",
        "FREQ=DAILY;BYSECOND=30",
        "FREQ=MONTHLY;BYDAY=-3FR",
        "FREQ=DAILY;BYHOUR=1,2,3,4,5",
        "DTSTART:20260101T090000\nRDATE:20260202T090000",
        "FREQ=DAILY\nRRULE:FREQ=HOURLY",
    ],
)
def test_what_words_would_not_say_is_shown_as_it_was_written(rule: str) -> None:
    assert in_words(Times("rrule", rrule=rule)) == rule
