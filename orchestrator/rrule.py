"""Recurrence rules as calendars write them (RFC 5545): what is taken, and what each line says."""

from __future__ import annotations

import heapq
import re
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from functools import lru_cache
from zoneinfo import ZoneInfo

from orchestrator.rrule_times import DAILY, HOURLY, MINUTELY, MONTHLY, SECONDLY, WEEKLY, YEARLY, Rule

__all__ = ["Recurrence", "parse"]

MAX_TEXT = 5_000  # characters
MAX_RULES = 10
MAX_COUNT = 1_000
MAX_TIMES = 1_440  # in a day
MAX_DATES = 200
EPOCH = datetime(2020, 1, 1)
"""What a rule without DTSTART is counted from, by its clock."""
_FREQUENCIES = ("YEARLY", "MONTHLY", "WEEKLY", "DAILY", "HOURLY", "MINUTELY", "SECONDLY")
_DAYS = ("MO", "TU", "WE", "TH", "FR", "SA", "SU")
_DAY = re.compile(r"([+-]?\d{1,2})?(MO|TU|WE|TH|FR|SA|SU)")
_BOUNDS = {  # field: its part, the least, the most, and whether it may be counted from the end
    "months": ("BYMONTH", 1, 12, False),
    "weeks": ("BYWEEKNO", 1, 53, True),
    "yeardays": ("BYYEARDAY", 1, 366, True),
    "monthdays": ("BYMONTHDAY", 1, 31, True),
    "hours": ("BYHOUR", 0, 23, False),
    "minutes": ("BYMINUTE", 0, 59, False),
    "seconds": ("BYSECOND", 0, 59, False),
    "positions": ("BYSETPOS", 1, 366, True),
}
_PARTS = {"FREQ", "INTERVAL", "COUNT", "UNTIL", "WKST", "BYDAY", *(part for part, *_ in _BOUNDS.values())}
_REFUSED = {  # part: frequencies that it makes no sense with, as the RFC has it
    "BYWEEKNO": {MONTHLY, WEEKLY, DAILY, HOURLY, MINUTELY, SECONDLY},
    "BYYEARDAY": {MONTHLY, WEEKLY, DAILY},
    "BYMONTHDAY": {WEEKLY},
}


@dataclass(frozen=True, slots=True)
class Recurrence:
    """All lines of a schedule together. Its times are those of a wall clock. `zone`: what DTSTART names."""

    rules: tuple[Rule, ...]
    dates: tuple[datetime, ...] = ()
    without: frozenset[datetime] = frozenset()
    zone: str | None = None

    @property
    def within_days(self) -> bool:
        """True when a rule repeats itself within a day: its times are then as many as its clock shows."""
        return any(rule.frequency >= HOURLY for rule in self.rules)

    def after(self, moment: datetime) -> Iterator[datetime]:
        """The times after a moment, each once, in order."""
        last = None
        dates = (at for at in self.dates if at > moment)
        for at in heapq.merge(dates, *(rule.after(moment) for rule in self.rules)):
            if at != last and at not in self.without:
                last = at
                yield at


@lru_cache(maxsize=1_000)
def parse(text: str, timezone: str = "") -> Recurrence:
    """Read a rule: `FREQ=…`, or lines of DTSTART, RRULE, RDATE and EXDATE.

    Raises:
        ValueError: With what can't be taken.

    >>> rule = parse("FREQ=MONTHLY;BYDAY=-1FR;BYHOUR=18")
    >>> next(rule.after(datetime(2026, 1, 1)))
    datetime.datetime(2026, 1, 30, 18, 0)
    """
    if len(text) > MAX_TEXT:
        raise ValueError(f"A rule has {MAX_TEXT:,} characters at most.")
    lines = [_line(line) for line in text.replace("\\n", "\n").upper().split("\n") if line.strip()]
    named = {zone for _, zone, _ in lines if zone}
    if len(named) > 1:
        raise ValueError("The lines name several timezones; a rule has one.")
    zone = _zone_named(text, next(iter(named), None))
    clock = ZoneInfo(timezone or zone or "UTC")
    starts = [_moment(value, clock) for name, _, value in lines if name == "DTSTART"]
    if len(starts) > 1:
        raise ValueError("There are several DTSTART.")
    start = starts[0] if starts else EPOCH
    rules = tuple(_rule(value, start, clock, bool(starts)) for name, _, value in lines if name == "RRULE")
    dates = _moments(lines, "RDATE", clock)
    if not rules and not dates:
        raise ValueError("There is no RRULE in it.")
    if len(rules) > MAX_RULES:
        raise ValueError(f"There are more than {MAX_RULES} RRULE.")
    return Recurrence(rules, tuple(sorted(set(dates))), frozenset(_moments(lines, "EXDATE", clock)), zone)


def _line(line: str) -> tuple[str, str, str]:
    """Name, timezone and value of a line; `FREQ=…` alone is an RRULE."""
    head, colon, value = line.strip().partition(":")
    if not colon:
        head, value = "RRULE", head
    name, *options = head.split(";")
    if name not in {"DTSTART", "RRULE", "RDATE", "EXDATE"}:
        raise ValueError(f"{name[:20]!r} is none of DTSTART, RRULE, RDATE and EXDATE.")
    zones = [option[5:] for option in options if option.startswith("TZID=")]
    if len(zones) + sum(option in {"VALUE=DATE", "VALUE=DATE-TIME"} for option in options) != len(options):
        raise ValueError(f"{name} can't have {';'.join(options)[:50]!r}.")
    return name, zones[0] if zones else "", value.strip()


def _zone_named(text: str, upper: str | None) -> str | None:
    """The timezone as it was written: names of zones are not in capitals."""
    if upper is None:
        return None
    found = re.search(r"TZID=([^:;\s]+)", text, re.IGNORECASE)
    name = found[1] if found else upper
    try:
        ZoneInfo(name)
    except (KeyError, ValueError, OSError):
        raise ValueError(f"There is no timezone {name[:60]!r}.") from None
    return name


def _moments(lines: list[tuple[str, str, str]], wanted: str, clock: ZoneInfo) -> list[datetime]:
    texts = [text for name, _, value in lines if name == wanted for text in value.split(",")]
    if len(texts) > MAX_DATES:
        raise ValueError(f"There are more than {MAX_DATES} {wanted}.")
    return [_moment(text, clock) for text in texts]


def _moment(text: str, clock: ZoneInfo, *, of_day: timedelta = timedelta()) -> datetime:
    """A time by the clock of the rule; `of_day` is added to what is only a day."""
    for form, add in (("%Y%m%dT%H%M%S", timedelta()), ("%Y%m%d", of_day)):
        try:
            read = datetime.strptime(text.removesuffix("Z"), form)
        except ValueError:
            continue
        if not 1900 <= read.year <= 2900:
            break
        return read.replace(tzinfo=UTC).astimezone(clock).replace(tzinfo=None) if text.endswith("Z") else read + add
    raise ValueError(f"{text[:30]!r} is no time like 20260131T090000 or 20260131T080000Z.")


def _rule(text: str, start: datetime, clock: ZoneInfo, started: bool) -> Rule:
    parts: dict[str, str] = {}
    for part in text.strip(";").split(";"):
        name, _, value = part.partition("=")
        if name not in _PARTS or not value or name in parts:
            raise ValueError(f"{part[:40]!r} can't be taken in an RRULE.")
        parts[name] = value
    if parts.get("FREQ") not in _FREQUENCIES:
        raise ValueError(f"An RRULE has a FREQ: {', '.join(_FREQUENCIES)}.")
    frequency = _FREQUENCIES.index(parts["FREQ"])
    wrong = [name for name, refused in _REFUSED.items() if name in parts and frequency in refused]
    if wrong:
        raise ValueError(f"{wrong[0]} makes no sense with FREQ={parts['FREQ']}.")
    if "COUNT" in parts and not started:
        raise ValueError("COUNT needs a DTSTART that it counts from.")
    until = (
        _moment(parts["UNTIL"], clock, of_day=timedelta(hours=23, minutes=59, seconds=59)) if "UNTIL" in parts else None
    )
    values = {field: _numbers(parts, *bounds) for field, bounds in _BOUNDS.items()}
    weekdays = _weekdays(parts, frequency)
    return _completed(
        frequency, start, values, weekdays,
        interval=_number(parts, "INTERVAL", 1, 1, 100_000_000),
        count=_number(parts, "COUNT", None, 1, MAX_COUNT), until=until,
        week_start=_DAYS.index(_one_of(parts.get("WKST", "MO"), _DAYS)),
    )  # fmt: skip


def _completed(
    frequency: int, start: datetime, values: dict[str, list[int]], weekdays: frozenset[tuple[int, int]], **more: object
) -> Rule:
    """What a rule leaves unsaid is as in its start."""
    if not (weekdays or values["weeks"] or values["yeardays"] or values["monthdays"]):
        if frequency == YEARLY:
            values["months"] = values["months"] or [start.month]
        if frequency <= MONTHLY:
            values["monthdays"] = [start.day]
        if frequency == WEEKLY:
            weekdays = frozenset({(0, start.weekday())})
    for name, least, own in (
        ("hours", HOURLY, start.hour), ("minutes", MINUTELY, start.minute), ("seconds", SECONDLY, start.second)
    ):  # fmt: skip
        if frequency < least and not values[name]:
            values[name] = [own]
    if len(values["hours"] or [0]) * len(values["minutes"] or [0]) * len(values["seconds"] or [0]) > MAX_TIMES:
        raise ValueError(f"It names more than {MAX_TIMES:,} times of a day. FREQ=MINUTELY and SECONDLY name them all.")
    sets = {name: frozenset(values[name]) for name in ("months", "weeks", "yeardays", "monthdays")}
    lists = {name: tuple(sorted(set(values[name]))) for name in ("hours", "minutes", "seconds", "positions")}
    return Rule(frequency, start, weekdays=weekdays, **sets, **lists, **more)  # type: ignore[arg-type]


def _numbers(parts: dict[str, str], name: str, least: int, most: int, from_end: bool) -> list[int]:
    if name not in parts:
        return []
    texts = parts[name].split(",")
    if len(texts) > 400 or not all(re.fullmatch(r"[+-]?\d{1,3}", text) for text in texts):
        raise ValueError(f"{name}={parts[name][:30]} is no list of numbers.")
    numbers = [int(text) for text in texts]
    if not all(least <= (abs(number) if from_end else number) <= most for number in numbers):
        raise ValueError(f"{name} has numbers from {least} to {most}{', or from the end: below zero' * from_end}.")
    return numbers


def _number(parts: dict[str, str], name: str, default: int | None, least: int, most: int) -> int | None:
    if name not in parts:
        return default
    text = parts[name]
    if not re.fullmatch(r"\d{1,9}", text) or not least <= int(text) <= most:
        raise ValueError(f"{name} is a number from {least:,} to {most:,}, not {text[:20]!r}.")
    return int(text)


def _one_of(text: str, known: tuple[str, ...]) -> str:
    if text not in known:
        raise ValueError(f"{text[:20]!r} is none of {', '.join(known)}.")
    return text


def _weekdays(parts: dict[str, str], frequency: int) -> frozenset[tuple[int, int]]:
    if "BYDAY" not in parts:
        return frozenset()
    found = [_DAY.fullmatch(text) for text in parts["BYDAY"].split(",")]
    if len(found) > 400 or not all(found):
        raise ValueError(f"BYDAY={parts['BYDAY'][:30]} is no list of days such as MO or -1FR.")
    days = frozenset((int(each[1] or 0), _DAYS.index(each[2])) for each in found if each)
    if any(nth for nth, _ in days) and (frequency > MONTHLY or "BYWEEKNO" in parts):
        raise ValueError("Days such as 1MO are of a month or a year: FREQ=MONTHLY or YEARLY, without BYWEEKNO.")
    if any(abs(nth) > 53 or (nth == 0 and each and each[1]) for each in found if each for nth in [int(each[1] or 0)]):
        raise ValueError("Days are numbered from 1 to 53, or from the end: -1 to -53.")
    return days
