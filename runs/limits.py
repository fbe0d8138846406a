"""At most so many runs at once: of an organization, a pool, a queue, a deployment, or of each key of a deployment.

The slots are lease rows, written and counted by `runs/claims.py`.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from uuid import UUID

from django.db import connection
from django.utils.timezone import now

from runs import waiting
from runs.models import Deployment, FlowRun, Lease, Limit, WorkPool, WorkQueue
from runs.transitions import lock_runs, wanted
from tenants.models import Organization

Limited = Organization | WorkPool | WorkQueue | Deployment
KINDS = {
    Organization: Limit.Kind.ORGANIZATION,
    WorkPool: Limit.Kind.POOL,
    WorkQueue: Limit.Kind.QUEUE,
    Deployment: Limit.Kind.DEPLOYMENT,
}
_COLUMNS = {Limit.Kind.POOL: "pool_id", Limit.Kind.QUEUE: "queue_id"}  # of a run; else the deployment's, or none
MAX_WOKEN = 1_000  # agents that are told to look again
UNDER_WAY = ("PENDING", "RUNNING", "PAUSED", "CANCELLING")


def set_limit(target: Limited, slots: int | None, *, of_keys: bool = False) -> bool:
    """Let at most `slots` of its runs run at once, or any number; say whether more may run now than before.

    Takes effect with the next claim: runs that are under way count, and none of them is ended.

    Args:
        of_keys: So many of each key of the deployment.
    """
    kind = Limit.Kind.KEY if of_keys else KINDS[type(target)]
    own = {"kind": kind, "target_id": target.id}
    # The rows of runs come before those of limits, as they do for whoever deletes a deployment.
    held = [] if slots is None else _held_without(kind, target.id)
    present = Limit.objects.select_for_update().filter(**own).first()
    if present is None:
        if slots is not None:
            _begin(target, kind, slots, held)
        return False
    if slots is None:
        _end(present)
        return True
    Limit.objects.filter(id=present.id).update(slots=slots)
    return slots > present.slots


def _held_without(kind: Limit.Kind, target_id: UUID) -> list[UUID]:
    """Runs under way that a limit concerns which is not there yet, locked, so that none of them ends meanwhile."""
    if Limit.objects.filter(kind=kind, target_id=target_id).exists():
        return []
    runs = FlowRun.objects.filter(state_type__in=UNDER_WAY, pool__isnull=False)
    if kind != Limit.Kind.ORGANIZATION:
        runs = runs.filter(**{_COLUMNS.get(kind, "deployment_id"): target_id})
    return [row.id for row in lock_runs(list(runs.values_list("id", flat=True))).values() if row.is_held]


# The slot of a run that nobody was heard of for a lease is not its own any more; it may take one again when it is back.
_TAKE_SLOTS = """
    INSERT INTO lease (organization_id, id, run_id, attempt, agent_id, limit_id, key, expires_at)
    SELECT l.organization_id, gen_random_uuid(), l.run_id, l.attempt, l.agent_id, %(limit)s,
        CASE WHEN %(by_key)s THEN r.concurrency_key ELSE '' END,
        CASE WHEN r.state_name = 'Unreachable' THEN %(now)s ELSE l.expires_at END
    FROM lease l JOIN flow_run r ON r.organization_id = l.organization_id AND r.id = l.run_id
    WHERE l.limit_id IS NULL AND l.run_id = ANY(%(runs)s) AND NOT (%(by_key)s AND r.concurrency_key = '')
    ON CONFLICT DO NOTHING
"""


def _begin(target: Limited, kind: Limit.Kind, slots: int, held: list[UUID]) -> None:
    """Make the limit, of which the runs under way hold slots: they may be more than it has."""
    organization, workspace = (target, None) if isinstance(target, Organization) else (None, target.workspace_id)
    limit, new = Limit.objects.get_or_create(
        organization_id=organization.id if organization else target.organization_id, kind=kind, target_id=target.id,
        defaults={"slots": slots, "workspace_id": workspace},
    )  # fmt: skip
    if not new:  # Somebody else made it in this moment.
        Limit.objects.filter(id=limit.id).update(slots=slots)
    if held:
        values = {"limit": limit.id, "by_key": kind == Limit.Kind.KEY, "now": now(), "runs": held}
        with connection.cursor() as cursor:
            cursor.execute(_TAKE_SLOTS, values)


def _end(limit: Limit) -> None:
    # Locked in the order in which runs that end give their slots back, so that neither can wait for the other.
    list(Lease.objects.select_for_update().filter(limit=limit).order_by("run_id", "id").values_list("id"))
    Limit.objects.filter(id=limit.id).delete()


def wake(*pool_ids: UUID) -> None:
    """Let agents of pools look again: runs that had to wait may go on."""
    waiting.wake_pools(wanted(Counter(dict.fromkeys(pool_ids, MAX_WOKEN)), now()))


def of_deployments(ids: Iterable[UUID]) -> dict[UUID, dict[str, int | None]]:
    """What deployments say of their slots: `concurrency_limit`, and `key_slots` of each key; None: any number."""
    names = {Limit.Kind.DEPLOYMENT: "concurrency_limit", Limit.Kind.KEY: "key_slots"}
    told: dict[UUID, dict[str, int | None]] = {id: dict.fromkeys(names.values()) for id in ids}
    rows = Limit.objects.filter(kind__in=list(names), target_id__in=list(told))
    for kind, target, slots in rows.values_list("kind", "target_id", "slots"):
        told[target][names[kind]] = slots
    return told


def slots_of(kind: Limit.Kind, ids: Iterable[UUID]) -> dict[UUID, int]:
    """How many may run at once, of those that are limited."""
    return dict(Limit.objects.filter(kind=kind, target_id__in=list(ids)).values_list("target_id", "slots"))
