"""What became of what an automation did: written where its page shows it."""

from __future__ import annotations

from uuid import UUID

from django.utils.timezone import now

from orchestrator.storable import clean_text
from runs import live
from runs.models import Notification
from runs.transitions import micros
from tenants import outbox
from tenants.scope import tenant_scope

MAX_ERROR = 500


def note(organization_id: UUID, id: UUID, *, error: str, failed: bool = False) -> None:
    """Note a try, in a transaction of its own."""
    with tenant_scope(organization_id):
        row = Notification.objects.select_for_update().filter(id=id).first()
        if row is not None:
            write(row, error=error, failed=failed)


def write(row: Notification, *, error: str, failed: bool = False, run_id: UUID | None = None) -> None:
    """Note a try of a row that is locked, in the caller's transaction. Without an error it was the last one."""
    row.tries = [*row.tries[-(outbox.MAX_TRIES - 1) :], [micros(now()), clean_text(error, MAX_ERROR)]]
    row.sent_at, row.failed, row.run_id = None if error else now(), failed, run_id
    row.save(update_fields=["tries", "sent_at", "failed", "run_id"])
    live.changed(workspace_id=row.workspace_id, what="automations")
