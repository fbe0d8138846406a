"""Entries that were received and could not be taken: looked at, tried again, let go.

A server that didn't know a kind of entry keeps it for a newer one; what is broken waits for a person. Nothing is taken
out of here by itself.
"""

from __future__ import annotations

import logging
from collections.abc import Collection
from uuid import UUID

from runs.ingest import apply_again
from runs.models import JournalQuarantine
from tenants import audit
from tenants.permissions import Actor

logger = logging.getLogger(__name__)
AT_ONCE = 100


def listed(*, workspace_id: UUID, code: str = "", root_id: UUID | None = None):
    """The entries of a workspace, newest first; of one code or one execution, if given."""
    entries = JournalQuarantine.objects.filter(workspace_id=workspace_id).order_by("-created_at", "-id")
    if code:
        entries = entries.filter(code=code)
    return entries.filter(root_id=root_id) if root_id else entries


def replay(*, workspace_id: UUID, ids: Collection[UUID], by: Actor) -> tuple[int, int]:
    """Apply entries once more, as if they came now; how many were taken, and how many stay with a newer reason.

    At most AT_ONCE of them: the rest is left as it is.
    """
    taken = left = 0
    chosen = listed(workspace_id=workspace_id).filter(id__in=list(ids)).order_by("root_id", "attempt", "writer", "seq")
    for kept in chosen.select_for_update()[:AT_ONCE]:
        code = apply_again(kept)
        if code is None:
            kept.delete()
            taken += 1
        else:
            JournalQuarantine.objects.filter(id=kept.id).update(code=code)
            left += 1
    logger.info("quarantine: %d entries taken, %d stay", taken, left)
    if taken or left:
        audit.record(by, "quarantine.replayed", workspace_id=workspace_id, details={"taken": taken, "left": left})
    return taken, left


def drop(*, workspace_id: UUID, ids: Collection[UUID], by: Actor) -> int:
    """Delete entries; how many there were."""
    gone, _ = listed(workspace_id=workspace_id).filter(id__in=list(ids)).delete()
    if gone:
        audit.record(by, "quarantine.dropped", workspace_id=workspace_id, details={"entries": gone})
    return gone
