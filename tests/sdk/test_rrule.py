"""2.6: recurrence rules: RFC 5545's own examples, what is refused, and what no rule may cost."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from itertools import islice

import pytest

from orchestrator import rrule, rrule_times
from orchestrator.rrule import parse
from orchestrator.schedule_times import ScheduleRefusal, Times, check
from orchestrator.schedules import RRule

START = "DTSTART;TZID=America/New_York:19970902T090000\n"

# Section 3.8.5.3 of the RFC, each with its first days as it lists them.
EXAMPLES = [
    ("FREQ=DAILY;COUNT=3", ["09-02", "09-03", "09-04"]),
    ("FREQ=DAILY;INTERVAL=10;COUNT=5", ["09-02", "09-12", "09-22", "10-02", "10-12"]),
    ("FREQ=WEEKLY;INTERVAL=2;WKST=SU", ["09-02", "09-16", "09-30", "10-14", "10-28", "11-11"]),
    ("FREQ=WEEKLY;INTERVAL=2;UNTIL=19971224T000000Z;WKST=SU;BYDAY=MO,WE,FR", ["09-03", "09-05", "09-15", "09-17"]),
    ("FREQ=MONTHLY;COUNT=10;BYDAY=1FR", ["09-05", "10-03", "11-07", "12-05"]),
    ("FREQ=MONTHLY;INTERVAL=2;COUNT=10;BYDAY=1SU,-1SU", ["09-07", "09-28", "11-02", "11-30"]),
    ("FREQ=MONTHLY;COUNT=6;BYDAY=-2MO", ["09-22", "10-20", "11-17", "12-22"]),
    ("FREQ=MONTHLY;BYMONTHDAY=-3", ["09-28", "10-29", "11-28", "12-29"]),
    ("FREQ=MONTHLY;COUNT=10;BYMONTHDAY=1,-1", ["09-30", "10-01", "10-31", "11-01", "11-30"]),
    ("FREQ=MONTHLY;BYDAY=FR;BYMONTHDAY=13", ["1998-02-13", "1998-03-13", "1998-11-13", "1999-08-13", "2000-10-13"]),
    ("FREQ=MONTHLY;COUNT=3;BYDAY=TU,WE,TH;BYSETPOS=3", ["09-04", "10-07", "11-06"]),
    ("FREQ=MONTHLY;BYDAY=MO,TU,WE,TH,FR;BYSETPOS=-2", ["09-29", "10-30", "11-27", "12-30"]),
    ("FREQ=YEARLY;INTERVAL=4;BYMONTH=11;BYDAY=TU;BYMONTHDAY=2,3,4,5,6,7,8", ["11-04", "2001-11-06", "2005-11-08"]),
    ("FREQ=YEARLY;BYDAY=20MO", ["1998-05-18", "1999-05-17", "2000-05-15"]),
    ("FREQ=YEARLY;BYWEEKNO=20;BYDAY=MO", ["1998-05-11", "1999-05-17", "2000-05-15"]),
    ("FREQ=YEARLY;INTERVAL=3;COUNT=10;BYYEARDAY=1,100,200", ["2000-01-01", "2000-04-09", "2000-07-18", "2003-01-01"]),
]
HOSTILE = [
    "FREQ=YEARLY;BYMONTH=2;BYMONTHDAY=30",
    "FREQ=DAILY;BYMONTH=2;BYMONTHDAY=30",
    "FREQ=SECONDLY;BYMONTH=4;BYMONTHDAY=31",
    "FREQ=SECONDLY;INTERVAL=60;BYSECOND=5",
    "FREQ=SECONDLY;INTERVAL=99999999;BYHOUR=3;BYMINUTE=1;BYSECOND=1",
    "FREQ=MINUTELY;INTERVAL=86400;BYYEARDAY=366;BYHOUR=3",
    "FREQ=YEARLY;INTERVAL=9999;BYMONTH=1",
    "FREQ=DAILY;BYSETPOS=300",
]
EVERY = ",".join(map(str, range(60)))
REFUSED = [
    ("", "no RRULE"),
    ("every day", "can't be taken"),
    ("FREQ=NEVER", "has a FREQ"),
    ("FREQ=DAILY;FREQ=DAILY", "can't be taken"),
    ("FREQ=DAILY;BYEASTER=1", "can't be taken"),
    ("FREQ=DAILY;INTERVAL=0", "INTERVAL is a number"),
    ("FREQ=DAILY;INTERVAL=-1", "INTERVAL is a number"),
    ("FREQ=DAILY;COUNT=3", "needs a DTSTART"),
    ("DTSTART:20260101T000000Z\nRRULE:FREQ=DAILY;COUNT=1001", "1 to 1,000"),
    ("FREQ=DAILY;BYHOUR=24", "from 0 to 23"),
    ("FREQ=MONTHLY;BYMONTHDAY=0", "from 1 to 31"),
    ("FREQ=WEEKLY;BYMONTHDAY=1", "makes no sense"),
    ("FREQ=DAILY;BYDAY=1MO", "of a month or a year"),
    ("FREQ=MONTHLY;BYDAY=XX", "no list of days"),
    ("FREQ=MONTHLY;BYDAY=0MO", "numbered"),
    ("FREQ=DAILY;BYSECOND=0,1;BYHOUR=" + EVERY[:61] + ";BYMINUTE=" + EVERY, "more than 1,440"),
    ("DTSTART:2026\nRRULE:FREQ=DAILY", "is no time"),
    ("DTSTART:99990101T000000Z\nRRULE:FREQ=DAILY", "is no time"),
    ("DTSTART;TZID=Mars/Base:20260101T000000\nRRULE:FREQ=DAILY", "no timezone"),
    ("DTSTART;TZID=../../etc/passwd:20260101T000000\nRRULE:FREQ=DAILY", "no timezone"),
    ("EXRULE:FREQ=DAILY", "is none of DTSTART"),
    ("\n".join(["RRULE:FREQ=DAILY"] * 11), "more than 10"),
    ("RDATE:" + ",".join(["20260101T000000Z"] * 201), "more than 200"),
    ("FREQ=DAILY" + " " * 5_000, "characters at most"),
]  # fmt: skip


@pytest.mark.parametrize(("rule", "days"), EXAMPLES, ids=[rule for rule, _ in EXAMPLES])
def test_examples_of_the_rfc(rule: str, days: list[str]) -> None:
    found = islice(parse(START + "RRULE:" + rule).after(datetime(1997, 1, 1)), len(days))
    expected = [datetime.fromisoformat(f"{day if len(day) > 5 else '1997-' + day}T09:00:00") for day in days]
    assert list(found) == expected


def test_the_day_on_which_weeks_begin_matters() -> None:
    """The RFC's own example: every other week on Tuesday and Sunday."""
    text = "DTSTART:19970805T090000\nRRULE:FREQ=WEEKLY;INTERVAL=2;COUNT=4;BYDAY=TU,SU;WKST="
    monday, sunday = (list(parse(text + day).after(datetime(1997, 1, 1))) for day in ("MO", "SU"))
    assert [at.day for at in monday] == [5, 10, 19, 24]
    assert [at.day for at in sunday] == [5, 17, 19, 31]


def test_dates_are_added_and_left_out() -> None:
    text = (
        "DTSTART;TZID=Europe/Berlin:20260101T090000\nRRULE:FREQ=DAILY\n"
        "EXDATE;TZID=Europe/Berlin:20260102T090000\nRDATE;TZID=Europe/Berlin:20260103T120000"
    )
    read = parse(text)
    assert read.zone == "Europe/Berlin"
    found = islice(read.after(datetime(2025, 12, 31)), 4)
    assert [f"{at:%d %H}" for at in found] == ["01 09", "03 09", "03 12", "04 09"]


def test_a_rule_goes_on_from_any_moment_as_from_its_start() -> None:
    """Nothing is counted through: a rule that began six years ago costs what one costs that begins now."""
    for text in ("FREQ=SECONDLY;INTERVAL=7", "FREQ=MINUTELY;INTERVAL=11;BYSECOND=1", "FREQ=WEEKLY;INTERVAL=3"):
        read = parse("DTSTART:20200101T000003\nRRULE:" + text)
        first = next(read.after(datetime(2026, 5, 5, 5, 5, 5)))
        step = {"S": 7, "M": 660, "W": 3 * 7 * 86_400}[text[5]]
        assert (first - datetime(2020, 1, 1, 0, 0, 3)).total_seconds() % step == (658 if text[5] == "M" else 0)
        assert first - timedelta(seconds=step) <= datetime(2026, 5, 5, 5, 5, 5) < first


@pytest.mark.parametrize("rule", HOSTILE)
def test_a_rule_that_is_never_due_is_refused_after_a_bounded_number_of_steps(
    rule: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    looked = 0
    names = rrule_times.Rule._names

    def counted(self: rrule_times.Rule, day: object) -> bool:
        nonlocal looked
        looked += 1
        return names(self, day)  # type: ignore[arg-type]

    monkeypatch.setattr(rrule_times.Rule, "_names", counted)
    with pytest.raises(ScheduleRefusal) as refused:
        check(Times("rrule", rrule=rule), datetime(2026, 2, 3, tzinfo=UTC))
    assert list(refused.value.fields) == ["rrule"]
    assert looked <= 2 * rrule_times.WORK


@pytest.mark.parametrize(("rule", "why"), REFUSED, ids=[rule[:40] for rule, _ in REFUSED])
def test_rules_that_are_refused(rule: str, why: str) -> None:
    with pytest.raises(ValueError, match=why):
        parse(rule)


def test_the_zone_of_a_rule_is_its_own_unless_it_has_none() -> None:
    text = "DTSTART;TZID=Europe/Berlin:20260101T090000\nRRULE:FREQ=DAILY"
    assert RRule(text).timezone == "Europe/Berlin"
    assert RRule("FREQ=DAILY").timezone == "UTC"
    assert RRule("FREQ=DAILY", "Asia/Tokyo", slug="tokyo").to_json() == {
        "rrule": "FREQ=DAILY", "timezone": "Asia/Tokyo", "slug": "tokyo"
    }  # fmt: skip
    with pytest.raises(ValueError, match="names the timezone"):
        RRule(text, timezone="Asia/Tokyo")


def test_rules_are_read_once() -> None:
    assert parse("FREQ=DAILY;BYHOUR=7") is parse("FREQ=DAILY;BYHOUR=7")
    assert rrule.parse.cache_info().maxsize == 1_000
