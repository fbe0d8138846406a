"""What the runs of a tenant that goes leave behind: rows of the tall tables, journals' marks, code, keys in Redis."""

from __future__ import annotations

import re
from datetime import timedelta
from typing import Any

from django.db import connection
from django.utils.timezone import now

from runs import emptying, partitions
from runs.messenger import client
from runs.models import Agent, FlowRun, WorkPool
from runs.wakeups import DUE, DUE_NUMBERS, SEEN
from tenants.leaving.purge import Gone, Removed, clears, forgets
from tenants.models import Workspace
from tenants.scope import tenant_scope

RUNS = 200  # of one batch
ROWS = 5_000  # of a tall table in one batch
BUNDLES = 20
BUNDLE_WAITS = timedelta(days=1)  # for the deployment that is to name it
OF_RUN = ("task_run", "log_line")  # Their indexes begin with the run.
OF_TENANT = ("event", "usage_delta")  # Theirs begin with the tenant.
_ID = re.compile(r"[0-9a-f]{8}-(?:[0-9a-f]{4}-){3}[0-9a-f]{12}")


@forgets
def forget_keys(gone: Gone) -> None:
    """Remove from Redis whatever names the tenant, or a workspace, a pool or an agent of it."""
    ids = _ids(gone)
    redis: Any = client()
    for key in redis.scan_iter(count=1_000):
        if _names(key, ids):
            redis.delete(key)
    for name, walk, remove in (
        (DUE, redis.zscan_iter, redis.zrem),
        (SEEN, redis.zscan_iter, redis.zrem),
        (DUE_NUMBERS, redis.hscan_iter, redis.hdel),
    ):
        for member, _ in walk(name, count=1_000):
            if _names(member, ids):
                remove(name, member)


def _ids(gone: Gone) -> set[str]:
    with tenant_scope(gone.organization_id):
        places, held = Workspace.objects.all(), [WorkPool.objects.all(), Agent.objects.all()]
        if gone.workspace_id:
            places = places.filter(id=gone.workspace_id)
            held = [rows.filter(workspace_id=gone.workspace_id) for rows in held]
        found = {str(id) for rows in (places, *held) for id in rows.values_list("id", flat=True)}
    return found if gone.workspace_id else {*found, str(gone.organization_id)}


def _names(key: bytes, ids: set[str]) -> bool:
    return not ids.isdisjoint(_ID.findall(key.decode("utf-8", "replace")))


@clears
def clear_runs(gone: Gone) -> Removed:
    """Remove some runs, after what the tall tables hold of them. Attempts and leases go with their run."""
    runs = FlowRun.objects.filter(organization_id=gone.organization_id)
    if gone.workspace_id:
        runs = runs.filter(workspace_id=gone.workspace_id)
    some = list(runs.order_by().values_list("id", "retention", "bucket")[:RUNS])
    for place in {(retention, bucket) for _, retention, bucket in some}:
        ids = [id for id, *own in some if tuple(own) == place]
        for table in OF_RUN:
            if found := emptying.tall_rows(table, place, ids, organization_id=gone.organization_id, limit=ROWS):
                return {table: len(found)}
    ids = [id for id, *_ in some]
    streams = _delete("journal_stream", "organization_id = %s AND root_id = ANY(%s)", gone.organization_id, ids)
    return streams | _delete("flow_run", "organization_id = %s AND id = ANY(%s)", gone.organization_id, ids)


@clears
def clear_deleted_runs(gone: Gone) -> Removed:
    """Remove what runs have left that were deleted only just."""
    while (removed := emptying.empty(gone.organization_id, gone.workspace_id)) is not None:
        if any(removed.values()):
            return {table: number for table, number in removed.items() if number}
    return {}


@clears
def clear_rows_of_tenants(gone: Gone) -> Removed:
    """Remove some events, partition by partition; of a whole organization also what it used."""
    own, values = "organization_id = %s", [gone.organization_id]
    if gone.workspace_id:
        own, values = f"{own} AND workspace_id = %s", [*values, gone.workspace_id]
    wanted = OF_TENANT[:1] if gone.workspace_id else OF_TENANT  # A workspace's usage is its organization's to pay.
    with connection.cursor() as cursor:
        for leaf in partitions.existing(cursor):
            if leaf.table not in wanted:
                continue
            lie, place = "retention = %s AND bucket >= %s AND bucket < %s", [leaf.days, leaf.start, leaf.end]
            cursor.execute(
                f"WITH chosen AS (SELECT id FROM {leaf.table} WHERE {lie} AND {own} LIMIT %s)"
                f" DELETE FROM {leaf.table} WHERE {lie} AND {own} AND id IN (SELECT id FROM chosen)",
                [*place, *values, ROWS, *place, *values],
            )
            if cursor.rowcount:
                return {leaf.table: cursor.rowcount}
    return {}


@clears
def clear_code(gone: Gone) -> Removed:
    """Remove bundles that no deployment names any more, when a workspace goes. An organization's all go."""
    if gone.workspace_id is None:
        return {}
    return _delete(
        "bundle",
        "ctid = ANY(ARRAY(SELECT b.ctid FROM bundle b WHERE b.organization_id = %s AND b.created_at < %s"
        " AND NOT EXISTS (SELECT 1 FROM deployment d WHERE d.organization_id = b.organization_id"
        " AND d.source->>'sha256' = b.sha256) AND NOT EXISTS (SELECT 1 FROM deployment_version v"
        " WHERE v.organization_id = b.organization_id AND v.definition->'source'->>'sha256' = b.sha256) LIMIT %s))",
        gone.organization_id,
        now() - BUNDLE_WAITS,
        BUNDLES,
    )


def _delete(table: str, where: str, *values: Any) -> Removed:
    with connection.cursor() as cursor:
        cursor.execute(f"DELETE FROM {table} WHERE {where}", values)
        return {table: cursor.rowcount} if cursor.rowcount else {}
