"""What a new run of a deployment would be like, told from its history and from what waits now. Nothing is written."""

from __future__ import annotations

from datetime import datetime
from uuid import UUID

from django.db import connection
from django.utils.timezone import now

from orchestrator.causes import Explanation
from orchestrator.concurrency_keys import fill
from orchestrator.estimates import LAST, LOOKED_AT, History
from orchestrator.ids import uuid7
from orchestrator.states import StateType
from runs.explain import explain
from runs.models import FlowRun
from runs.trigger import RunRequest, queue_of
from tenants.permissions import Actor

_TOOK = """
    SELECT count(*), percentile_cont(0.5) WITHIN GROUP (ORDER BY took),
        percentile_cont(0.95) WITHIN GROUP (ORDER BY took)
    FROM (
        SELECT extract(epoch FROM ended_at - started_at) AS took FROM (
            SELECT state_type, started_at, ended_at, created_at FROM flow_run WHERE deployment_id = %s
            ORDER BY created_at DESC, id DESC LIMIT %s
        ) newest WHERE state_type = 'COMPLETED' AND started_at <= ended_at ORDER BY created_at DESC LIMIT %s
    ) last
"""


def estimate(request: RunRequest, *, by: Actor) -> tuple[History, Explanation]:
    """How long the deployment's last runs took, and why and how long a run of this request would wait.

    Its parameters are not looked at: `trigger.check_request` does that.

    Raises:
        Invalid: The deployment's pool has no such queue.
    """
    return took(request.deployment.id), explain(_imagined(request, now()), by=by)


def took(deployment_id: UUID) -> History:
    """How long the last runs took, of those that completed."""
    with connection.cursor() as cursor:
        cursor.execute(_TOOK, [deployment_id, LOOKED_AT, LAST])
        number, median, p95 = cursor.fetchone()
    return History(number, None if median is None else round(median, 6), None if p95 is None else round(p95, 6))


def _imagined(request: RunRequest, at: datetime) -> FlowRun:
    """A run that is due now, and in no table."""
    deployment, id, key = request.deployment, uuid7(), request.concurrency_key
    if key is None:
        given = {**deployment.parameters, **request.parameters}
        key = fill(deployment.concurrency_key, given, deployment.parameter_schema)
    return FlowRun(
        id=id, root_id=id, organization_id=deployment.organization_id, workspace_id=deployment.workspace_id,
        flow=deployment.flow, deployment=deployment, pool=deployment.pool, queue_id=queue_of(request),
        priority=request.priority, concurrency_key=key, state_type=StateType.SCHEDULED,
        state_name="Scheduled", state_at=at, created_at=at, due_at=at,
    )  # fmt: skip
