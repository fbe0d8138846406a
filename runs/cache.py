"""Entries of the cache that are to be computed anew. The values lie in the users' storages: what is invalidated here is
asked for by every call before it uses one.
"""

from __future__ import annotations

from django.db import transaction
from django.db.models import QuerySet
from django.utils.timezone import now

from orchestrator.bodies import InvalidateInput
from runs import live
from runs.models import CacheEntry
from runs.reads import cache as reads
from tenants import audit
from tenants.permissions import Actor

AT_ONCE = 10_000  # entries


@transaction.atomic
def invalidate(*, wanted: InvalidateInput, by: Actor) -> tuple[int, bool]:
    """Let no call use these values any more; how many there were, and whether there are more than AT_ONCE."""
    found = _chosen(wanted, by).filter(invalidated_at=None).order_by("key")
    ids = list(found.select_for_update().values_list("id", flat=True)[: AT_ONCE + 1])
    done = CacheEntry.objects.filter(id__in=ids[:AT_ONCE]).update(invalidated_at=now())
    if done:
        which = {name: told for name in ("key", "prefix", "task", "all") if (told := getattr(wanted, name))}
        name = wanted.key or wanted.prefix or wanted.task or "all"
        audit.record(by, "cache.invalidated", name=name, details={**which, "entries": done})
        assert by.workspace_id is not None
        live.changed(workspace_id=by.workspace_id, what="cache")
    return done, len(ids) > AT_ONCE


def _chosen(wanted: InvalidateInput, by: Actor) -> QuerySet[CacheEntry]:
    rows = reads.in_workspace(by)
    if wanted.key:
        return rows.filter(key=wanted.key)
    if wanted.prefix:
        return reads.beginning_with(rows, wanted.prefix)
    return rows if wanted.all else rows.filter(task=wanted.task)
