"""At most so many runs at once for a pool, a queue or a deployment. The slots are lease rows: `runs/claims.py`."""

from __future__ import annotations

from collections.abc import Iterable
from uuid import UUID

from runs.models import Deployment, Lease, Limit, WorkPool, WorkQueue

KINDS = {WorkPool: Limit.Kind.POOL, WorkQueue: Limit.Kind.QUEUE, Deployment: Limit.Kind.DEPLOYMENT}


def set_limit(target: WorkPool | WorkQueue | Deployment, slots: int | None) -> None:
    """Let at most `slots` of its runs run at once, or any number. Takes effect with the next claim."""
    own = {"kind": KINDS[type(target)], "target_id": target.id}
    if slots is None:
        limits = list(Limit.objects.select_for_update().filter(**own).values_list("id", flat=True))
        # Locked in the order in which runs that end give their slots back, so that neither can wait for the other.
        list(Lease.objects.select_for_update().filter(limit__in=limits).order_by("run_id", "id").values_list("id"))
        Limit.objects.filter(id__in=limits).delete()
        return
    Limit.objects.update_or_create(
        organization_id=target.organization_id, **own,
        defaults={"slots": slots}, create_defaults={"slots": slots, "workspace_id": target.workspace_id},
    )  # fmt: skip


def slots_of(kind: Limit.Kind, ids: Iterable[UUID]) -> dict[UUID, int]:
    """How many may run at once, of those that are limited."""
    return dict(Limit.objects.filter(kind=kind, target_id__in=list(ids)).values_list("target_id", "slots"))
