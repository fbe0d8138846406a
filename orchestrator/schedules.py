"""When a deployment runs by itself: pure descriptions, shared with the server, which computes the times."""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any
from zoneinfo import ZoneInfo

from orchestrator.counterparts import missing
from orchestrator.crons import check_cron

SHORTEST = 1.0  # seconds
LONGEST = 10 * 366 * 86_400.0


CATCH_UPS = ("skip", "latest", "all")
MAX_CAUGHT_UP = 1_000
MAX_SCHEDULES = 100  # of one deployment
LONGEST_SLUG = 100
_SLUG = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.-]*")


@dataclass(frozen=True, slots=True, kw_only=True)
class _Schedule:
    """What every schedule may say besides its times.

    Args:
        slug: Its name among those of the deployment. By it a pause is found again when the flow is deployed anew.
        parameters: Over the deployment's own, for the runs of this schedule.
        active: False deploys it paused.
        catch_up: What is made up for of the times that were missed while the platform was away: nothing (`skip`), the
            last one (`latest`), or the last `catch_up_max` of them (`all`). A pause misses nothing.
        skip_if_late: Seconds after its time at which a run that was not started is given up: CANCELLED, Skipped.
    """

    slug: str | None = None
    parameters: dict[str, Any] | None = field(default=None, hash=False)
    active: bool = True
    catch_up: str = "skip"
    catch_up_max: int = 100
    skip_if_late: float | timedelta | None = None

    def _check(self) -> None:
        if self.slug is not None:
            check_slug(self.slug)
        if self.catch_up not in CATCH_UPS:
            raise ValueError(f"catch_up is one of {', '.join(map(repr, CATCH_UPS))}, not {self.catch_up!r}.")
        if not 1 <= self.catch_up_max <= MAX_CAUGHT_UP:
            raise ValueError(f"catch_up_max is 1 to {MAX_CAUGHT_UP:,}, not {self.catch_up_max!r}.")
        late = _seconds(self.skip_if_late)
        if late is not None and not SHORTEST <= late <= LONGEST:
            raise ValueError(f"skip_if_late is between 1 second and 10 years, not {late:g} s.")

    def _options(self) -> dict[str, Any]:
        """What of it is not as by default, as the API takes it."""
        told: dict[str, Any] = {"slug": self.slug} if self.slug is not None else {}
        told |= {"parameters": self.parameters} if self.parameters else {}
        told |= {} if self.active else {"active": False}
        told |= {"catch_up": self.catch_up} if self.catch_up != "skip" else {}
        told |= {"catch_up_max": self.catch_up_max} if self.catch_up == "all" else {}
        return told | ({"skip_if_late": _seconds(self.skip_if_late)} if self.skip_if_late is not None else {})


@dataclass(frozen=True, slots=True)
class Cron(_Schedule):
    """At the times of a cron expression, by the clock of a timezone.

    Args:
        cron: Five fields: minute, hour, day of the month, month, day of the week (0 and 7 are Sunday).
        timezone: A name such as "Europe/Berlin".
        day_or: When both day fields are restricted: True runs on days that match either, as cron does; False on days
            that match both.
        options: `slug`, `parameters`, `active`, `catch_up`, `catch_up_max`, `skip_if_late`, as all take them.

    Raises:
        ValueError: The expression, the timezone or an option is none.

    >>> Cron("0 6 * * mon-fri", timezone="Europe/Berlin").to_json()["cron"]
    '0 6 * * mon-fri'
    """

    cron: str
    timezone: str = "UTC"
    day_or: bool = True

    def __post_init__(self) -> None:
        check_cron(self.cron)
        check_timezone(self.timezone)
        self._check()

    def to_json(self) -> dict[str, Any]:
        """As the API takes it."""
        return {"cron": self.cron, "timezone": self.timezone, "day_or": self.day_or, **self._options()}


@dataclass(frozen=True, slots=True)
class Interval(_Schedule):
    """Every so often.

    Args:
        interval: Seconds, or a timedelta; one second at least.
        anchor: A moment that the times are counted from; without a timezone it is one of `timezone`.
        timezone: By whose calendar whole days are counted: such an interval stays at its hour when the clock is
            changed. Any other interval is as long as ever.
        options: `slug`, `parameters`, `active`, `catch_up`, `catch_up_max`, `skip_if_late`, as all take them.

    Raises:
        ValueError: The interval is too short or too long, or the timezone or an option is none.

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
        self._check()

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
            **self._options(),
        }


@dataclass(frozen=True, slots=True)
class RRule(_Schedule):
    """At the times of a recurrence rule, as calendars write them (RFC 5545).

    Args:
        rrule: `FREQ=…`, or lines of DTSTART, RRULE, RDATE and EXDATE. Without DTSTART it is counted from the begin of
            2020.
        timezone: By whose clock; by default the one that DTSTART names, or UTC.
        options: `slug`, `parameters`, `active`, `catch_up`, `catch_up_max`, `skip_if_late`, as all take them.

    Raises:
        ValueError: The rule, the timezone or an option is none.

    >>> RRule("FREQ=MONTHLY;BYDAY=-1FR;BYHOUR=18", timezone="Europe/Berlin").to_json()
    {'rrule': 'FREQ=MONTHLY;BYDAY=-1FR;BYHOUR=18', 'timezone': 'Europe/Berlin'}
    """

    rrule: str
    timezone: str = ""

    def __post_init__(self) -> None:
        from orchestrator.rrule import parse

        if self.timezone:
            check_timezone(self.timezone)
        named = parse(self.rrule, self.timezone).zone
        if self.timezone and named and named != self.timezone:
            raise ValueError(f"DTSTART names the timezone {named!r}, not {self.timezone!r}.")
        object.__setattr__(self, "timezone", self.timezone or named or "UTC")
        self._check()

    def to_json(self) -> dict[str, Any]:
        """As the API takes it."""
        return {"rrule": self.rrule, "timezone": self.timezone, **self._options()}


Schedule = Cron | Interval | RRule


def from_json(told: dict[str, Any]) -> Schedule:
    """Read a schedule as the API writes it.

    Raises:
        ValueError: It is none.

    >>> from_json({"interval": 60}).seconds
    60.0
    """
    timezone = told.get("timezone") or "UTC"
    options = {name: told[name] for name in _OPTIONS if told.get(name) is not None}
    if told.get("cron"):
        return Cron(told["cron"], timezone, bool(told.get("day_or", True)), **options)
    if told.get("rrule"):
        return RRule(told["rrule"], told.get("timezone") or "", **options)
    if told.get("interval") is not None:
        anchor = told.get("anchor")
        return Interval(told["interval"], datetime.fromisoformat(anchor) if anchor else None, timezone, **options)
    raise ValueError("A schedule has a `cron`, an `interval` or an `rrule`.")


_OPTIONS = ("slug", "parameters", "active", "catch_up", "catch_up_max", "skip_if_late")


def _seconds(given: float | timedelta | None) -> float | None:
    return given.total_seconds() if isinstance(given, timedelta) else None if given is None else float(given)


def check_slug(slug: str) -> None:
    """Refuse what can't name a schedule.

    Raises:
        ValueError: With what can.
    """
    if not _SLUG.fullmatch(slug) or len(slug) > LONGEST_SLUG:
        raise ValueError(
            f"A slug has 1 to {LONGEST_SLUG} letters, digits, dots, - and _, and begins with a letter or digit."
        )


def choose(
    cron: str | None,
    interval: float | timedelta | None,
    schedule: Schedule | None,
    schedules: Iterable[Schedule] | None = None,
) -> list[Schedule]:
    """The schedules, from the one of the four ways in which they were given.

    Raises:
        ValueError: Several ways were taken, or two have one slug.
    """
    if sum(given is not None for given in (cron, interval, schedule, schedules)) > 1:
        raise ValueError("Give one of cron=, interval=, schedule= and schedules=, not several.")
    chosen = [schedule] if schedule is not None else list(schedules or ())
    chosen += [Cron(cron)] if cron is not None else [Interval(interval)] if interval is not None else []
    slugs = [each.slug for each in chosen if each.slug is not None]
    if len(set(slugs)) < len(slugs) or len(chosen) > MAX_SCHEDULES:
        raise ValueError(f"A deployment has {MAX_SCHEDULES} schedules at most, each with a slug of its own.")
    return chosen


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
