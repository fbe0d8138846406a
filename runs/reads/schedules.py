"""Schedules as pages show them: all of a workspace, each with its last run and its next time."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from uuid import UUID

from django.db import connection
from django.db.models import F, Q, QuerySet

from orchestrator.storable import clean_text
from runs import schedules
from runs.hidden import hidden_deployments
from runs.models import FlowRun, Schedule
from tenants.permissions import Actor

PAGE = 50


@dataclass(frozen=True, slots=True)
class ScheduleRow:
    """A line of the list. `last` is the newest of its runs whose time has come."""

    schedule: Schedule
    next_at: datetime | None
    last: FlowRun | None


_LAST = """
    SELECT s.id, r.id FROM unnest(%s::uuid[]) s (id) CROSS JOIN LATERAL (
        SELECT id FROM flow_run r WHERE r.schedule_id = s.id AND r.scheduled_at <= now()
        ORDER BY r.scheduled_at DESC LIMIT 1
    ) r
"""


def in_workspace(by: Actor) -> QuerySet[Schedule]:
    """The workspace's schedules, of deployments that the actor may see."""
    own = Schedule.objects.filter(workspace_id=by.workspace_id).select_related("deployment__flow")
    hidden = hidden_deployments(by)
    return own.exclude(deployment_id__in=hidden) if hidden else own


def page(by: Actor, *, text: str, only: str, number: int) -> tuple[list[ScheduleRow], bool]:
    """A page of the schedules, the next ones first and those that are paused last; and whether there are more."""
    rows = in_workspace(by)
    if text := clean_text(text.strip(), 200):
        named = (
            Q(slug__icontains=text) | Q(deployment__name__icontains=text) | Q(deployment__flow__name__icontains=text)
        )
        rows = rows.filter(named)
    if only in {"active", "paused"}:
        rows = rows.filter(active=only == "active")
    elif only == "refused":
        rows = rows.exclude(refusal="")
    ordered = rows.order_by(F("next_at").asc(nulls_last=True), "id")
    found = list(ordered[number * PAGE : (number + 1) * PAGE + 1])
    return with_last(found[:PAGE]), len(found) > PAGE


def with_last(found: list[Schedule]) -> list[ScheduleRow]:
    """Each with its newest run, in one query for all."""
    last = _last_runs([schedule.id for schedule in found])
    rows = []
    for schedule in found:
        times = schedules.upcoming(schedule, 1)
        rows.append(ScheduleRow(schedule, times[0] if times else None, last.get(schedule.id)))
    return rows


def _last_runs(ids: list[UUID]) -> dict[UUID, FlowRun]:
    if not ids:
        return {}
    with connection.cursor() as cursor:
        cursor.execute(_LAST, [ids])
        found = dict(cursor.fetchall())
    runs = FlowRun.objects.defer("history", "error").in_bulk(found.values())
    return {schedule: runs[run] for schedule, run in found.items()}
