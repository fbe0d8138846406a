"""What was deleted goes when its grace is over: every row, in bounded batches that may be cut off anywhere.

Each batch is a transaction in the role `system`, which removes a bounded number of rows of one tenant and adds them to
the counts of its `Departure`. A worker that dies leaves whole batches behind, and the next one goes on. It is over when
a walk along all tables of the catalogue has found nothing more.

Of an organization its invoices stay, which the law asks to keep, and its bare id, which they name. Of a workspace stays
what is its organization's: the audit trail and what was used.
"""

from __future__ import annotations

import logging
import time
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import datetime, timedelta
from functools import partial
from uuid import UUID

from django.db import connection
from django.utils.timezone import now

from tenants import audit
from tenants.billing.models import Invoice, Subscription
from tenants.billing.months import Month
from tenants.billing.statements import statement
from tenants.deletion import GRACE
from tenants.leaving.models import Departure
from tenants.leaving.tables import Table, of_workspace, tables
from tenants.models import AuditEntry, Organization, Workspace
from tenants.scope import system_scope, tenant_scope

logger = logging.getLogger(__name__)
AT_ONCE = 100  # that one tick looks at
ROWS = 1_000  # of one batch
ROWS_OF = {"bundle": 20, "export_chunk": 50}  # which are large
MAIL_LEAVES = timedelta(days=1)  # Until then an invoice's mail has left, or was given up.
KEPT_OF_ORGANIZATIONS = frozenset({"invoice", "departure"})
KEPT_OF_WORKSPACES = frozenset({"audit_entry", "usage_day", "tag_day", "meter_day", "usage_delta", "departure"})


@dataclass(frozen=True, slots=True)
class Gone:
    """What goes: an organization, or one workspace of it."""

    organization_id: UUID
    workspace_id: UUID | None = None


Removed = dict[str, int]
"""Rows by table."""
Clearer = Callable[[Gone], Removed]
Forgetter = Callable[[Gone], None]
_clearers: list[Clearer] = []
_forgetters: list[Forgetter] = []


def forgets(function: Forgetter) -> Forgetter:
    """Register what removes a tenant from elsewhere than the database. Called first, in no scope, twice perhaps."""
    _forgetters.append(function)
    return function


def clears(function: Clearer) -> Clearer:
    """Register what removes rows that a walk along the tables would not reach.

    Called inside the system's scope, before any table is emptied, again and again until it answers nothing. Each call
    removes a bounded number.
    """
    _clearers.append(function)
    return function


# ── who goes ─────────────────────────────────────────────────────────────────────────────────────


def due(at: datetime) -> list[Gone]:
    """What was deleted so long ago that nobody can restore it. Asked in the system's scope."""
    gone = Organization.objects.filter(deleted_at__lte=at - GRACE, purged_at=None).order_by("deleted_at")
    organizations = list(gone.values_list("id", flat=True)[:AT_ONCE])
    left = Workspace.objects.filter(deleted_at__lte=at - GRACE).exclude(organization_id__in=organizations)
    workspaces = left.order_by("deleted_at").values_list("organization_id", "id")[:AT_ONCE]
    return [*(Gone(id) for id in organizations), *(Gone(*ids) for ids in workspaces)]


def begin(gone: Gone) -> UUID | None:
    """Note that it goes now; answer its departure. None: it was restored, or owes a month that is not closed yet."""
    with tenant_scope(gone.organization_id):
        model = Workspace if gone.workspace_id else Organization
        left = model.objects.select_for_update().filter(id=gone.workspace_id or gone.organization_id)
        row = left.filter(deleted_at__lte=now() - GRACE).first()
        if row is None:
            return None
        known = Departure.objects.filter(workspace_id=gone.workspace_id).first()
        if known is None and (gone.workspace_id or not _owes(gone.organization_id, row.deleted_at)):
            known = _noted(gone, row.deleted_at)
    return known.id if known else None


def _owes(organization_id: UUID, deleted_at: datetime) -> bool:
    """Whether the month in which it was deleted is still to be closed, or was so only just: its mail is on the way."""
    month = Month.of(deleted_at)
    chose = Subscription.objects.filter(begins_at__lt=month.end).exists()
    if not chose or not statement(organization_id, month).lines:
        return False
    return not Invoice.objects.filter(month=month.first, issued_at__lt=now() - MAIL_LEAVES).exists()


def _noted(gone: Gone, deleted_at: datetime) -> Departure:
    action = "workspace.deleted" if gone.workspace_id else "organization.deleted"
    told = AuditEntry.objects.filter(action=action, object_id=gone.workspace_id or gone.organization_id)
    number, hash = audit.head(gone.organization_id)
    return Departure.objects.create(
        organization_id=gone.organization_id,
        workspace_id=gone.workspace_id,
        asked_at=deleted_at,
        asked_by=told.order_by("-at").values_list("user_id", flat=True).first(),
        audit_number=number or None,
        audit_hash=hash if number else None,
    )


# ── how it goes ──────────────────────────────────────────────────────────────────────────────────


def go_on(gone: Gone, *, seconds: float) -> bool:
    """Remove what is left, batch by batch, for so long; True when nothing is left. Opens scopes of its own."""
    id, until = begin(gone), time.monotonic() + seconds
    if id is not None and _is_whole(id):
        for forget in _forgetters:
            forget(gone)
    while id is not None:
        removed = 0
        for step in _steps(gone):
            while number := _batch(id, step):
                removed += number
                if time.monotonic() > until:
                    return False
        if removed == 0:  # Whatever wrote a row meanwhile would have been found.
            return _finish(id, gone)
    return False


def _is_whole(id: UUID) -> bool:
    """Whether no row is gone yet."""
    with system_scope():
        return Departure.objects.filter(id=id, counts={}).exists()


def _batch(id: UUID, step: Callable[[], Removed]) -> int:
    """One transaction: some rows, and the counts of them."""
    with system_scope():
        departure = Departure.objects.select_for_update().get(id=id)
        removed = step()
        if removed:
            departure.counts = dict(Counter(departure.counts) + Counter(removed))
            departure.save(update_fields=["counts"])
    return sum(removed.values())


def _steps(gone: Gone) -> Iterator[Callable[[], Removed]]:
    for clearer in _clearers:
        yield partial(clearer, gone)
    with system_scope():
        known = tables()
    for table in known.values():
        where = None if table.tall else _where(known, table, gone)
        if where:
            yield partial(_remove, table.name, *where)


def _where(known: dict[str, Table], table: Table, gone: Gone) -> tuple[str, list[UUID]] | None:
    """Which rows of a table go; None: none do."""
    if gone.workspace_id is None:
        return None if table.name in KEPT_OF_ORGANIZATIONS else ("t.organization_id = %s", [gone.organization_id])
    within = None if table.name in KEPT_OF_WORKSPACES else of_workspace(known, table)
    return (f"t.organization_id = %s AND {within}", [gone.organization_id, gone.workspace_id]) if within else None


def _remove(table: str, where: str, values: list[UUID]) -> Removed:
    with connection.cursor() as cursor:
        cursor.execute(
            f"DELETE FROM {table} WHERE ctid = ANY(ARRAY(SELECT t.ctid FROM {table} t WHERE {where} LIMIT %s))",
            [*values, ROWS_OF.get(table, ROWS)],
        )
        return {table: cursor.rowcount} if cursor.rowcount else {}


def _finish(id: UUID, gone: Gone) -> bool:
    """Nothing is left. An organization's row loses its name and frees its address."""
    with system_scope():
        Departure.objects.filter(id=id).update(finished_at=now())
        if gone.workspace_id is None:
            nameless = {"name": "Deleted organization", "slug": f"deleted-{gone.organization_id.hex}"}
            Organization.objects.filter(id=gone.organization_id).update(purged_at=now(), **nameless)
        counts = Departure.objects.values_list("counts", flat=True).get(id=id)
    logger.info("%s is gone: %s rows", gone, sum(counts.values()))
    return True
