"""What only the page of one run is told of its causes: who paused what and since when, who holds the slots."""

from __future__ import annotations

from collections.abc import Sequence
from uuid import UUID

import msgspec
from django.db.models import F, OuterRef, Subquery

from orchestrator.causes import Cause, Code
from runs.explain.due import limits_of
from runs.explain.ground import Ground
from runs.explain.reader import Reader
from runs.models import Attempt, FlowRun, Lease
from tenants.models import AuditEntry

SHOWN = 5  # holders

_PAUSED = {Code.POOL_PAUSED: "pool.paused", Code.QUEUE_PAUSED: "queue.paused"}
_HEAVY = ("run__history", "run__error", "run__parameters")


def filled_in(causes: Sequence[Cause], run: FlowRun, ground: Ground, reader: Reader) -> list[Cause]:
    """The causes with who and since when."""
    limits = limits_of(run, ground)
    told = []
    for each in causes:
        if each.code in _PAUSED:
            told.append(_with_who_paused(each, run.pool_id if each.code == Code.POOL_PAUSED else run.queue_id))
        elif each.code in limits:
            key = run.concurrency_key if each.code == Code.KEY_LIMIT else ""
            told.append(_with_holders(each, limits[each.code], key, ground, reader))
        else:
            told.append(each)
    return told


def _with_who_paused(told: Cause, id: UUID | None) -> Cause:
    """Told from the audit trail. A queue that was made paused has no such entry."""
    entries = AuditEntry.objects.filter(object_id=id, action=_PAUSED[told.code]).order_by("-at")
    entry = entries.values_list("actor", "at").first()
    if entry is None:
        return told
    who, at = entry
    return msgspec.structs.replace(told, text=f"{told.text[:-1]} by {who}.", since=at)


def _with_holders(told: Cause, limit_id: UUID, key: str, ground: Ground, reader: Reader) -> Cause:
    """The runs that hold the slots of a limit, whoever has held one longest first; until when, if nobody renews it."""
    claims = Attempt.objects.filter(
        organization=OuterRef("organization_id"), run=OuterRef("run_id"), number=OuterRef("attempt")
    )
    leases = Lease.objects.filter(limit_id=limit_id, key=key, expires_at__gt=ground.at)
    leases = leases.select_related("run").defer(*_HEAVY)
    held = leases.annotate(since=Subquery(claims.values("created_at")[:1])).order_by(F("since").asc(nulls_last=True))
    found = list(held[:SHOWN])
    if not found:
        return told
    holders = [reader.run(lease.run) for lease in found]
    until = min(lease.expires_at for lease in found)
    return msgspec.structs.replace(told, things=[*told.things, *holders], since=found[0].since, until=until)
