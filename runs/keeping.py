"""What runs made goes when their rows have gone. Partitions are dropped; the tables here are emptied row by row."""

from __future__ import annotations

from datetime import date

from django.db import connection

from orchestrator.states import ALIVE

TABLES = ("artifact", "asset_materialization")


def forget(today: date, *, limit: int) -> int:
    """Remove what is past its time and of no run that lives; answer how many rows of one table at most.

    Asked by the system, of all tenants.
    """
    gone = 0
    with connection.cursor() as cursor:
        for table in TABLES:
            cursor.execute(
                f"DELETE FROM {table} WHERE (organization_id, id) IN ("
                f"SELECT organization_id, id FROM {table} t WHERE keep_until <= %s AND NOT EXISTS ("
                "SELECT FROM flow_run r WHERE r.organization_id = t.organization_id AND r.id = t.run_id"
                " AND r.state_type = ANY(%s)) ORDER BY keep_until LIMIT %s)",
                [today, sorted(ALIVE), limit],
            )
            gone = max(gone, cursor.rowcount)
    return gone
