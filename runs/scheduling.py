"""The tick that turns due times of schedules into runs, in sets."""

from __future__ import annotations

import logging
from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from itertools import chain
from uuid import UUID

from django.db import connection, transaction
from django.utils.timezone import now

from orchestrator.schedule_times import last_times, times_after
from orchestrator.states import By, StateType
from runs import events
from runs.models import FlowRun, Schedule
from runs.transitions import lock_runs, move, save
from runs.trigger import RunRequest, check_request, create_runs
from tenants.errors import LimitReached, Problem
from tenants.permissions import Actor

logger = logging.getLogger(__name__)
AHEAD = timedelta(seconds=60)
"""How far ahead of its time a run is made, so that agents know of it in time."""
GRACE = timedelta(seconds=60)
"""A time that was missed by more than this was missed: the platform was away. What then is for the schedule to say."""
MAX_AT_ONCE = 120  # runs of one schedule in one tick
RUNS_AT_ONCE = 500  # in one transaction, or a little more


def due(*, limit: int, but: Collection[UUID] = ()) -> list[tuple[UUID, UUID]]:
    """(organization, schedule) of schedules with a time within the next minute, `but` some. In the system's scope.

    What is deleted starts nothing; restored within its time, it goes on with the next time.
    """
    with connection.cursor() as cursor:
        cursor.execute(
            "SELECT s.organization_id, s.id FROM schedule s JOIN organization o ON o.id = s.organization_id"
            " JOIN workspace w ON w.organization_id = s.organization_id AND w.id = s.workspace_id"
            " WHERE s.active AND s.next_at <= %s AND o.deleted_at IS NULL AND w.deleted_at IS NULL"
            " AND NOT s.id = ANY(%s) ORDER BY s.next_at LIMIT %s",
            [now() + AHEAD, list(but), limit],
        )
        return cursor.fetchall()


@dataclass(slots=True)
class _Turn:
    """A schedule in one tick: the runs that it is to make, and what became of them."""

    schedule: Schedule
    requests: list[RunRequest]
    refusal: str | None = None
    made: list[UUID] = field(default_factory=list)


def create_due_runs(organization_id: UUID, schedule_ids: Collection[UUID]) -> list[UUID]:
    """Make the runs of one organization's schedules up to a minute ahead, and move the schedules on.

    Two ticks at once do no harm: schedules are taken by SKIP LOCKED, runs carry (schedule, time) as their key. What
    doesn't fit into one transaction stays due, and is the next tick's.
    """
    at = now()
    rows = Schedule.objects.select_for_update(skip_locked=True, of=("self",))
    rows = rows.select_related("deployment__flow").filter(id__in=schedule_ids, active=True, next_at__lte=at + AHEAD)
    turns: list[_Turn] = []
    number = 0
    for schedule in rows.order_by("next_at", "id"):
        if number >= RUNS_AT_ONCE:
            break
        times = take_times(schedule, at)
        turns.append(_Turn(schedule, [_request(schedule, time) for time in times if not schedule.deployment.paused]))
        number += len(times)
    made = _create(turns)
    _move_on(turns)
    return made


def _create(turns: Sequence[_Turn]) -> list[UUID]:
    """The runs of all of them together; where that is refused, of those that are not to blame."""
    willing = [turn for turn in turns if turn.requests]
    if not willing:
        return []
    try:
        return _create_of(willing)
    except LimitReached as problem:
        _refuse(willing, problem)
        return []
    except Problem:
        for turn in willing:
            _try_alone(turn)
    fit = [turn for turn in willing if turn.refusal is None]
    try:
        return _create_of(fit)
    except Problem:  # Something went in this very moment, such as a deployment. The next tick finds out what.
        logger.warning("schedules make their runs one by one", exc_info=True)
        return [id for turn in fit for id in _create_alone(turn)]


def _create_of(turns: Sequence[_Turn]) -> list[UUID]:
    requests = [request for turn in turns for request in turn.requests]
    if not requests:
        return []
    first = turns[0].schedule
    by_workspace: dict[UUID, list[RunRequest]] = {}
    for request in requests:
        by_workspace.setdefault(request.deployment.workspace_id, []).append(request)
    made: list[UUID] = []
    with transaction.atomic():
        for workspace_id, some in by_workspace.items():
            actor = Actor("schedule", first.organization_id, workspace_id, "", "schedule")
            made += create_runs(some, by=actor, origin=FlowRun.Origin.SCHEDULE)[1]
    for turn in turns:
        turn.refusal = ""
    return made


def _try_alone(turn: _Turn) -> None:
    try:
        check_request(turn.requests[0])
    except Problem as problem:
        _refuse([turn], problem)


def _create_alone(turn: _Turn) -> list[UUID]:
    try:
        return _create_of([turn])
    except Problem as problem:
        _refuse([turn], problem)
        return []


def _refuse(turns: Sequence[_Turn], problem: Problem) -> None:
    for turn in turns:
        turn.refusal = problem.message
        if turn.schedule.refusal != problem.message:
            logger.warning("schedule %s makes no runs: %s", turn.schedule.id, problem)


def _move_on(turns: Sequence[_Turn]) -> None:
    """Write where all of them have come to, in one statement. Of a new refusal whoever waits for it hears."""
    for turn in turns:
        if turn.refusal and turn.refusal != turn.schedule.refusal:
            _tell_refusal(turn.schedule)
        turn.schedule.refusal = turn.schedule.refusal if turn.refusal is None else turn.refusal
    rows = [(turn.schedule.id, turn.schedule.next_at, turn.schedule.refusal) for turn in turns]
    if rows:
        with connection.cursor() as cursor:
            cursor.execute(
                "UPDATE schedule s SET next_at = n.next_at, refusal = n.refusal"
                " FROM unnest(%s::uuid[], %s::timestamptz[], %s::text[]) n (id, next_at, refusal) WHERE s.id = n.id",
                [list(column) for column in zip(*rows, strict=True)],
            )


def _tell_refusal(schedule: Schedule) -> None:
    """The schedule says why it made no run, and whoever waits for such an event hears of it."""
    about = {"deployment": str(schedule.deployment_id), "schedule": str(schedule.id)}
    events.tell(workspace_id=schedule.workspace_id, event="schedule.refused",
                organization_id=schedule.organization_id, resources=[about])  # fmt: skip


def take_times(schedule: Schedule, at: datetime) -> list[datetime]:
    """The times from `next_at` to a minute ahead; `next_at` moves behind them. Of missed ones, what is made up for."""
    if schedule.next_at is None:
        return []
    times = _missed(schedule, schedule.next_at, at - GRACE)[:MAX_AT_ONCE]
    following = _from(schedule, times[-1] if len(times) == MAX_AT_ONCE else None, at - GRACE)
    schedule.next_at = None
    for time in following:
        if time > at + AHEAD or len(times) == MAX_AT_ONCE:
            schedule.next_at = time
            break
        times.append(time)
    late = schedule.skip_if_late
    return [time for time in times if late is None or time + timedelta(seconds=late) > at]


def _from(schedule: Schedule, last: datetime | None, oldest: datetime) -> Iterator[datetime]:
    """The times after the last one that was made up for; else `next_at` and those after it, unless they were missed."""
    if last is not None:
        return times_after(schedule.times, last)
    if schedule.next_at is not None and schedule.next_at >= oldest:
        return chain([schedule.next_at], times_after(schedule.times, schedule.next_at))
    return times_after(schedule.times, oldest - timedelta(microseconds=1))


def _missed(schedule: Schedule, since: datetime, until: datetime) -> list[datetime]:
    """The times before `until` that are made up for."""
    if since >= until or schedule.catch_up == Schedule.CatchUp.SKIP:
        return []
    number = 1 if schedule.catch_up == Schedule.CatchUp.LATEST else schedule.catch_up_max
    return last_times(schedule.times, since, until - timedelta(microseconds=1), number)


def _request(schedule: Schedule, time: datetime) -> RunRequest:
    late = schedule.skip_if_late
    return RunRequest(
        deployment=schedule.deployment,
        parameters=schedule.parameters,
        scheduled_at=time,
        start_by=None if late is None else time + timedelta(seconds=late),
        idempotency_key=f"schedule:{schedule.id}:{time.isoformat()}",
        schedule_id=schedule.id,
    )


# ── what came too late ───────────────────────────────────────────────────────────────────────────


def too_late(*, limit: int) -> list[tuple[UUID, UUID]]:
    """(organization, run) of runs that were not started by the time by which they had to. In the system's scope."""
    with connection.cursor() as cursor:
        cursor.execute(
            "SELECT organization_id, id FROM flow_run WHERE state_type = 'SCHEDULED' AND start_by < %s"
            " AND started_at IS NULL ORDER BY start_by LIMIT %s",
            [now(), limit],
        )
        return cursor.fetchall()


def skip(ids: Collection[UUID]) -> None:
    """End runs of one organization that nobody has started in time, as their schedule wishes."""
    rows = lock_runs(ids, skip_locked=True)
    late = FlowRun.objects.filter(id__in=rows, start_by__lt=now(), started_at=None)
    for id, start_by in late.values_list("id", "start_by"):
        if rows[id].state_type == StateType.SCHEDULED:
            message = f"It was to start by {start_by:%Y-%m-%d %H:%M:%S} UTC or not at all; no agent has taken it."
            move(rows[id], StateType.CANCELLED, by=By.SERVER, name="Skipped", message=message)
    save(rows.values())
