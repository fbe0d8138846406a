"""When schedules are due, and the tick that turns due times into runs."""

from __future__ import annotations

import logging
import math
from collections.abc import Collection
from datetime import UTC, datetime, timedelta
from uuid import UUID
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from cronsim import CronSim, CronSimError
from django.db import connection
from django.utils.timezone import now

from runs import events, live
from runs.models import FlowRun, Schedule
from runs.schema import check_parameters
from runs.trigger import RunRequest, create_runs
from tenants.errors import Invalid, Problem
from tenants.permissions import Actor

logger = logging.getLogger(__name__)
AHEAD = timedelta(seconds=60)
"""How far ahead of its time a run is made, so that agents know of it in time."""
GRACE = timedelta(seconds=60)
"""A time that was missed by more than this, while the platform was away, is skipped."""
SHORTEST = 1.0  # seconds between two runs
MAX_AT_ONCE = 120  # runs of one schedule in one tick


def check(schedule: Schedule) -> None:
    """Refuse a schedule that has no next time.

    Raises:
        Invalid: With what to write instead.
    """
    try:
        ZoneInfo(schedule.timezone)
    except (ZoneInfoNotFoundError, ValueError, OSError) as error:
        message = "Use an IANA name such as Europe/Berlin, or UTC."
        raise Invalid(f"There is no timezone {schedule.timezone!r}.", fields={"schedule.timezone": message}) from error
    if schedule.kind == Schedule.Kind.INTERVAL:
        if schedule.interval is None or not SHORTEST <= schedule.interval <= 366 * 86_400:
            raise Invalid("An interval is 1 s to 366 days.", fields={"schedule.interval": "Seconds, 1 to 31622400."})
        return
    try:
        next(_cron(schedule, now()))
    except (CronSimError, StopIteration) as error:
        message = "Five fields: minute hour day month weekday, as in `0 6 * * 1-5`."
        raise Invalid(f"{schedule.cron!r} is no cron expression.", fields={"schedule.cron": message}) from error


def check_parameters_of(schedule: Schedule) -> None:
    """Refuse a schedule whose runs would lack a parameter: nobody sits there to fill it in.

    Raises:
        Invalid: `fields` says which.
    """
    deployment = schedule.deployment
    check_parameters(deployment.parameter_schema, {**deployment.parameters, **schedule.parameters})


def _cron(schedule: Schedule, after: datetime) -> CronSim:
    """The cron's times on the wall clock of its zone. `day_or`: of day and weekday one is enough, as cron has it."""
    times = CronSim(schedule.cron, after.astimezone(ZoneInfo(schedule.timezone)))
    times.day_and = times.day_and or not schedule.day_or
    return times


def next_time(schedule: Schedule, after: datetime) -> datetime | None:
    """The first time after a moment, UTC; None when there is none.

    Cron follows the wall clock of its timezone: a time that the clock skips in spring is made up for just after, one
    that comes twice in autumn runs once. Intervals are absolute: the anchor and every `interval` seconds from it.
    """
    if schedule.kind == Schedule.Kind.INTERVAL:
        anchor = schedule.anchor or datetime(2020, 1, 1, tzinfo=UTC)
        step = float(schedule.interval or 0)
        count = math.floor((after - anchor).total_seconds() / step) + 1
        return anchor + timedelta(seconds=count * step)
    for moment in _cron(schedule, after):
        if moment.astimezone(UTC) > after:  # Asked within the hour that comes twice, it begins with the first one.
            return moment.astimezone(UTC)
    return None


def upcoming(schedule: Schedule, number: int) -> list[datetime]:
    """The next times, for pages. They are computed, not stored."""
    times: list[datetime] = []
    moment: datetime | None = now()
    while schedule.active and moment is not None and len(times) < min(number, 100):
        moment = next_time(schedule, moment)
        if moment is not None:
            times.append(moment)
    return times


def due(*, limit: int) -> list[tuple[UUID, UUID]]:
    """(organization, schedule) of schedules with a time within the next minute. Asked in the system's scope.

    What is deleted starts nothing; restored within its time, it goes on with the next time.
    """
    with connection.cursor() as cursor:
        cursor.execute(
            "SELECT s.organization_id, s.id FROM schedule s JOIN organization o ON o.id = s.organization_id"
            " JOIN workspace w ON w.organization_id = s.organization_id AND w.id = s.workspace_id"
            " WHERE s.active AND s.next_at <= %s AND o.deleted_at IS NULL AND w.deleted_at IS NULL"
            " ORDER BY s.next_at LIMIT %s",
            [now() + AHEAD, limit],
        )
        return cursor.fetchall()


def create_due_runs(organization_id: UUID, schedule_ids: Collection[UUID]) -> list[UUID]:
    """Make the runs of one organization's schedules up to a minute ahead, and move the schedules on.

    Two ticks at once do no harm: schedules are taken by SKIP LOCKED, runs carry (schedule, time) as their key.
    """
    at = now()
    rows = Schedule.objects.select_for_update(skip_locked=True, of=("self",)).select_related("deployment__flow")
    made: list[UUID] = []
    for schedule in rows.filter(id__in=schedule_ids, active=True).order_by("id"):
        times = _take_times(schedule, at)
        requests = [_request(schedule, time) for time in times if not schedule.deployment.paused]
        made += _create(schedule, requests)
        schedule.save(update_fields=["next_at", "refusal"])
    return made


def _create(schedule: Schedule, requests: list[RunRequest]) -> Collection[UUID]:
    actor = Actor("schedule", schedule.organization_id, schedule.workspace_id, "", "schedule")
    if not requests:
        return []
    try:
        made = create_runs(requests, by=actor, origin=FlowRun.Origin.SCHEDULE)[1]
        schedule.refusal = ""
        return made
    except Problem as problem:
        logger.warning("schedule %s makes no runs: %s", schedule.id, problem)
        _note_refusal(schedule, problem.message)
        return []


def _note_refusal(schedule: Schedule, why: str) -> None:
    """The schedule says why it made no run, and whoever waits for such an event hears of it."""
    if schedule.refusal != why:
        about = {"deployment": str(schedule.deployment_id), "schedule": str(schedule.id)}
        events.tell(workspace_id=schedule.workspace_id, event="schedule.refused",
                    organization_id=schedule.organization_id, resources=[about])  # fmt: skip
    schedule.refusal = why


def _take_times(schedule: Schedule, at: datetime) -> list[datetime]:
    """The times from `next_at` to a minute ahead; `next_at` moves behind them. Long missed ones are skipped."""
    times: list[datetime] = []
    moment = schedule.next_at
    if moment is not None and moment < at - GRACE:
        moment = next_time(schedule, at - GRACE)
    while moment is not None and moment <= at + AHEAD and len(times) < MAX_AT_ONCE:
        times.append(moment)
        moment = next_time(schedule, moment)
    schedule.next_at = moment
    return times


def _request(schedule: Schedule, time: datetime) -> RunRequest:
    return RunRequest(
        deployment=schedule.deployment,
        parameters=schedule.parameters,
        scheduled_at=time,
        idempotency_key=f"schedule:{schedule.id}:{time.isoformat()}",
        schedule_id=schedule.id,
    )


def start(schedule: Schedule) -> None:
    """Activate a schedule from now on, and save it."""
    check(schedule)
    schedule.active, schedule.paused_by = True, ""
    schedule.next_at = next_time(schedule, now())
    schedule.save()


def pause(schedule: Schedule, *, by: str) -> None:
    """Stop a schedule; its runs that are not due yet go, in the same transaction. Survives redeploys."""
    schedule.active, schedule.paused_by, schedule.next_at = False, by, None
    schedule.save(update_fields=["active", "paused_by", "next_at"])
    withdraw(schedule)


def withdraw(schedule: Schedule) -> None:
    """Delete the runs that the schedule has made ahead of their time."""
    FlowRun.objects.filter(schedule=schedule, state_type="SCHEDULED", attempt=0, due_at__gt=now()).delete()
    live.changed(workspace_id=schedule.workspace_id, what="runs")
