"""Deployments by name, for rules of access that name the runs of some."""

from __future__ import annotations

from collections.abc import Collection
from uuid import UUID

from runs.models import Deployment
from tenants.restrictions.access import knows_deployments


def named(workspace_id: UUID, ids: Collection[UUID]) -> dict[UUID, str]:
    """The names of deployments of a workspace, `flow/name`; those that are not there are left out."""
    found = Deployment.objects.filter(workspace_id=workspace_id, id__in=list(ids)).select_related("flow")
    return {each.id: str(each) for each in found} if ids else {}


def found(workspace_id: UUID, name: str) -> UUID | None:
    """The id of the deployment of this name; None for one that there isn't."""
    flow, _, short = name.rpartition("/")
    own = Deployment.objects.filter(workspace_id=workspace_id, flow__name=flow, name=short)
    return own.values_list("id", flat=True).first()


knows_deployments(named, found)
