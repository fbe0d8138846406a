"""What the page of quarantine shows: entries of journals that were received and could not be taken."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass
from datetime import datetime
from uuid import UUID

from django.db import connection

from orchestrator.wire import REJECTIONS
from runs import quarantine
from runs.hidden import of_seen_runs
from runs.models import FlowRun, JournalQuarantine
from tenants.cursors import newest

PAGE = 50
MOST = 1_000  # entries that are counted one by one


@dataclass(frozen=True, slots=True)
class Row:
    """An entry, its run, and what its code means."""

    kept: JournalQuarantine
    run: FlowRun | None
    meaning: str


@dataclass(frozen=True, slots=True)
class Page:
    """One page of entries, and where the next one begins."""

    rows: list[Row]
    next_cursor: str


def page(
    workspace_id: UUID,
    *,
    code: str = "",
    root_id: UUID | None = None,
    cursor: str = "",
    hidden: Collection[UUID] = (),
) -> Page:
    """The newest entries from a cursor on; of one code or one execution, if given."""
    entries = quarantine.listed(workspace_id=workspace_id, code=code, root_id=root_id)
    entries = of_seen_runs(entries, hidden, run="root_id")
    found, more = newest(entries, by="created_at", cursor=cursor, limit=PAGE)
    runs = FlowRun.objects.filter(workspace_id=workspace_id).select_related("flow").only("name", "flow__name")
    known = runs.in_bulk({kept.root_id for kept in found})
    return Page([Row(kept, known.get(kept.root_id), meaning(kept.code)) for kept in found], more or "")


def meaning(code: str) -> str:
    """A code in a sentence."""
    return REJECTIONS.get(code, "A code of another version of the server.")


def counts(workspace_id: UUID, root_id: UUID | None = None) -> dict[str, int]:
    """How many of the newest MOST entries have which code."""
    first = quarantine.listed(workspace_id=workspace_id, root_id=root_id).values("code")[:MOST]
    sql, values = first.query.sql_with_params()
    with connection.cursor() as cursor:
        cursor.execute(f"SELECT code, count(*) FROM ({sql}) first GROUP BY 1 ORDER BY 2 DESC, 1", values)
        return dict(cursor.fetchall())


def counted(*, workspace_id: UUID, root_id: UUID | None = None, since: datetime | None = None) -> int:
    """How many entries there are, of one execution or since a time, if given; no more than MOST are counted."""
    entries = quarantine.listed(workspace_id=workspace_id, root_id=root_id)
    if since:
        entries = entries.filter(created_at__gte=since)
    return entries[:MOST].count()
