"""Deployments with what their list shows: the last states, the schedule, the next time."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from uuid import UUID

from django.db import connection
from django.db.models import QuerySet
from django.utils.timezone import now

from orchestrator.agent_messages import SERVED
from runs import schedules
from runs.deployments import in_workspace
from runs.models import Agent, Deployment, FlowRun, Schedule
from runs.models.definitions import CONNECTED_WITHIN
from tenants.errors import NotFound
from tenants.permissions import Actor

LAST_RUNS = 12
PAGE = 100
MOST_WAITING = 1_000


@dataclass(frozen=True, slots=True)
class DeploymentRow:
    """A line of the list. `last` holds its newest runs, oldest first: (id, type, name, seconds)."""

    deployment: Deployment
    schedules: list[Schedule]
    next_at: datetime | None
    last: list[tuple[UUID, str, str, float]]


_LAST = """
    SELECT d.id, r.id, r.state_type, r.state_name, r.duration FROM unnest(%s::uuid[]) d (id)
    CROSS JOIN LATERAL (
        SELECT id, state_type, state_name, duration, created_at FROM flow_run r
        WHERE r.deployment_id = d.id AND (r.state_type <> 'SCHEDULED' OR r.attempt > 0)
        ORDER BY r.created_at DESC, r.id DESC LIMIT %s
    ) r ORDER BY d.id, r.created_at
"""


def rows(by: Actor, *, text: str = "") -> list[DeploymentRow]:
    """The workspace's deployments that the actor may see, last changed first."""
    found = in_workspace(by)
    if text:
        found = found.filter(name__icontains=text) | found.filter(flow__name__icontains=text)
    return _rows(found)


def of_flow(by: Actor, flow_id: UUID) -> list[DeploymentRow]:
    """The deployments of one flow, last changed first."""
    return _rows(in_workspace(by).filter(flow_id=flow_id))


def _rows(found: QuerySet[Deployment]) -> list[DeploymentRow]:
    deployments = list(found.prefetch_related("schedules").order_by("-updated_at", "-id")[:PAGE])
    last = last_runs([deployment.id for deployment in deployments])
    return [_row(deployment, last.get(deployment.id, [])) for deployment in deployments]


def _row(deployment: Deployment, last: list[tuple[UUID, str, str, float]]) -> DeploymentRow:
    own = schedules.of_deployment(deployment)
    times = [at for schedule in own for at in schedules.upcoming(schedule, 1)]
    return DeploymentRow(deployment, own, min(times, default=None), last)


def last_runs(ids: list[UUID]) -> dict[UUID, list[tuple[UUID, str, str, float]]]:
    """The newest runs of each deployment that were begun, oldest first, in one query."""
    found: dict[UUID, list[tuple[UUID, str, str, float]]] = {}
    with connection.cursor() as cursor:
        cursor.execute(_LAST, [ids, LAST_RUNS])
        for deployment_id, run_id, state_type, state_name, micros in cursor.fetchall():
            found.setdefault(deployment_id, []).append((run_id, state_type, state_name, micros / 1e6))
    return found


def find(by: Actor, id: UUID) -> DeploymentRow:
    """One deployment.

    Raises:
        NotFound: There is none.
    """
    deployment = in_workspace(by).prefetch_related("schedules").filter(id=id).first()
    if deployment is None:
        raise NotFound("There is no such deployment here.")
    return _row(deployment, last_runs([deployment.id]).get(deployment.id, []))


@dataclass(frozen=True, slots=True)
class Served:
    """By how many processes a deployment is served, and how many of its runs wait for one (`most` are counted)."""

    connected: int
    waiting: int
    most: int = MOST_WAITING


def served(deployment: Deployment) -> Served | None:
    """Who serves a deployment; None for one that agents execute."""
    if not deployment.queue.name.startswith(SERVED):
        return None
    own = Agent.objects.filter(pool_id=deployment.pool_id, queues__contains=[deployment.queue.name])
    waiting = FlowRun.objects.filter(
        pool_id=deployment.pool_id, queue_id=deployment.queue_id, state_type="SCHEDULED", due_at__lte=now()
    )
    return Served(
        connected=own.filter(last_seen_at__gt=now() - CONNECTED_WITHIN).count(),
        waiting=waiting[:MOST_WAITING].count(),
    )


def history(deployment: Deployment, number: int = 25) -> list[FlowRun]:
    """Its newest runs."""
    own = FlowRun.objects.filter(deployment_id=deployment.id).select_related("flow", "deployment", "pool")
    return list(own.defer("history", "error").order_by("-created_at", "-id")[:number])
