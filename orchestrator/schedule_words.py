"""Schedules in plain words: `Every weekday at 09:00`. Whose words would be wrong is told as it was written."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from datetime import datetime
from functools import lru_cache

from orchestrator import rrule
from orchestrator.rrule_times import DAILY, HOURLY, MINUTELY, MONTHLY, SECONDLY, WEEKLY, YEARLY, Rule
from orchestrator.schedule_times import Times

_DAYS = ("Monday", "Tuesday", "Wednesday", "Thursday", "Friday", "Saturday", "Sunday")
_MONTHS = (
    "January", "February", "March", "April", "May", "June", "July", "August", "September", "October", "November",
    "December",
)  # fmt: skip
_UNITS = (("week", 604_800), ("day", 86_400), ("hour", 3_600), ("minute", 60), ("second", 1))
_PERIODS = {
    YEARLY: "year", MONTHLY: "month", WEEKLY: "week", DAILY: "day", HOURLY: "hour", MINUTELY: "minute",
    SECONDLY: "second",
}  # fmt: skip
_NTHS = {1: "first", 2: "second", 3: "third", 4: "fourth", 5: "fifth", -1: "last", -2: "second last"}
_WEEKDAYS = frozenset((0, day) for day in range(5))
_TIMES_OF_DAY = r"((?:\d\d:\d\d(?:, and |, | and )?)+)"
MOST_TIMES = 4  # of a day that are named


@lru_cache(maxsize=2_000)
def in_words(schedule: Times) -> str:
    """When a schedule is due by its clock; its own expression where words would not say it.

    >>> in_words(Times("cron", cron="0 9 * * 1-5")), in_words(Times("interval", interval=5400))
    ('Every weekday at 09:00', 'Every 90 minutes')
    >>> in_words(Times("rrule", rrule="FREQ=MONTHLY;BYDAY=-1FR;BYHOUR=18"))
    'On the last Friday of every month at 18:00'
    """
    if schedule.kind == "interval":
        return _every_seconds(schedule.interval or 0)
    if schedule.kind == "cron":
        return _cron(schedule.cron, schedule.day_or)
    try:
        return _recurrence(rrule.parse(schedule.rrule, schedule.timezone)) or schedule.rrule
    except ValueError:
        return schedule.rrule  # Taken by an older version.


def _every(number: int, unit: str) -> str:
    return f"Every {unit}" if number == 1 else f"Every {number:,} {unit}s"


def _every_seconds(seconds: float) -> str:
    words = span_in_words(seconds)
    return f"Every {words.removeprefix('1 ')}"


def span_in_words(seconds: float) -> str:
    """A span in the largest unit that it is whole in.

    >>> span_in_words(5400), span_in_words(86_400), span_in_words(90.5)
    ('90 minutes', '1 day', '90.5 seconds')
    """
    for unit, size in _UNITS:
        if seconds >= size and seconds % size == 0:
            number = int(seconds // size)
            return f"{number:,} {unit}{'s' * (number != 1)}"
    return f"{seconds:g} seconds"


# ── crons ────────────────────────────────────────────────────────────────────────────────────────


def _cron(cron: str, day_or: bool) -> str:
    from cronsim import CronSim, CronSimError

    if step := re.fullmatch(r"\*/(\d+) \* \* \* \*", cron):
        if 60 % int(step[1]) == 0:
            return _every(int(step[1]), "minute")
    elif (step := re.fullmatch(r"0 \*/(\d+) \* \* \*", cron)) and 24 % int(step[1]) == 0:
        return _every(int(step[1]), "hour")
    elif past := re.fullmatch(r"(\d+) \* \* \* \*", cron):
        return "Every hour" if int(past[1]) == 0 else f"Every hour at :{int(past[1]):02d}"
    try:
        text = CronSim(cron, datetime(2020, 1, 1)).explain()
    except (CronSimError, ValueError):
        return cron
    text = text.replace(" of month", " of the month").replace("it's on ", "it is ")
    return _said(text.replace(" and on ", " or on " if day_or else " if it is "))


def _said(text: str) -> str:
    """An explanation in the order in which people say it.

    >>> _said("At 09:00 on Monday through Friday"), _said("At 02:30 on the first day of every month")
    ('Every weekday at 09:00', 'On the first day of every month at 02:30')
    """
    found = re.fullmatch(rf"At {_TIMES_OF_DAY} (.+)", text)
    if not found:
        return text
    times, days = found[1].strip(), found[2]
    if days == "on Monday through Friday":
        days = "every weekday"
    elif all(word in _DAYS for word in re.split(r", and |, | and ", days.removeprefix("on "))):
        days = f"every {days.removeprefix('on ')}"
    return f"{days[0].upper()}{days[1:]} at {times}"


# ── recurrence rules ─────────────────────────────────────────────────────────────────────────────


def _recurrence(read: rrule.Recurrence) -> str:
    if len(read.rules) != 1 or read.dates:
        return ""
    rule = read.rules[0]
    days = _within_days(rule) if rule.frequency >= HOURLY else _days(rule)
    if not days or rule.positions or rule.weeks or rule.yeardays:
        return ""
    ends = f", {rule.count} times" if rule.count is not None else ""
    ends += f", until {rule.until.day} {rule.until:%b %Y}" if rule.until else ""
    return f"{days}{ends}{f', but not on {len(read.without)} of them' if read.without else ''}"


def _within_days(rule: Rule) -> str:
    named = (rule.months, rule.monthdays, rule.weekdays, rule.hours)
    finer = rule.minutes if rule.frequency >= MINUTELY else rule.minutes[1:]
    if any(named) or finer or any(rule.seconds):
        return ""
    past = rule.minutes[0] if rule.frequency == HOURLY and rule.minutes else 0
    return f"{_every(rule.interval, _PERIODS[rule.frequency])}{f' at :{past:02d}' if past else ''}"


def _days(rule: Rule) -> str:
    times = [f"{hour:02d}:{minute:02d}" for hour in rule.hours for minute in rule.minutes]
    if len(times) > MOST_TIMES or rule.seconds != (0,):
        return ""
    words = {DAILY: _daily, WEEKLY: _daily, MONTHLY: _monthly, YEARLY: _yearly}[rule.frequency](rule)
    return f"{words} at {_listed(times)}" if words else ""


def _daily(rule: Rule) -> str:
    """Of days and weeks: which days of the week, in which months."""
    if rule.monthdays:
        return ""
    months = f" in {_listed(_MONTHS[month - 1] for month in sorted(rule.months))}" if rule.months else ""
    names = "weekday" if rule.weekdays == _WEEKDAYS else _listed(_DAYS[day] for _, day in sorted(rule.weekdays))
    if rule.interval == 1 and names:
        return f"Every {names}{months}"
    on = f" on {'weekdays' if names == 'weekday' else names}" if names else ""
    return f"{_every(rule.interval, _PERIODS[rule.frequency])}{on}{months}"


def _monthly(rule: Rule) -> str:
    if rule.weekdays and rule.monthdays:
        return ""
    if rule.weekdays and rule.interval == 1 and not any(nth for nth, _ in rule.weekdays):
        return _daily(rule)
    if rule.weekdays and any(nth not in _NTHS for nth, _ in rule.weekdays):
        return ""
    named = [f"{_NTHS[nth]} {_DAYS[day]}" for nth, day in sorted(rule.weekdays)]
    named = named or [_nth_day(day) for day in sorted(rule.monthdays, key=lambda day: (day < 0, day))]
    if not all(named):
        return ""
    if rule.months:
        whole = _listed(_MONTHS[month - 1] for month in sorted(rule.months))
        return f"On the {_listed(named)} of {whole}" if rule.interval == 1 else ""
    if rule.interval == 1:
        return f"On the {_listed(named)} of every month"
    return f"Every {rule.interval} months on the {_listed(named)}"


def _nth_day(day: int) -> str:
    if day < 0:
        return f"{_NTHS[day]} day" if day in _NTHS else ""
    ending = "th" if 10 < day < 14 else {1: "st", 2: "nd", 3: "rd"}.get(day % 10, "th")
    return f"{day}{ending}"


def _yearly(rule: Rule) -> str:
    if rule.weekdays or len(rule.months) != 1 or len(rule.monthdays) != 1:
        return ""
    day = next(iter(rule.monthdays))
    years = "Every year" if rule.interval == 1 else _every(rule.interval, "year")
    return f"{years} on {day} {_MONTHS[next(iter(rule.months)) - 1]}" if day > 0 else ""


def _listed(words: Iterable[str]) -> str:
    """Words with commas and an `and`."""
    found: Sequence[str] = list(words)
    return ", ".join(found[:-1]) + (" and " if len(found) > 1 else "") + found[-1] if found else ""
