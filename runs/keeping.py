"""What runs made goes when their rows have gone. Partitions are dropped; the tables here are emptied row by row."""

from __future__ import annotations

from datetime import date, timedelta

from django.db import connection
from django.utils.timezone import now

from orchestrator.states import ALIVE

TABLES = ("artifact", "asset_materialization", "stored_result", "run_message", "input_request", "webhook_delivery")
SHOWN_AFTER_ITS_END = timedelta(days=7)
NEEDED = {
    # Arguments of a call that waits longer than rows are kept, or is tried again after that.
    "stored_result": " AND NOT EXISTS (SELECT FROM flow_run r WHERE r.organization_id = t.organization_id"
    " AND t.key LIKE 'calls/%%' AND r.call ? 'arguments'"
    " AND r.call ->> 'arguments' = split_part(split_part(t.key, '/', 3), '.', 1) AND r.state_type = ANY(%s))"
}
UNUSED_FOR = timedelta(days=400)


def forget(today: date, *, limit: int) -> int:
    """Remove what is past its time and of no run that lives; answer how many rows of one table at most.

    Asked by the system, of all tenants.
    """
    gone, alive = 0, sorted(ALIVE)
    with connection.cursor() as cursor:
        for table in TABLES:
            needed = NEEDED.get(table, "")
            cursor.execute(
                f"DELETE FROM {table} WHERE (organization_id, id) IN ("
                f"SELECT organization_id, id FROM {table} t WHERE keep_until <= %s AND NOT EXISTS ("
                "SELECT FROM flow_run r WHERE r.organization_id = t.organization_id AND r.id = t.run_id"
                f" AND r.state_type = ANY(%s)){needed} ORDER BY keep_until LIMIT %s)",
                [today, alive, *([alive] if needed else []), limit],
            )
            gone = max(gone, cursor.rowcount)
    return gone


def forget_cache_entries(*, limit: int) -> int:
    """Remove entries of the cache that ended a week ago, and those that nobody has made or used for over a year.

    What was invalidated stays as long as its value would: it keeps calls from using that value.
    """
    at = now()
    with connection.cursor() as cursor:
        cursor.execute(
            "DELETE FROM cache_entry WHERE (organization_id, id) IN ("
            "(SELECT organization_id, id FROM cache_entry WHERE expires_at < %s ORDER BY expires_at LIMIT %s) UNION ALL"
            " (SELECT organization_id, id FROM cache_entry WHERE made_at < %s AND coalesce(used_at, made_at) < %s"
            " AND invalidated_at IS NULL LIMIT %s))",
            [at - SHOWN_AFTER_ITS_END, limit, at - UNUSED_FOR, at - UNUSED_FOR, limit],
        )
        return cursor.rowcount
