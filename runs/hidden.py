"""Which deployments an actor may not see, and with them which runs: asked by whatever reads runs."""

from __future__ import annotations

from collections.abc import Collection
from typing import Any
from uuid import UUID

from django.db.models import Exists, OuterRef, QuerySet

from runs.models import Deployment, FlowRun
from tenants.errors import NotFound
from tenants.permissions import Actor
from tenants.restrictions.rules import check_allowed, is_bound


def hidden_deployments(by: Actor) -> list[UUID]:
    """The restricted deployments of the workspace that the actor may not see: few, as a rule none."""
    if not is_bound(by):
        return []
    seen = Deployment.objects.filter(restricted=True).allowing(by, "runs.view")
    restricted = Deployment.objects.filter(workspace_id=by.workspace_id, restricted=True)
    return list(restricted.exclude(id__in=seen.values("id")).values_list("id", flat=True))


def of_seen_runs(rows: QuerySet[Any], hidden: Collection[UUID], *, run: str = "run_id") -> QuerySet[Any]:
    """Of rows that name a run those whose run may be seen, as far as it is still there."""
    if not hidden:
        return rows
    own = FlowRun.objects.filter(organization=OuterRef("organization_id"), id=OuterRef(run))
    return rows.exclude(Exists(own.of_deployments(hidden)))


def find_run(by: Actor, id: UUID) -> FlowRun:
    """A run of the workspace, with what it belongs to.

    Raises:
        NotFound: There is none, or none for this actor.
    """
    own = FlowRun.objects.filter(workspace_id=by.workspace_id)
    run = (
        own.select_related("flow", "deployment__flow", "deployment__pool", "pool", "queue", "schedule")
        .filter(id=id)
        .first()
    )
    deployment = _deployment_of(run, by) if run else None
    if run is None or (deployment and not deployment.allows(by, "runs.view")):
        raise NotFound("There is no such flow run here.")
    return run


def check_run(run: FlowRun, by: Actor, verb: str) -> None:
    """Refuse what the rules of a run's deployment don't let somebody do who may see it.

    Raises:
        Forbidden: With whom to ask.
    """
    if deployment := _deployment_of(run, by):
        check_allowed(deployment, by, verb)


def _deployment_of(run: FlowRun, by: Actor) -> Deployment | None:
    """Whose rules count for a run: those of its own deployment, or of its root's."""
    if run.is_root or not is_bound(by):
        return run.deployment
    root = FlowRun.objects.select_related("deployment__flow").filter(id=run.root_id).first()
    return root.deployment if root else None
