"""How many runs of deployments go on at once as pages show it: slots, who holds them by key, what becomes of others."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass, field
from uuid import UUID

from django.db.models import Count
from django.utils.timezone import now

from orchestrator.ids import as_id
from runs.deployments import in_workspace
from runs.models import Deployment, Lease, Limit
from tenants.permissions import Actor

SHOWN = 8  # keys of each deployment
PAGE = 50  # deployments


@dataclass(slots=True)
class RunLimits:
    """The limits of a deployment. None: any number. `held` counts slots in use, `keys` those of the busiest keys."""

    deployment: Deployment
    slots: int | None = None
    held: int = 0
    key_slots: int | None = None
    keys: list[tuple[str, int]] = field(default_factory=list)
    more_keys: int = 0

    @property
    def number_of_keys(self) -> int:
        """Of how many keys runs hold slots."""
        return len(self.keys) + self.more_keys

    @property
    def beyond(self) -> str:
        """What becomes of a run for which there is no slot."""
        return Deployment.OnLimit(self.deployment.on_limit).label


def of_deployment(deployment: Deployment) -> RunLimits:
    """The limits of one deployment."""
    return of_deployments([deployment])[deployment.id]


def of_deployments(deployments: Collection[Deployment]) -> dict[UUID, RunLimits]:
    """The limits of deployments, by two queries."""
    told = {each.id: RunLimits(each) for each in deployments}
    own = Limit.objects.filter(kind__in=[Limit.Kind.DEPLOYMENT, Limit.Kind.KEY], target_id__in=list(told))
    limits = {each.id: each for each in own}
    for limit in limits.values():
        if limit.kind == Limit.Kind.KEY:
            told[limit.target_id].key_slots = limit.slots
        else:
            told[limit.target_id].slots = limit.slots
    live = Lease.objects.filter(limit__in=list(limits), expires_at__gt=now()) if limits else Lease.objects.none()
    counts = live.values_list("limit_id", "key").annotate(number=Count("id")).order_by("-number", "key")
    for id, key, number in counts:
        row = told[limits[id].target_id]
        if limits[id].kind != Limit.Kind.KEY:
            row.held = number
        elif len(row.keys) < SHOWN:
            row.keys.append((key, number))
        else:
            row.more_keys += 1
    return told


def limited(by: Actor, *, after: str = "") -> tuple[list[RunLimits], str | None]:
    """The limited deployments that the actor may see, by id, and the id to go on from, if there are more."""
    kinds = [Limit.Kind.DEPLOYMENT, Limit.Kind.KEY]
    ids = Limit.objects.filter(workspace_id=by.workspace_id, kind__in=kinds).values("target_id")
    rows = in_workspace(by).filter(id__in=ids).order_by("id")
    if after:
        last = as_id(after)
        rows = rows.filter(id__gt=last) if last else rows.none()
    found = list(rows[: PAGE + 1])
    told = of_deployments(found[:PAGE])
    return list(told.values()), str(found[PAGE - 1].id) if len(found) > PAGE else None
