"""Backfills: what a request says of one, which runs it means, and what of it can't be taken.

Shared by every server that answers the API, and by the command.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from itertools import islice
from typing import Any, Literal
from zoneinfo import ZoneInfo

import msgspec
from msgspec import UNSET, UnsetType

from orchestrator.schedule_times import Times, times_after

OPEN = ("running", "paused")  # states in which one may still make runs
AT_ONCE, MOST_AT_ONCE = 5, 1_000  # of its runs that have not ended
MOST_PER_MINUTE = 6_000
PRIORITY = -10
"""Of its runs, where nothing else is said: whatever else waits goes first."""
EXISTING = {
    "skip": "leave out times that have a run",
    "failed": "again where the last run failed or was cancelled",
    "all": "again for all times",
}
BAD = ("FAILED", "CRASHED", "CANCELLED")  # states of a run that doesn't count where `existing` is "failed"
FURTHEST = timedelta(days=3650)
COUNTED = 100_000  # times, to say how many there are too many
_MICROSECOND = timedelta(microseconds=1)


def leaves_out(existing: str, state: str) -> bool:
    """Whether a time is left out that has a run in this state.

    >>> leaves_out("skip", "FAILED"), leaves_out("failed", "FAILED"), leaves_out("all", "RUNNING")
    (True, False, False)
    """
    return existing == "skip" or (existing == "failed" and state not in BAD)


class TimesInput(msgspec.Struct, forbid_unknown_fields=True):
    """When runs would have been due: a `cron`, an `interval` in seconds, or an `rrule`, as of a schedule."""

    cron: str | None = None
    day_or: bool = True
    interval: float | None = None
    anchor: datetime | None = None
    rrule: str | None = None
    timezone: str | None = None


class BackfillInput(msgspec.Struct, forbid_unknown_fields=True):
    """Runs of `deployment` (an id or `flow/name`), a few at a time: one for each time in [`since`, `until`) at which
    its `schedule` (a slug), or one with these `times`, was due; or one for each of `sets`, which are parameters.

    `parameters` go over those of the schedule and the deployment. The parameter named by `time_parameter` is given the
    time of the run, that of `next_parameter` the one after it: as a date where the schema says so, else in ISO 8601, by
    the schedule's clock. `existing`: what becomes of times that have a run already. At most `at_once` of its runs have
    not ended at any time, and at most `per_minute` are made within a minute. `dry_run` only looks.
    """

    deployment: str
    name: str = ""
    schedule: str | None = None
    times: TimesInput | None = None
    since: datetime | None = None
    until: datetime | None = None
    sets: list[dict[str, Any]] | None = None
    parameters: dict[str, Any] = {}
    time_parameter: str = ""
    next_parameter: str = ""
    existing: Literal["skip", "failed", "all"] = "skip"
    order: Literal["oldest", "newest"] = "oldest"
    at_once: int = AT_ONCE
    per_minute: int | None = None
    priority: int = PRIORITY
    tags: list[str] = []
    pause_after_failures: int | None = None
    idempotency_key: str | None = None
    dry_run: bool = False


class BackfillChange(msgspec.Struct, forbid_unknown_fields=True):
    """What of a backfill's drip changes; what is left out stays as it is."""

    at_once: int | UnsetType = UNSET
    per_minute: int | UnsetType | None = UNSET
    pause_after_failures: int | UnsetType | None = UNSET


class BackfillCancelInput(msgspec.Struct, forbid_unknown_fields=True):
    """Which of its runs are cancelled with it: none, those that `waiting` for an agent, or all that have not ended."""

    runs: Literal["none", "waiting", "all"] = "none"


@dataclass(frozen=True, slots=True)
class Place:
    """One run that a backfill means: at a time, or with parameters of its own."""

    ordinal: int
    time: datetime | None
    parameters: dict[str, Any]


def wrong_fields(told: BackfillInput, at: datetime, most: int) -> dict[str, str]:
    """What of a backfill can't be taken, by field, as far as that can be said without its deployment."""
    fields = wrong_drip(told.at_once, told.per_minute, told.pause_after_failures)
    ways = [told.schedule is not None, told.times is not None, told.sets is not None]
    if sum(ways) != 1:
        fields["schedule"] = "Give one of `schedule`, `times` and `sets`."
    elif told.sets is not None:
        fields |= _wrong_sets(told, most)
    else:
        fields |= _wrong_range(told, at)
    if len(told.name) > 200:
        fields["name"] = "200 characters at most."
    if not -32_768 <= told.priority < 32_768:
        fields["priority"] = "-32768 to 32767."
    if told.idempotency_key is not None and not 0 < len(told.idempotency_key) <= 200:
        fields["idempotency_key"] = "1 to 200 characters."
    return fields


def wrong_drip(at_once: int, per_minute: int | None, failures: int | None) -> dict[str, str]:
    """What of a drip can't be taken, by field.

    >>> wrong_drip(0, None, 3)
    {'at_once': '1 to 1,000.'}
    """
    fields: dict[str, str] = {}
    if not 1 <= at_once <= MOST_AT_ONCE:
        fields["at_once"] = f"1 to {MOST_AT_ONCE:,}."
    if per_minute is not None and not 1 <= per_minute <= MOST_PER_MINUTE:
        fields["per_minute"] = f"1 to {MOST_PER_MINUTE:,}, or nothing."
    if failures is not None and not 1 <= failures <= 100:
        fields["pause_after_failures"] = "1 to 100, or nothing."
    return fields


def _wrong_sets(told: BackfillInput, most: int) -> dict[str, str]:
    of_times = ("since", "until", "time_parameter", "next_parameter")
    fields = {name: "Of sets there are no times." for name in of_times if getattr(told, name)}
    number = len(told.sets or ())
    if not number:
        fields["sets"] = "There is none. Give a list of objects, the parameters of one run each."
    elif number > most:
        fields["sets"] = too_many(number, most)
    return fields


def _wrong_range(told: BackfillInput, at: datetime) -> dict[str, str]:
    since, until = told.since, told.until or at
    if since is None:
        return {"since": "From when on? ISO 8601 with a zone."}
    if naive := [name for name in ("since", "until") if (end := getattr(told, name)) and end.tzinfo is None]:
        return dict.fromkeys(naive, "ISO 8601 with a zone.")
    if since < at - FURTHEST:
        return {"since": "Ten years back at most."}
    if until > at + timedelta(seconds=1):
        return {"until": "It is in the future. What is to come is for a schedule."}
    return {} if since < until else {"until": "It has to be after the begin."}


def too_many(number: int, most: int) -> str:
    """The refusal of a backfill with too many runs."""
    told = f"More than {COUNTED:,}" if number > COUNTED else f"{number:,}"
    return f"{told} runs; a backfill has {most:,} at most. Take a shorter range, and several backfills."


def due_times(times: Times, since: datetime, until: datetime) -> list[datetime]:
    """The times in [since, until), the oldest first; a bounded number of them."""
    found: list[datetime] = []
    for at in islice(times_after(times, since - _MICROSECOND), COUNTED + 1):
        if at >= until:
            break
        found.append(at)
    return found


def places_of_times(told: BackfillInput, times: Times, due: Sequence[datetime], schema: dict[str, Any]) -> list[Place]:
    """A run for each time, in the order in which they are to be made."""
    zone = ZoneInfo(times.timezone)
    after = next(iter(islice(times_after(times, due[-1]), 1)), None) if due and told.next_parameter else None
    following = [*due[1:], after]
    pairs = list(zip(due, following, strict=True)) if due else []
    if told.order == "newest":
        pairs.reverse()
    return [
        Place(ordinal, time, _parameters(told, schema, time.astimezone(zone), then.astimezone(zone) if then else None))
        for ordinal, (time, then) in enumerate(pairs)
    ]


def _parameters(told: BackfillInput, schema: dict[str, Any], time: datetime, then: datetime | None) -> dict[str, Any]:
    own = dict(told.parameters)
    if told.time_parameter:
        own[told.time_parameter] = time_for(schema, told.time_parameter, time)
    if told.next_parameter and then is not None:
        own[told.next_parameter] = time_for(schema, told.next_parameter, then)
    return own


def places_of_sets(told: BackfillInput) -> list[Place]:
    """A run for each set of parameters, in the order in which they are to be made."""
    sets = list(told.sets or ())
    if told.order == "newest":
        sets.reverse()
    return [Place(ordinal, None, {**told.parameters, **own}) for ordinal, own in enumerate(sets)]


def time_for(schema: dict[str, Any], name: str, time: datetime) -> str:
    """A time as a parameter takes it: a date where its schema says so, else ISO 8601.

    >>> from datetime import UTC
    >>> day = {"properties": {"day": {"anyOf": [{"type": "string", "format": "date"}, {"type": "null"}]}}}
    >>> time_for(day, "day", datetime(2026, 3, 1, 6, tzinfo=UTC)), time_for({}, "day", datetime(2026, 3, 1, tzinfo=UTC))
    ('2026-03-01', '2026-03-01T00:00:00+00:00')
    """
    return time.date().isoformat() if "date" in formats(schema, name) else time.isoformat()


def formats(schema: dict[str, Any], name: str) -> set[str]:
    """The formats that a parameter may have."""
    properties = schema.get("properties")
    own = properties.get(name) if isinstance(properties, dict) else None
    if not isinstance(own, dict):
        return set()
    branches = [own, *(each for word in ("anyOf", "oneOf", "allOf") for each in own.get(word) or ())]
    return {str(each["format"]) for each in branches if isinstance(each, dict) and "format" in each}
