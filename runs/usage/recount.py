"""What was used, counted from the rows alone: the meters must come to the same.

    recount(Bucket(30, date(2026, 5, 19)))     # inside the organization's scope

Nothing here reads `usage_delta`, `usage_day` or `flow_run.counted`. Of runs that were deleted the rows are gone: what
they used is what their deletion has kept of them.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from typing import Any, NamedTuple
from uuid import UUID

from django.db import connection

from orchestrator.states import StateType
from runs.usage.counting import IS_REUSED, REUSED

METERS = ("flow_runs", "task_runs", "log_bytes", "run_time", "cpu")
Meters = dict[str, int]


@dataclass(frozen=True, slots=True, order=True)
class Bucket:
    """Where the rows of runs lie that were first seen on one day."""

    retention: int
    day: date

    @property
    def span(self) -> tuple[datetime, datetime]:
        """When its roots were made."""
        start = datetime(self.day.year, self.day.month, self.day.day, tzinfo=UTC)
        return start, start + timedelta(days=1)


class Root(NamedTuple):
    """One execution and what it used."""

    workspace_id: UUID
    tags: list[str]
    meters: Meters


class _Run(NamedTuple):
    id: UUID
    root_id: UUID
    parent_id: UUID | None
    called_in: int
    workspace_id: UUID
    tags: list[str]  # of a root
    state_type: str
    state_name: str
    began: bool
    run_time: int
    cpu: int


# By the index of lists: roots carry the time of their making, and its date is their bucket.
_RUNS = """
    WITH roots AS MATERIALIZED (
        SELECT r.id FROM workspace w JOIN flow_run r ON r.organization_id = w.organization_id AND r.workspace_id = w.id
        WHERE r.created_at >= %s AND r.created_at < %s AND r.retention = %s AND r.root_id = r.id
    )
    SELECT r.id, r.root_id, r.parent_id, r.called_in, r.workspace_id,
        CASE WHEN r.id = r.root_id THEN r.tags END, r.state_type, r.state_name,
        r.started_at IS NOT NULL, r.duration, r.cpu
    FROM roots JOIN flow_run r ON r.root_id = roots.id
"""
_TASKS = f"""
    SELECT run_id, execution, count(*) FROM task_run
    WHERE retention = %s AND bucket = %s AND ({IS_REUSED}) IS NOT TRUE GROUP BY run_id, execution
"""
_LOGS = """
    SELECT root_id, sum(octet_length(message))::bigint FROM log_line WHERE retention = %s AND bucket = %s
    GROUP BY root_id
"""
_DELETED = f"""
    SELECT g.workspace_id, g.tags, {", ".join(f"g.{name}" for name in METERS)}
    FROM workspace w JOIN deleted_run g ON g.organization_id = w.organization_id AND g.workspace_id = w.id
    WHERE g.retention = %s AND g.bucket = %s
"""


def recount(bucket: Bucket) -> dict[UUID, Meters]:
    """The meters of a bucket by workspace. Those of workspaces that are gone are left out, as their runs are."""
    return by_workspace(roots_of(bucket))


def by_workspace(roots: Iterable[Root]) -> dict[UUID, Meters]:
    """What executions used, by workspace."""
    totals: dict[UUID, Meters] = defaultdict(lambda: dict.fromkeys(METERS, 0))
    for root in roots:
        for name, value in root.meters.items():
            totals[root.workspace_id][name] += value
    return {workspace: meters for workspace, meters in totals.items() if any(meters.values())}


def roots_of(bucket: Bucket) -> list[Root]:
    """The executions of a bucket, each with what it used."""
    runs = [_Run(*row) for row in _ask(_RUNS, *bucket.span, bucket.retention)]
    tasks: dict[UUID, dict[int, int]] = defaultdict(dict)
    for run_id, execution, number in _ask(_TASKS, bucket.retention, bucket.day):
        tasks[run_id][execution] = number
    logs = dict(_ask(_LOGS, bucket.retention, bucket.day))
    by_root: dict[UUID, list[_Run]] = defaultdict(list)
    for run in runs:
        by_root[run.root_id].append(run)
    found = []
    for root_id, family in by_root.items():
        tags = next(run.tags for run in family if run.id == root_id)
        meters = _of_root(root_id, family, tasks) | {"log_bytes": int(logs.get(root_id, 0))}
        found.append(Root(family[0].workspace_id, tags, meters))
    return found + _deleted(bucket)


def _deleted(bucket: Bucket) -> list[Root]:
    rows = _ask(_DELETED, bucket.retention, bucket.day)
    return [Root(workspace, tags, dict(zip(METERS, meters, strict=True))) for workspace, tags, *meters in rows]


def _of_root(root_id: UUID, family: Iterable[_Run], tasks: dict[UUID, dict[int, int]]) -> Meters:
    """One execution's count: of each flow run the largest execution, with what it called."""
    runs = {run.id: run for run in family}
    sums: dict[UUID, dict[int, list[int]]] = defaultdict(lambda: defaultdict(lambda: [0, 0]))
    for run in _callees_first(runs):
        for execution, number in tasks.get(run.id, {}).items():
            sums[run.id][execution][0] += number
        own = sums[run.id].values()
        largest = [max((each[i] for each in own), default=0) for i in (0, 1)]
        largest[1] += _counts(run)
        if run.id == root_id:
            return {"task_runs": largest[0], "flow_runs": largest[1], "run_time": run.run_time, "cpu": run.cpu}
        caller, execution = _caller(run, runs)
        for i in (0, 1):
            sums[caller][execution][i] += largest[i]
    raise ValueError(f"root {root_id} is not among its own runs")


def _counts(run: _Run) -> int:
    return int(run.began and not (run.state_type == StateType.COMPLETED and run.state_name in REUSED))


def _caller(run: _Run, runs: dict[UUID, _Run]) -> tuple[UUID, int]:
    known = run.called_in > 0 and run.parent_id in runs
    return (run.parent_id if known and run.parent_id else run.root_id), max(abs(run.called_in), 1)


def _callees_first(runs: dict[UUID, _Run]) -> list[_Run]:
    """Every run after those that it called."""
    order: list[_Run] = []
    callees: dict[UUID, list[_Run]] = defaultdict(list)
    for run in runs.values():
        if run.id != run.root_id:
            callees[_caller(run, runs)[0]].append(run)
    waiting = [run for run in runs.values() if run.id == run.root_id]
    while waiting:
        run = waiting.pop()
        order.append(run)
        waiting += callees[run.id]
    return order[::-1]


def _ask(statement: str, *values: Any) -> list[tuple]:
    with connection.cursor() as cursor:
        cursor.execute(statement, values)
        return cursor.fetchall()
