"""What deleted runs have told and made is removed in bounded batches, each a transaction.

So a worker may be killed anywhere: what a batch had removed is there again, and the next one goes on. The runs of one
batch lie in one partition, and every statement on a tall table names it.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection
from datetime import date
from uuid import UUID

from django.db import connection
from django.db.models import F
from django.utils.timezone import now

from runs.models import DeletedRun
from runs.partitions import Place

ROWS = 5_000  # of one table in one batch
ROWS_OF = {"stored_result": 200, "artifact": 500}  # which are large
RUNS = 500  # whose rows one batch removes
ROOTS = 100
TALL = {"task_run": ("run_id", "id"), "event": ("run_id", "id"), "log_line": ("root_id", "line_no")}
TOLD = {"log_line": "octet_length(t.message)"}
OF_RUN = ("artifact", "asset_materialization", "stored_result", "automation_firing", "slot")
OF_ROOT = ("journal_stream", "journal_quarantine")
Removed = dict[str, int]
"""Rows by table."""


def waiting(*, limit: int) -> list[UUID]:
    """Organizations in which something is left to remove. Asked by the system."""
    rows = DeletedRun.objects.filter(cleared_at=None).order_by("organization_id")
    return list(rows.values_list("organization_id", flat=True).distinct()[:limit])


def empty(organization_id: UUID, workspace_id: UUID | None = None) -> Removed | None:
    """Remove some of what deleted runs of an organization, or of one workspace, have left; None: nothing is left.

    What somebody else is at is passed over.
    """
    batch = _next(organization_id, workspace_id)
    if not batch:
        return None
    removed = _remove(organization_id, batch)
    if all(number < ROWS_OF.get(table, ROWS) for table, number in removed.items()):
        _note(batch)
    return removed


def _next(organization_id: UUID, workspace_id: UUID | None) -> list[DeletedRun]:
    """Those that were deleted first, locked: of one partition, with no more runs than a batch may have."""
    rows = DeletedRun.objects.filter(organization_id=organization_id, cleared_at=None)
    rows = rows.filter(workspace_id=workspace_id) if workspace_id else rows
    found = list(rows.order_by("deleted_at", "id").select_for_update(skip_locked=True, no_key=True)[:ROOTS])
    batch: list[DeletedRun] = []
    for each in found:
        size = sum(len(one.run_ids) for one in batch) + len(each.run_ids)
        if batch and (_place(each) != _place(batch[0]) or size > RUNS):
            break
        batch.append(each)
    return batch


def _place(deleted: DeletedRun) -> Place:
    return deleted.retention, deleted.bucket


def _remove(organization_id: UUID, batch: list[DeletedRun]) -> Removed:
    """Rows of the batch, table by table, until one has more of them than a batch removes."""
    roots = [each.id for each in batch]
    runs = [id for each in batch for id in each.run_ids[:RUNS]]
    removed: Removed = {}
    for table, (of, _) in TALL.items():
        ids = roots if of == "root_id" else runs
        found = tall_rows(table, _place(batch[0]), ids, organization_id=organization_id, limit=ROWS)
        if table in TOLD:
            _count_bytes(found)
        removed[table] = len(found)
        if len(found) == ROWS:
            return removed
    for table in OF_RUN:
        removed[table] = _rows(table, "run_id", runs, organization_id)
    for table in OF_ROOT:
        removed[table] = _rows(table, "root_id", roots, organization_id)
    return removed


def tall_rows(
    table: str, place: Place, ids: Collection[UUID], *, organization_id: UUID, limit: int
) -> list[tuple[UUID, int]]:
    """Remove some rows of runs that lie in one partition; answer (run, what it tells) of each."""
    of, row = TALL[table]
    lie = "t.retention = %s AND t.bucket = %s AND t.organization_id = %s"
    with connection.cursor() as cursor:
        cursor.execute(
            f"WITH chosen AS (SELECT {of}, {row} FROM {table} t WHERE {lie} AND {of} = ANY(%s) LIMIT %s)"
            f" DELETE FROM {table} t USING chosen c WHERE {lie} AND t.{of} = c.{of} AND t.{row} = c.{row}"
            f" RETURNING t.{of}, {TOLD.get(table, 0)}",
            [*place, organization_id, list(ids), limit, *place, organization_id],
        )
        return cursor.fetchall()


def _rows(table: str, of: str, ids: list[UUID], organization_id: UUID) -> int:
    with connection.cursor() as cursor:
        cursor.execute(
            f"DELETE FROM {table} WHERE ctid = ANY(ARRAY(SELECT ctid FROM {table}"
            f" WHERE organization_id = %s AND {of} = ANY(%s) LIMIT %s))",
            [organization_id, ids, ROWS_OF.get(table, ROWS)],
        )
        return cursor.rowcount


def _count_bytes(lines: list[tuple[UUID, int]]) -> None:
    """Keep how many bytes of log went: a recount of what was used needs them."""
    sums: Counter[UUID] = Counter()
    for root, size in lines:
        sums[root] += size
    for root, size in sums.items():
        DeletedRun.objects.filter(id=root).update(log_bytes=F("log_bytes") + size)


def _note(batch: list[DeletedRun]) -> None:
    """Of these runs nothing is left. An execution is done with its last ones."""
    for each in batch:
        each.run_ids = each.run_ids[RUNS:]
        each.cleared_at = None if each.run_ids else now()
    DeletedRun.objects.bulk_update(batch, ["run_ids", "cleared_at"])


_FORGET = """
    DELETE FROM deleted_run WHERE (organization_id, id) IN (
        SELECT organization_id, id FROM deleted_run g
        WHERE g.keep_until <= %s AND g.cleared_at IS NOT NULL AND NOT EXISTS (
            SELECT 1 FROM usage_day d WHERE d.organization_id = g.organization_id AND d.retention = g.retention
            AND d.bucket = g.bucket AND NOT EXISTS (
                SELECT 1 FROM usage_seal s WHERE s.organization_id = d.organization_id AND s.retention = d.retention
                AND s.bucket = d.bucket AND s.matches))
        ORDER BY keep_until LIMIT %s)
"""


def forget(today: date, *, limit: int) -> int:
    """Forget deletions whose runs would be gone by now, and whose usage is proved; how many. As the system."""
    with connection.cursor() as cursor:
        cursor.execute(_FORGET, [today, limit])
        return cursor.rowcount
