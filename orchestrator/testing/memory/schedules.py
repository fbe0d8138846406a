"""When schedules are due, and the runs they make."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from datetime import datetime
from itertools import chain, islice
from typing import Any

from orchestrator import clock
from orchestrator.ids import uuid7
from orchestrator.schedule_bodies import ScheduleInput, matched, paused_after_deploy, read_schedule, shown
from orchestrator.schedule_times import ScheduleRefusal, Times, last_times, times_after
from orchestrator.storable import json_value
from orchestrator.testing.memory.asked import Refusal, invalid
from orchestrator.testing.memory.definitions import Deployment, Schedule
from orchestrator.testing.memory.shown import micros_of, time_of
from orchestrator.testing.memory.store import Store

AHEAD = 60_000_000  # µs: how far ahead of its time a run is made
GRACE = 60_000_000  # µs: a time that was missed by more was missed
MAX_AT_ONCE = 120

Read = tuple[ScheduleInput, Times]


def now() -> datetime:
    at = time_of(clock.now())
    assert at is not None
    return at


def after(times: Times, after: datetime) -> Iterator[datetime]:
    try:
        return times_after(times, after)
    except ImportError:
        raise Refusal("unavailable", "Crons need cronsim: pip install 'orchestrator[testing]'.") from None


def _next(schedule: Schedule) -> int | None:
    found = next(after(schedule.times, now()), None)
    return None if found is None else micros_of(found)


def read(told: Mapping[str, Any], where: str = "") -> Read:
    try:
        return read_schedule(told, now())
    except ScheduleRefusal as refusal:
        raise refused(refusal, where) from refusal
    except ImportError:
        raise Refusal("unavailable", "Crons need cronsim: pip install 'orchestrator[testing]'.") from None


def refused(refusal: ScheduleRefusal, where: str) -> Refusal:
    return Refusal("invalid", str(refusal), refusal.beneath(where))


# By a deploy.


def read_deployed(told: Any) -> list[Read]:
    """The schedules that a deploy wants, checked."""
    if told.schedule is not None and told.schedules is not None:
        raise invalid("Give one schedule or several.", "schedule", "It may stand among `schedules`.")
    if told.schedule is not None:
        return [read(told.schedule, "schedule")]
    return [read(one, f"schedules.{place}") for place, one in enumerate(told.schedules or ())]


def set_deployed(store: Store, deployment: Deployment, read: list[Read]) -> None:
    """Give a deployment these schedules. What a person paused stays paused, what a person added stays."""
    present = deployment.schedules
    try:
        slugs = matched(read, list(present.values()))
    except ScheduleRefusal as refusal:
        raise invalid(str(refusal), "schedules", refusal.fields[""]) from refusal
    for slug, (told, times) in zip(slugs, read, strict=True):
        known = present.get(slug)
        schedule = known or Schedule(uuid7(), slug, created_at=clock.now())
        before = schedule.whole
        fill(schedule, told, times)
        schedule.deployed = True
        paused_by = paused_after_deploy(known.paused_by if known and not known.active else None, told.active)
        if known is None or before != schedule.whole or bool(paused_by) == schedule.active:
            withdraw(store, schedule)
            begin(schedule, paused_by)
        present[slug] = schedule
    for slug in [slug for slug, each in present.items() if each.deployed and slug not in slugs]:
        withdraw(store, present.pop(slug))


def fill(schedule: Schedule, told: ScheduleInput, times: Times) -> None:
    schedule.times, schedule.parameters = times, json_value(told.parameters)
    schedule.catch_up, schedule.catch_up_max = told.catch_up, told.catch_up_max
    schedule.skip_if_late = told.skip_if_late


def begin(schedule: Schedule, by: str) -> None:
    schedule.active, schedule.paused_by = not by, by
    schedule.paused_at = None if not by else schedule.paused_at or clock.now()
    schedule.next_at = _next(schedule) if schedule.active else None


def find(deployment: Deployment, slug: str) -> Schedule:
    """A schedule of a deployment."""
    if slug not in deployment.schedules:
        raise Refusal("not_found", f"This deployment has no schedule {slug!r:.110}.")
    return deployment.schedules[slug]


def start(schedule: Schedule) -> None:
    """Activate a schedule from now on."""
    begin(schedule, "")


def stop(store: Store, schedule: Schedule, by: str) -> None:
    """Stop a schedule; its runs that are not due yet go."""
    schedule.active, schedule.paused_by, schedule.next_at, schedule.paused_at = False, by, None, clock.now()
    withdraw(store, schedule)


def withdraw(store: Store, schedule: Schedule) -> None:
    """Take back the runs that the schedule has made ahead of their time."""
    at = clock.now()
    for run in list(store.runs.values()):
        ahead = run.due_at is not None and run.due_at > at
        if run.schedule is not None and run.schedule.id == schedule.id and run.attempt == 0 and ahead:
            del store.runs[run.id]


def take_times(schedule: Schedule) -> list[int]:
    """The times up to a minute ahead; the schedule moves behind them. Of missed ones, what is made up for."""
    at = clock.now()
    if schedule.next_at is None or schedule.next_at > at + AHEAD:
        return []
    times, first = _missed(schedule, at - GRACE)[:MAX_AT_ONCE], schedule.next_at
    since = times[-1] if len(times) == MAX_AT_ONCE else max(first, at - GRACE - 1)
    schedule.next_at = None
    present = [first] if since == first else []
    for moment in chain(present, map(micros_of, after(schedule.times, time_of(since) or now()))):
        if moment > at + AHEAD or len(times) == MAX_AT_ONCE:
            schedule.next_at = moment
            break
        times.append(moment)
    late = schedule.skip_if_late
    return [time for time in times if late is None or time + late * 1e6 > at]


def _missed(schedule: Schedule, until: int) -> list[int]:
    since = schedule.next_at
    if since is None or since >= until or schedule.catch_up == "skip":
        return []
    number = 1 if schedule.catch_up == "latest" else schedule.catch_up_max
    begin, end = time_of(since), time_of(until - 1)
    assert begin is not None
    assert end is not None
    return [micros_of(at) for at in last_times(schedule.times, begin, end, number)]


# What is told.


def described(schedule: Schedule) -> dict[str, Any]:
    """What a schedule is, as it is given."""
    return {
        **shown(schedule.times),
        "timezone": schedule.times.timezone,
        "slug": schedule.slug,
        "parameters": schedule.parameters,
        "active": schedule.active,
        "catch_up": schedule.catch_up,
        "catch_up_max": schedule.catch_up_max,
        "skip_if_late": schedule.skip_if_late,
    }


def show(schedule: Schedule) -> dict[str, Any]:
    """A schedule as the API shows it."""
    upcoming = islice(after(schedule.times, now()), 3) if schedule.active else ()
    return {
        "id": schedule.id,
        **described(schedule),
        "deployed": schedule.deployed,
        "paused_by": schedule.paused_by,
        "paused_at": time_of(schedule.paused_at),
        "refusal": schedule.refusal,
        "next": list(upcoming),
    }


def show_all(deployment: Deployment) -> list[dict[str, Any]]:
    """A deployment's schedules, by their slugs."""
    return [show(deployment.schedules[slug]) for slug in sorted(deployment.schedules)]
