"""Which tasks a run called, and which of them depend on which: by name, for there may be 100,000 calls."""

from __future__ import annotations

from collections.abc import Collection
from uuid import UUID

from django.db import connection

from runs.models import FlowRun, TaskRun

MAX_NAMES = 10_000  # different tasks of one run


def _runs(run: FlowRun) -> list[UUID]:
    """The run and its subflows."""
    return list(FlowRun.objects.filter(root_id=run.root_id).values_list("id", flat=True))


def task_names(run: FlowRun) -> list[str]:
    """The different tasks that a run and its subflows called, by name."""
    rows = TaskRun.objects.filter(retention=run.retention, bucket=run.bucket, run_id__in=_runs(run))
    return list(rows.order_by("task").values_list("task", flat=True).distinct()[:MAX_NAMES])


def calls(run: FlowRun, ids: Collection[UUID]) -> dict[UUID, tuple[str, str]]:
    """Of some task runs the task, and the key under which the value is stored; no key where none is."""
    if not ids:
        return {}
    rows = TaskRun.objects.filter(retention=run.retention, bucket=run.bucket, run_id__in=_runs(run), id__in=ids)
    found = rows.values_list("id", "task", "result")
    return {id: (task, str((result or {}).get("key", ""))) for id, task, result in found}


_EDGES = """
    SELECT DISTINCT maker.task, taker.task
    FROM task_run taker CROSS JOIN LATERAL unnest(taker.parents) parent (id)
    JOIN task_run maker ON maker.retention = %(retention)s AND maker.bucket = %(bucket)s
        AND maker.run_id = ANY(%(runs)s) AND maker.id = parent.id
    WHERE taker.retention = %(retention)s AND taker.bucket = %(bucket)s AND taker.run_id = ANY(%(runs)s)
        AND taker.parents IS NOT NULL
"""


def depending_on(run: FlowRun, tasks: Collection[str]) -> set[str]:
    """The tasks that took a value of these, or of what took one; and all subflows, whose inputs nobody told."""
    values = {"retention": run.retention, "bucket": run.bucket, "runs": _runs(run)}
    with connection.cursor() as cursor:
        cursor.execute(_EDGES, values)
        edges = cursor.fetchall()
    reached, wave = set(tasks), set(tasks)
    while wave:
        wave = {taker for maker, taker in edges if maker in wave} - reached
        reached |= wave
    subflows = FlowRun.objects.filter(root_id=run.root_id).exclude(id=run.root_id)
    return (reached - set(tasks)) | set(subflows.values_list("flow__name", flat=True).distinct()[:MAX_NAMES])
