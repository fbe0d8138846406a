"""The schedules of a workspace, as far as one may see them."""

from __future__ import annotations

from django.db.models import QuerySet

from runs.hidden import hidden_deployments
from runs.models import Schedule
from tenants.permissions import Actor


def in_workspace(by: Actor) -> QuerySet[Schedule]:
    """The workspace's schedules, of deployments that the actor may see."""
    own = Schedule.objects.filter(workspace_id=by.workspace_id).select_related("deployment__flow")
    hidden = hidden_deployments(by)
    return own.exclude(deployment_id__in=hidden) if hidden else own
