"""The tall tables in an export: run by run, partition by partition, for they have no index by tenant."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import groupby
from uuid import UUID

from django.db import connection

from runs import partitions
from runs.emptying import TALL
from runs.models import FlowRun
from tenants.leaving.archive import Lines, columns_of, fetched, reads
from tenants.leaving.tables import tables
from tenants.scope import tenant_scope

RUNS = 200  # of one transaction


@reads("task_run")
def task_runs(organization_id: UUID) -> Lines:
    """All of them, in no order."""
    return _of_runs(organization_id, "task_run")


@reads("log_line")
def log_lines(organization_id: UUID) -> Lines:
    """All of them, in no order."""
    return _of_runs(organization_id, "log_line")


@reads("event")
def events(organization_id: UUID) -> Lines:
    """All of them, the oldest days first."""
    with tenant_scope(organization_id), connection.cursor() as cursor:
        leaves = [leaf for leaf in partitions.existing(cursor) if leaf.table == "event"]
        columns = columns_of(tables()["event"])
    for leaf in leaves:
        lie = "retention = %s AND bucket >= %s AND bucket < %s"
        yield from fetched(
            organization_id, f"SELECT {columns} FROM event each WHERE {lie}", [leaf.days, leaf.start, leaf.end]
        )


def _of_runs(organization_id: UUID, table: str) -> Lines:
    run, _ = TALL[table]
    with tenant_scope(organization_id):
        columns = columns_of(tables()[table])
    statement = f"SELECT {columns} FROM {table} each WHERE retention = %s AND bucket = %s AND {run} = ANY(%s)"
    for place, ids in _places(organization_id):
        yield from fetched(organization_id, statement, [*place, ids])


def _places(organization_id: UUID) -> Iterator[tuple[partitions.Place, list[UUID]]]:
    """Some runs that lie in one partition, and where."""
    after = UUID(int=0)
    while True:
        with tenant_scope(organization_id):
            found = FlowRun.objects.filter(id__gt=after).order_by("id").values_list("retention", "bucket", "id")
            runs = list(found[:RUNS])
        if not runs:
            return
        after = runs[-1][2]
        for place, rows in groupby(sorted(runs), key=lambda run: run[:2]):
            yield place, [id for *_, id in rows]
