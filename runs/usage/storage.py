"""What an organization keeps, measured once a day (UTC): bytes of log messages, artifacts, values, blocks, and code.

    logs       UTF-8 bytes of the messages whose partitions are there: what the days of these buckets add up to,
               without what went with runs that were deleted
    artifacts  their data and descriptions, as large as the database keeps them (compressed)
    results    values that the server keeps
    blocks     the data of all versions of blocks
    code       bundles; they belong to the organization as a whole

Task runs, events and the like are not in it: they are counted by other meters. `measure` reads the present, so a day
can be measured again as long as it lasts.
"""

from __future__ import annotations

from datetime import date
from uuid import UUID

from django.db import connection

from runs import partitions

KINDS = {
    "logs": "Log messages",
    "artifacts": "Artifacts",
    "results": "Stored values",
    "blocks": "Blocks",
    "code": "Bundles of code",
}
AT_ONCE = 500  # organizations of one tick
MEASURE_SECONDS = 300

_DUE = """
    SELECT o.id FROM organization o
    WHERE o.deleted_at IS NULL AND NOT EXISTS (
        SELECT 1 FROM meter_day d WHERE d.organization_id = o.id AND d.day = %s AND d.meter = 'storage'
    )
    LIMIT %s
"""

_MEASURE = """
    WITH kept (retention, oldest) AS (SELECT * FROM unnest(%s::smallint[], %s::date[]))
    SELECT d.workspace_id, 'logs', greatest(sum(d.log_bytes), 0)::bigint
    FROM (
        SELECT organization_id, workspace_id, retention, bucket, log_bytes FROM usage_day
        UNION ALL SELECT organization_id, workspace_id, retention, bucket, -log_bytes FROM deleted_run
    ) d JOIN kept k ON k.retention = d.retention AND d.bucket >= k.oldest
    JOIN workspace w ON w.organization_id = d.organization_id AND w.id = d.workspace_id
    GROUP BY 1
    UNION ALL
    SELECT workspace_id, 'artifacts', sum(coalesce(pg_column_size(data), 0) + pg_column_size(description))
    FROM artifact GROUP BY 1
    UNION ALL
    SELECT workspace_id, 'results', sum(size) FROM stored_result GROUP BY 1
    UNION ALL
    SELECT b.workspace_id, 'blocks', sum(v.size)
    FROM block_version v JOIN block b ON b.organization_id = v.organization_id AND b.id = v.block_id GROUP BY 1
    UNION ALL
    SELECT NULL, 'code', coalesce(sum(size), 0) FROM bundle
"""

_KEEP = """
    INSERT INTO meter_day AS d (organization_id, id, day, meter, workspace_id, kind, amount)
    SELECT %s, gen_random_uuid(), %s, 'storage', n.workspace_id, n.kind, n.amount
    FROM unnest(%s::uuid[], %s::text[], %s::bigint[]) n (workspace_id, kind, amount)
    ON CONFLICT (organization_id, day, meter, workspace_id, kind) DO UPDATE SET amount = excluded.amount
"""


def due(today: date) -> list[UUID]:
    """Organizations that were not measured today. Asked in the system's scope."""
    with connection.cursor() as cursor:
        cursor.execute(_DUE, [today, AT_ONCE])
        return [id for (id,) in cursor.fetchall()]


def measure() -> dict[tuple[UUID | None, str], int]:
    """Bytes by workspace and kind, now. Asked in the scope of one organization."""
    with connection.cursor() as cursor:
        cursor.execute(f"SET LOCAL statement_timeout = '{MEASURE_SECONDS}s'")
        oldest = {leaf.days: leaf.start for leaf in reversed(partitions.existing(cursor)) if leaf.table == "log_line"}
        cursor.execute(_MEASURE, [list(oldest), list(oldest.values())])
        return {(workspace_id, kind): int(size) for workspace_id, kind, size in cursor.fetchall()}


def keep(organization_id: UUID, today: date) -> None:
    """Write down what an organization keeps today, in its scope."""
    found = measure()
    workspaces, kinds = [list(column) for column in zip(*found, strict=True)]
    with connection.cursor() as cursor:
        cursor.execute(_KEEP, [organization_id, today, workspaces, kinds, list(found.values())])
