"""What of a workspace's work goes along when it moves to another organization, and what stops where it was."""

from __future__ import annotations

from django.db import connection
from django.db.models import Q
from django.utils.timezone import now

from orchestrator.states import ALIVE
from runs import schedules
from runs.backfills import operations as backfills
from runs.models import Agent, Automation, Deployment, DeploymentVersion, FlowRun, Schedule, Webhook
from runs.models.definitions import CONNECTED_WITHIN
from tenants.errors import Conflict
from tenants.leaving.transfer import archives, asks_before, follows, goes_along
from tenants.models import Workspace
from tenants.scope import another_tenant

MAX_COUNTED = 100

goes_along(
    "flow", "work_pool", "work_queue", "concurrency_limit", "named_limit", "deployment", "deployment_version",
    "schedule", "automation",
)  # fmt: skip


@asks_before
def nothing_is_under_way(workspace: Workspace) -> None:
    """Refuse while runs wait or go on, or agents are there. What schedules made ahead of its time doesn't count."""
    ahead = Q(schedule__isnull=False, state_type="SCHEDULED", attempt=0, due_at__gt=now())
    alive = FlowRun.objects.filter(workspace=workspace, state_type__in=ALIVE).exclude(ahead)
    if runs := alive[:MAX_COUNTED].count():
        raise Conflict(f"{_counted(runs, 'run')} of it have not ended. Cancel them, or wait for them.")
    there = Agent.objects.filter(workspace=workspace, last_seen_at__gt=now() - CONNECTED_WITHIN)
    if agents := there[:MAX_COUNTED].count():
        raise Conflict(f"{_counted(agents, 'agent')} of it are connected. Stop them, then wait for two minutes.")


def _counted(number: int, what: str) -> str:
    return f"{number} {what}{'' if number == 1 else 's'}" if number < MAX_COUNTED else f"{number} {what}s and more"


@follows
def take_code_along(workspace: Workspace, made: Workspace) -> None:
    """Copy the bundles that its deployments and their versions name, one after the other."""
    sources = [
        *Deployment.objects.filter(workspace=workspace, source__type="bundle").values_list("source", flat=True),
        *DeploymentVersion.objects.filter(workspace=workspace, definition__source__type="bundle").values_list(
            "definition__source", flat=True
        ),
    ]
    for sha256 in sorted({source["sha256"] for source in sources}):
        with connection.cursor() as cursor:
            cursor.execute("SELECT size, content, created_at FROM bundle WHERE sha256 = %s", [sha256])
            found = cursor.fetchone()
        if found:
            with another_tenant(made.organization_id), connection.cursor() as cursor:
                cursor.execute(
                    "INSERT INTO bundle (organization_id, id, sha256, size, content, created_at)"
                    " VALUES (%s, gen_random_uuid(), %s, %s, %s, %s) ON CONFLICT (organization_id, sha256) DO NOTHING",
                    [made.organization_id, sha256, *found],
                )


@archives
def stop(workspace: Workspace) -> None:
    """Nothing is triggered any more, by nobody."""
    for schedule in Schedule.objects.select_for_update().filter(workspace=workspace):
        schedules.stop(schedule, by="the move to another organization")
    for backfill in backfills.open_ones().select_for_update(no_key=True).filter(workspace=workspace):
        backfills.end(backfill, backfills.State.CANCELLED, "The workspace moved to another organization.", at=now())
    Deployment.objects.filter(workspace=workspace).update(paused=True)
    Automation.objects.filter(workspace=workspace).update(enabled=False)
    Webhook.objects.filter(workspace=workspace).update(paused=True)
