"""The list of runs: keyset pages of what a filter chooses, and the states over time above it."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass
from datetime import timedelta
from typing import Any
from uuid import UUID

from django.db import connection
from django.db.models import QuerySet
from django.utils.timezone import now

from runs.models import FlowRun
from runs.reads import over_time as remembered
from runs.reads.run_filter import RunFilter
from tenants.cursors import newest

PAGE = 50
BARS = 48


@dataclass(frozen=True, slots=True)
class RunPage:
    """One page of runs, and where the next one begins."""

    runs: list[FlowRun]
    next_cursor: str


def page(workspace_id: UUID, asked: RunFilter, *, hidden: Collection[UUID]) -> RunPage:
    """The newest runs of a filter from its cursor on, without those of hidden deployments."""
    rows = asked.apply(_in_workspace(workspace_id)).without(hidden)
    found, more = newest(rows, by="created_at", cursor=asked.cursor, limit=PAGE)
    return RunPage(found, more or "")


def _in_workspace(workspace_id: UUID) -> QuerySet[FlowRun]:
    heavy = ("history", "error", "parameters")
    rows = FlowRun.objects.filter(workspace_id=workspace_id).defer(*heavy)
    # Not joined: of flows too few to have statistics PostgreSQL would take all the runs, and sort them.
    return rows.prefetch_related("flow", "deployment", "pool")


def ever_ran(workspace_id: UUID) -> bool:
    """Whether the workspace has any run at all."""
    return FlowRun.objects.filter(workspace_id=workspace_id).exists()


def counts(workspace_id: UUID, asked: RunFilter, *, hidden: Collection[UUID] = ()) -> dict[str, int]:
    """How many runs of the filter are in each state, whatever states it asks for.

    Where all are asked for, hidden ones count: what is remembered is the same for everybody.
    """
    if asked.takes_all and asked.range in remembered.SPANS:
        return remembered.over_time(workspace_id, asked.range).totals
    rows = asked.apply(FlowRun.objects.filter(workspace_id=workspace_id), states=False).without(hidden)
    with connection.cursor() as cursor:
        sql, values = rows.order_by().values("state_type").query.sql_with_params()
        cursor.execute(f"SELECT state_type, count(*) FROM ({sql}) r GROUP BY 1", values)
        return dict(cursor.fetchall())


def over_time(workspace_id: UUID, asked: RunFilter, *, hidden: Collection[UUID] = ()) -> dict[str, Any]:
    """States over time: spans of equal length, each with its runs counted by state type.

    {"from": µs, "step": µs, "bars": [{"COMPLETED": 3, …}, …]}
    """
    if asked.takes_all:
        span = asked.range if asked.range in remembered.SPANS else "30d"
        return remembered.over_time(workspace_id, span).only(asked.states).chart
    until = asked.before or now()
    since = asked.since or until - timedelta(days=30)
    step = (until - since) / BARS
    rows = asked.apply(FlowRun.objects.filter(workspace_id=workspace_id, created_at__gte=since)).without(hidden)
    sql, values = rows.order_by().values("state_type", "created_at").query.sql_with_params()
    bars: list[dict[str, int]] = [{} for _ in range(BARS)]
    with connection.cursor() as cursor:
        cursor.execute(
            "SELECT least(floor(extract(epoch FROM created_at - %s) / %s), %s)::int AS bar, state_type, count(*)"
            f" FROM ({sql}) r GROUP BY 1, 2",
            [since, step.total_seconds(), BARS - 1, *values],
        )
        for bar, state_type, number in cursor.fetchall():
            bars[max(bar, 0)][state_type] = number
    return {"from": int(since.timestamp() * 1e6), "step": int(step.total_seconds() * 1e6), "bars": bars}
