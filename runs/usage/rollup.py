"""Deltas become days, exactly once: a delta is taken away in the transaction that adds it to its day.

It counts for the day on which it was received (UTC). What is left in `usage_delta` is what no day holds yet, so that
the sum of both is what was used, at every moment.
"""

from __future__ import annotations

from uuid import UUID

from django.db import connection

from runs.usage.tags import ADD_TO_TAGS, TAGS_A_DAY
from tenants.scope import system_scope

AT_ONCE = 20_000  # deltas
PASSES = 50  # of one tick
_ONE_AT_A_TIME = 7_201_001  # an advisory lock: two of us would only wait for each other

_ROLL_UP = f"""
    WITH oldest AS (
        SELECT organization_id, id, retention, bucket FROM usage_delta LIMIT %s FOR UPDATE SKIP LOCKED
    ),
    taken AS (
        DELETE FROM usage_delta u USING oldest o
        WHERE (u.retention, u.bucket, u.organization_id, u.id) = (o.retention, o.bucket, o.organization_id, o.id)
        RETURNING u.*
    ),
    known AS MATERIALIZED (
        SELECT t.*, (t.t AT TIME ZONE 'UTC')::date AS day, coalesce(r.deployment_id, g.deployment_id) AS deployment_id,
            coalesce(r.tags, g.tags) AS tags
        FROM taken t LEFT JOIN flow_run r ON r.organization_id = t.organization_id AND r.id = t.run_id
        LEFT JOIN deleted_run g ON g.organization_id = t.organization_id AND g.id = t.run_id
    ),
    {ADD_TO_TAGS},
    added AS (
        INSERT INTO usage_day AS d (organization_id, id, day, workspace_id, deployment_id, retention, bucket,
            flow_runs, task_runs, log_bytes, run_time, cpu)
        SELECT organization_id, gen_random_uuid(), day, workspace_id, deployment_id, retention, bucket,
            sum(flow_runs), sum(task_runs), sum(log_bytes), sum(run_time), sum(cpu)
        FROM known GROUP BY 1, 3, 4, 5, 6, 7
        ON CONFLICT (organization_id, day, workspace_id, deployment_id, retention, bucket) DO UPDATE SET
            flow_runs = d.flow_runs + excluded.flow_runs, task_runs = d.task_runs + excluded.task_runs,
            log_bytes = d.log_bytes + excluded.log_bytes, run_time = d.run_time + excluded.run_time,
            cpu = d.cpu + excluded.cpu
        RETURNING organization_id
    )
    SELECT (SELECT count(*) FROM taken), (SELECT coalesce(array_agg(DISTINCT organization_id), '{{}}') FROM added)
"""


def roll_up() -> set[UUID]:
    """Add all deltas to their days; answer the organizations that used something."""
    touched: set[UUID] = set()
    for _ in range(PASSES):
        with system_scope(), connection.cursor() as cursor:
            cursor.execute("SELECT pg_try_advisory_xact_lock(%s)", [_ONE_AT_A_TIME])
            if not cursor.fetchone()[0]:
                return touched
            cursor.execute(_ROLL_UP, [AT_ONCE, TAGS_A_DAY])
            number, organizations = cursor.fetchone()
        touched |= set(organizations)
        if number < AT_ONCE:
            return touched
    return touched
