"""What the page of one run shows: its story, its task runs, its log. The bars of its timeline: timeline.py."""

from __future__ import annotations

import json
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID

from django.db.models import Count

from runs.hidden import hidden_deployments
from runs.models import Attempt, FlowRun, JournalStream, LogLine, TaskRun
from runs.reads.log_window import window
from runs.transitions import micros
from tenants.errors import NotFound
from tenants.permissions import Actor

TASKS_A_PAGE = 100
MAX_SUBFLOWS = 1_000


@dataclass(frozen=True, slots=True)
class Step:
    """One state in a run's story. `lasted` is in seconds, None for the one it is in."""

    at: datetime
    state_type: str
    state_name: str
    message: str
    attempt: int
    lasted: float | None


def story(run: FlowRun) -> list[Step]:
    """The states of a run, oldest first, with how long each lasted."""
    times = [state[0] for state in run.history]
    ends = [*times[1:], None]
    return [
        Step(
            at=datetime.fromtimestamp(at / 1e6, UTC),
            state_type=state_type,
            state_name=name,
            message=message or "",
            attempt=attempt,
            lasted=None if end is None else max(end - at, 0) / 1e6,
        )
        for (at, state_type, name, message, attempt), end in zip(run.history, ends, strict=True)
    ]


def attempts(run: FlowRun) -> list[Attempt]:
    """Who held the run, newest first."""
    found = list(Attempt.objects.filter(run_id=run.root_id).select_related("agent").order_by("-number")[:100])
    offsets = clock_offsets(run)
    for attempt in found:
        attempt.clock = offsets.get(attempt.number)
    return found


def clock_offsets(run: FlowRun) -> dict[int, timedelta]:
    """By how much the clock of an attempt's holder was behind ours (ahead: negative), where it was corrected."""
    streams = JournalStream.objects.filter(root_id=run.root_id, writer=0).exclude(clock_offset=0)
    offsets = streams.order_by("-attempt").values_list("attempt", "clock_offset")[:100]
    return {attempt: timedelta(microseconds=offset) for attempt, offset in offsets}


def subflows(run: FlowRun) -> list[FlowRun]:
    """The runs that it called, in order."""
    rows = FlowRun.objects.filter(root_id=run.root_id, parent_id=run.id).exclude(id=run.id)
    return list(rows.select_related("flow").order_by("created_at", "id")[:MAX_SUBFLOWS])


def caller(run: FlowRun, by: Actor) -> FlowRun | None:
    """The run that called it, where there is one and the actor may see it."""
    if run.parent_id is None:
        return None
    seen = FlowRun.objects.filter(workspace_id=run.workspace_id).without(hidden_deployments(by))
    return seen.select_related("flow").filter(id=run.parent_id).first()


def count_tasks(run: FlowRun) -> dict[str, int]:
    """How many of its task runs are in which state type."""
    counted = TaskRun.objects.of_run(run).values_list("state_type").annotate(number=Count("run_id")).order_by()
    return dict(counted)


@dataclass(frozen=True, slots=True)
class TaskPage:
    """Some task runs in the order in which they were made, and where the next ones begin."""

    tasks: list[TaskRun]
    next_cursor: str


def tasks(run: FlowRun, *, state: str = "", text: str = "", after: str = "") -> TaskPage:
    """A page of task runs, of one state or with a text in their name where asked."""
    rows = TaskRun.objects.of_run(run)
    if state:
        rows = rows.filter(state_type=state)
    if text:
        rows = rows.filter(label__icontains=text[:200])
    if after:
        rows = rows.filter(id__gt=_id(after))
    found = list(rows.order_by("id")[: TASKS_A_PAGE + 1])
    more = len(found) > TASKS_A_PAGE
    return TaskPage(found[:TASKS_A_PAGE], str(found[TASKS_A_PAGE - 1].id) if more else "")


def find_task(run: FlowRun, id: UUID) -> TaskRun:
    """One task run.

    Raises:
        NotFound: There is none.
    """
    task = TaskRun.objects.of_run(run).filter(id=id).first()
    if task is None:
        raise NotFound("There is no such task run here.")
    return task


def _id(text: str) -> UUID:
    try:
        return UUID(text)
    except ValueError as error:
        raise NotFound("There is no such page.") from error


def log(
    run: FlowRun,
    *,
    after: int | None = None,
    before: int | None = None,
    limit: int = 500,
    level: int = 0,
    text: str = "",
    task: UUID | None = None,
) -> dict[str, Any]:
    """A window of the log: upwards from a line, downwards from one, or its end.

    {"lines": [[number, µs, level, source, message, extra], …], "total": how many lines the execution has,
     "more": whether there are more on that side}
    """
    rows = LogLine.objects.of_root(run)
    if not run.is_root:
        rows = rows.filter(run_id=run.id)
    if task:
        rows = rows.filter(task_id=task)
    lines, more = window(rows, after=after, before=before, limit=limit, level=level, text=text)
    sources = _sources(run, lines)
    told = [
        [line.line_no, micros(line.t), line.level, sources.get(line.task_id, ""), line.message, _compact(line.extra)]
        for line in lines
    ]
    return {"lines": told, "total": _lines(run), "more": more}


def _compact(extra: Any) -> str:
    """What a line carries beside its message, in one line: `order=7 customer="acme"`."""
    if not isinstance(extra, dict):
        return ""
    return " ".join(f"{name}={json.dumps(value, ensure_ascii=False)}" for name, value in extra.items())


def _sources(run: FlowRun, lines: list[LogLine]) -> dict[UUID | None, str]:
    """The names of the task runs that wrote the lines."""
    ids = {line.task_id for line in lines if line.task_id}
    runs = {line.run_id for line in lines}
    if not ids:
        return {}
    found = TaskRun.objects.filter(retention=run.retention, bucket=run.bucket, run_id__in=runs, id__in=ids)
    return {id: label or task for id, label, task in found.values_list("id", "label", "task")}


def _lines(run: FlowRun) -> int:
    return FlowRun.objects.values_list("lines", flat=True).get(id=run.root_id)
