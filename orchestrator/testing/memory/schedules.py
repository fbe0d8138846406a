"""When schedules are due, and the runs they make."""

from __future__ import annotations

import math
from datetime import UTC, datetime
from typing import Any
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from orchestrator import clock
from orchestrator.ids import uuid7
from orchestrator.testing.memory.asked import Refusal, invalid
from orchestrator.testing.memory.definitions import Deployment, Schedule
from orchestrator.testing.memory.shown import micros_of, time_of
from orchestrator.testing.memory.store import Store

AHEAD = 60_000_000  # µs: how far ahead of its time a run is made
GRACE = 60_000_000  # µs: a time that was missed by more is skipped
ORIGIN = datetime(2020, 1, 1, tzinfo=UTC)
MAX_AT_ONCE = 120


def set_schedule(store: Store, deployment: Deployment, wanted: dict[str, Any] | None) -> None:
    """Give a deployment this schedule, or none. What a person paused stays paused."""
    present = deployment.schedule
    if wanted is None:
        if present is not None:
            withdraw(store, present)
        deployment.schedule = None
        return
    schedule = _read(wanted, present)
    _check(schedule)
    deployment.schedule = schedule
    if present is not None and (schedule.paused_by or schedule.times == present.times):
        schedule.active, schedule.next_at = present.active, present.next_at
        return
    if present is not None:
        withdraw(store, present)
    start(schedule)


def _read(wanted: dict[str, Any], present: Schedule | None) -> Schedule:
    schedule = Schedule(present.id if present else uuid7(), paused_by=present.paused_by if present else "")
    schedule.timezone = str(wanted.get("timezone") or "UTC")[:60]
    if "cron" in wanted:
        schedule.cron, schedule.day_or = str(wanted["cron"]).strip()[:200], bool(wanted.get("day_or", True))
    elif isinstance(wanted.get("interval"), int | float):
        schedule.interval, schedule.anchor = float(wanted["interval"]), _anchor(wanted.get("anchor"))
    else:
        raise invalid("A schedule is a cron or an interval.", "schedule", "Give `cron` or `interval`.")
    return schedule


def _anchor(value: Any) -> int | None:
    if value is None:
        return None
    try:
        moment = datetime.fromisoformat(str(value))
    except ValueError as error:
        raise invalid("The anchor is no time.", "schedule.anchor", "ISO 8601 with a zone.") from error
    if moment.tzinfo is None:
        raise invalid("The anchor has no zone.", "schedule.anchor", "ISO 8601 with a zone.")
    return micros_of(moment)


def _check(schedule: Schedule) -> None:
    try:
        ZoneInfo(schedule.timezone)
    except (ZoneInfoNotFoundError, ValueError, OSError) as error:
        message = "Use an IANA name such as Europe/Berlin, or UTC."
        raise invalid(f"There is no timezone {schedule.timezone!r}.", "schedule.timezone", message) from error
    if schedule.interval is not None:
        if not 1.0 <= schedule.interval <= 366 * 86_400:
            raise invalid("An interval is 1 s to 366 days.", "schedule.interval", "Seconds, 1 to 31622400.")
        return
    from cronsim import CronSimError

    try:
        if next_time(schedule, clock.now()) is None:
            raise CronSimError
    except CronSimError as error:
        message = "Five fields: minute hour day month weekday, as in `0 6 * * 1-5`."
        raise invalid(f"{schedule.cron!r} is no cron expression.", "schedule.cron", message) from error


def next_time(schedule: Schedule, after: int) -> int | None:
    """The first time after a moment; None when there is none."""
    if schedule.interval is not None:
        step = schedule.interval * 1_000_000
        anchor = schedule.anchor if schedule.anchor is not None else micros_of(ORIGIN)
        return anchor + int((math.floor((after - anchor) / step) + 1) * step)
    try:
        from cronsim import CronSim
    except ImportError:
        raise Refusal("unavailable", "Crons need cronsim: pip install 'orchestrator[testing]'.") from None
    moment = time_of(after)
    assert moment is not None
    times = CronSim(schedule.cron, moment.astimezone(ZoneInfo(schedule.timezone)))
    times.day_and = times.day_and or not schedule.day_or
    return next((at for at in (micros_of(each.astimezone(UTC)) for each in times) if at > after), None)


def start(schedule: Schedule) -> None:
    """Activate a schedule from now on."""
    schedule.active, schedule.paused_by = True, ""
    schedule.next_at = next_time(schedule, clock.now())


def pause(store: Store, schedule: Schedule, by: str) -> None:
    """Stop a schedule; its runs that are not due yet go."""
    schedule.active, schedule.paused_by, schedule.next_at = False, by, None
    withdraw(store, schedule)


def withdraw(store: Store, schedule: Schedule) -> None:
    """Take back the runs that the schedule has made ahead of their time."""
    at = clock.now()
    for run in list(store.runs.values()):
        ahead = run.due_at is not None and run.due_at > at
        if run.schedule is not None and run.schedule.id == schedule.id and run.attempt == 0 and ahead:
            del store.runs[run.id]


def take_times(schedule: Schedule) -> list[int]:
    """The times up to a minute ahead; the schedule moves behind them. Long missed ones are skipped."""
    at, times, moment = clock.now(), [], schedule.next_at
    if moment is not None and moment < at - GRACE:
        moment = next_time(schedule, at - GRACE)
    while moment is not None and moment <= at + AHEAD and len(times) < MAX_AT_ONCE:
        times.append(moment)
        moment = next_time(schedule, moment)
    schedule.next_at = moment
    return times


def show(schedule: Schedule | None) -> list[dict[str, Any]]:
    """A deployment's schedules as the API shows them."""
    if schedule is None:
        return []
    if schedule.interval is not None:
        times: dict[str, Any] = {"interval": schedule.interval, "anchor": time_of(schedule.anchor)}
    else:
        times = {"cron": schedule.cron, "day_or": schedule.day_or}
    upcoming: list[int] = []
    moment = clock.now() if schedule.active else None
    while moment is not None and len(upcoming) < 3:
        moment = next_time(schedule, moment)
        upcoming += [moment] if moment is not None else []
    named = {"timezone": schedule.timezone, "active": schedule.active}
    return [{**times, **named, "next": [time_of(at) for at in upcoming]}]
