"""The places of backfills: which run each has."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Sequence
from datetime import datetime
from uuid import UUID

from django.db.models import Q, QuerySet

from orchestrator.backfills import BAD
from runs.models import BackfillPlace, Deployment, FlowRun

AT_ONCE = 1_000
MAX_CHAIN = 20  # retries of retries that are followed


def replace(former: UUID, run: UUID) -> None:
    """A retry takes the place of the run that it retries."""
    BackfillPlace.objects.filter(run_id=former).update(run_id=run)


def runs_at(deployment: Deployment, schedule: UUID | None, times: Sequence[datetime]) -> dict[datetime, FlowRun]:
    """The last run for each of these times, as far as there is one: of the schedule, or without one of any schedule of
    the deployment and of its backfills.
    """
    found: dict[datetime, FlowRun] = {}
    for start in range(0, len(times), AT_ONCE):
        some = times[start : start + AT_ONCE]
        for run in _of(deployment, schedule, some).order_by("created_at", "id"):
            found[run.scheduled_at] = run
    return _retried(found)


def _of(deployment: Deployment, schedule: UUID | None, times: Sequence[datetime]) -> QuerySet[FlowRun]:
    rows = FlowRun.objects.filter(scheduled_at__in=list(times))
    rows = rows.only("id", "organization_id", "state_type", "scheduled_at", "retry_of", "created_at")
    if schedule is not None:
        return rows.filter(schedule_id=schedule)
    own = list(deployment.schedules.values_list("id", flat=True))
    return rows.filter(Q(schedule_id__in=own) | Q(deployment=deployment, backfill_id__isnull=False))


def _retried(found: dict[datetime, FlowRun]) -> dict[datetime, FlowRun]:
    """The last retry in the place of each run that went wrong."""
    at = {run.id: time for time, run in found.items() if run.state_type in BAD}
    for _ in range(MAX_CHAIN):
        if not at:
            break
        later: dict[UUID, datetime] = {}
        for retry in _retries(at):
            time = at[retry.retry_of]
            found[time] = retry
            later[retry.id] = time
        at = {id: time for id, time in later.items() if found[time].id == id and found[time].state_type in BAD}
    return found


def _retries(ids: Collection[UUID]) -> Iterable[FlowRun]:
    rows = FlowRun.objects.filter(retry_of__in=list(ids)).order_by("created_at", "id")
    return rows.only("id", "organization_id", "state_type", "scheduled_at", "retry_of", "created_at")
