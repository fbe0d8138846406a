"""When a deployment runs by itself: pure descriptions, shared with the server, which computes the times."""

from __future__ import annotations

import re
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any
from zoneinfo import ZoneInfo

from orchestrator.counterparts import missing

SHORTEST = 1.0  # seconds
LONGEST = 10 * 366 * 86_400.0


@dataclass(frozen=True, slots=True)
class Cron:
    """At the times of a cron expression, by the clock of a timezone.

    Args:
        cron: Five fields: minute, hour, day of the month, month, day of the week (0 and 7 are Sunday).
        timezone: A name such as "Europe/Berlin".
        day_or: When both day fields are restricted: True runs on days that match either, as cron does; False on days
            that match both.

    Raises:
        ValueError: The expression or the timezone is not one.

    >>> Cron("0 6 * * mon-fri", timezone="Europe/Berlin").to_json()["cron"]
    '0 6 * * mon-fri'
    """

    cron: str
    timezone: str = "UTC"
    day_or: bool = True

    def __post_init__(self) -> None:
        check_cron(self.cron)
        check_timezone(self.timezone)

    def to_json(self) -> dict[str, Any]:
        """As the API takes it."""
        return {"cron": self.cron, "timezone": self.timezone, "day_or": self.day_or}


@dataclass(frozen=True, slots=True)
class Interval:
    """Every so often.

    Args:
        interval: Seconds, or a timedelta; one second at least.
        anchor: A moment that the times are counted from; without a timezone it is one of `timezone`.
        timezone: By whose clock whole days are counted.

    Raises:
        ValueError: The interval is too short or too long, or the timezone is none.

    >>> Interval(timedelta(minutes=15)).to_json()["interval"]
    900.0
    """

    interval: float | timedelta
    anchor: datetime | None = None
    timezone: str = "UTC"

    def __post_init__(self) -> None:
        if not SHORTEST <= self.seconds <= LONGEST:
            raise ValueError(f"An interval is between 1 second and 10 years, not {self.seconds:g} s.")
        check_timezone(self.timezone)

    @property
    def seconds(self) -> float:
        """The interval in seconds."""
        return self.interval.total_seconds() if isinstance(self.interval, timedelta) else float(self.interval)

    def to_json(self) -> dict[str, Any]:
        """As the API takes it."""
        anchor = self.anchor
        if anchor is not None:
            anchor = anchor.replace(tzinfo=ZoneInfo(self.timezone)) if anchor.tzinfo is None else anchor
        return {
            "interval": self.seconds,
            "anchor": None if anchor is None else anchor.astimezone(UTC).isoformat(),
            "timezone": self.timezone,
        }


Schedule = Cron | Interval


def from_json(told: dict[str, Any]) -> Schedule:
    """Read a schedule as the API writes it.

    Raises:
        ValueError: It is none.

    >>> from_json({"interval": 60})
    Interval(interval=60, anchor=None, timezone='UTC')
    """
    timezone = told.get("timezone") or "UTC"
    if told.get("cron"):
        return Cron(told["cron"], timezone, bool(told.get("day_or", True)))
    if told.get("interval") is not None:
        anchor = told.get("anchor")
        return Interval(told["interval"], datetime.fromisoformat(anchor) if anchor else None, timezone)
    raise ValueError("A schedule has either `cron` or `interval`.")


def choose(cron: str | None, interval: float | timedelta | None, schedule: Schedule | None) -> Schedule | None:
    """The one schedule among the three ways to give it.

    Raises:
        ValueError: More than one was given.
    """
    if sum(given is not None for given in (cron, interval, schedule)) > 1:
        raise ValueError("Give one of cron=, interval= and schedule=, not several.")
    if cron is not None:
        return Cron(cron)
    if interval is not None:
        return Interval(interval)
    return schedule


# Checks, without a cron library.

_MONTHS = ["jan", "feb", "mar", "apr", "may", "jun", "jul", "aug", "sep", "oct", "nov", "dec"]
_DAYS = ["sun", "mon", "tue", "wed", "thu", "fri", "sat"]
_FIELDS: list[tuple[str, int, int, list[str]]] = [
    ("minute", 0, 59, []),
    ("hour", 0, 23, []),
    ("day of the month", 1, 31, []),
    ("month", 1, 12, _MONTHS),
    ("day of the week", 0, 7, _DAYS),
]
_PART = re.compile(r"(?P<first>\*|\w+)(?:-(?P<last>\w+))?(?:/(?P<step>\d+))?$")
_LAST_DAY = re.compile(r"L|lw", re.IGNORECASE)
_NTH = re.compile(r"(\w+)(#[1-5]|L)$", re.IGNORECASE)


def check_cron(cron: str) -> None:
    """Refuse what is no cron expression of five fields.

    Raises:
        ValueError: With the field that is wrong.

    >>> check_cron("61 * * * *")
    Traceback (most recent call last):
    ...
    ValueError: '61 * * * *' is no cron expression: the minute '61' is not between 0 and 59.
    """
    fields = cron.split()
    if len(fields) != len(_FIELDS):
        raise ValueError(f"{cron!r} is no cron expression: it has {len(fields)} fields, not five.")
    for text, field in zip(fields, _FIELDS, strict=True):
        for part in text.split(","):
            wrong = _wrong(part, *field)
            if wrong:
                raise ValueError(f"{cron!r} is no cron expression: the {field[0]} {part!r} {wrong}.")


def _wrong(part: str, name: str, low: int, high: int, words: list[str]) -> str | None:
    if name == "day of the month" and _LAST_DAY.fullmatch(part):
        return None
    if name == "day of the week" and (nth := _NTH.match(part)):
        part = nth[1]
    found = _PART.match(part)
    if found is None:
        return "can't be read"
    first, last = found["first"], found["last"]
    if found["step"] is not None and int(found["step"]) == 0:
        return "has a step of 0"
    if first == "*":
        return "can't be read" if last else None
    numbers = [_number(word, low, words) for word in (first, last) if word is not None]
    if any(number is None or not low <= number <= high for number in numbers):
        return f"is not between {low} and {high}"
    if last is not None and (numbers[0] or 0) > (numbers[1] or 0):
        return "runs backwards"
    return None


def _number(word: str, low: int, words: list[str]) -> int | None:
    if word.isdecimal():
        return int(word)
    return words.index(word.lower()) + low if word.lower() in words else None


def check_timezone(name: str) -> None:
    """Refuse what is no timezone.

    Raises:
        ValueError: There is none of that name.
    """
    try:
        ZoneInfo(name)
    except (KeyError, ValueError, OSError):
        raise ValueError(f"There is no timezone {name!r}. Names are such as 'Europe/Berlin'.") from None


__getattr__ = missing(__name__)
