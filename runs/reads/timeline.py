"""The bars of a run's timeline: when its task runs waited, were executed, and paused between two executions."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

import psycopg
from django.db import connection

from orchestrator.states import is_wait
from runs.models import FlowRun
from runs.reads.run_page import subflows
from runs.transitions import micros

MAX_BARS = 100_000  # task runs on one timeline

_ROWS = """
    SELECT id::text, coalesce(nullif(label, ''), task), state_type, state_name,
        (extract(epoch FROM started_at) * 1000000)::bigint - %s, (extract(epoch FROM ended_at) * 1000000)::bigint - %s,
        run_count, CASE WHEN run_count > 1 OR history @? '$[*][2] ? (@ starts with "Awaiting")' THEN history END, seq
    FROM task_run
    WHERE retention = %s AND bucket = %s AND run_id = %s AND seq > %s
    ORDER BY id LIMIT %s
"""


def bars_of(run: FlowRun, *, since: int = -1) -> dict[str, Any]:
    """The bars of a run's timeline, compact: names are told once, times are µs after `from`.

    {"from": µs UTC, "to": µs or None while it runs, "now": µs, "seq": the newest entry that is in it,
     "names": […], "states": [[type, name or None], …], "more": whether there are more task runs than are told,
     "tasks": [[id, name, state, start or None, end or None, executions, gaps, waits], …], a gap being
     [end of a failed execution, start of the next], a wait for a slot or a value [begin, end or None];
     `waits` is left out where it is empty,
     "subflows": [[id, label, flow, state type, state name, start, end, pauses], …], a pause like a wait}

    With `since`, only what changed after that entry: a page that stays open asks for the difference.
    """
    start = micros(run.started_at or run.created_at)
    with psycopg.Cursor(connection.connection) as cursor:  # Django's own converts 100,000 rows at twice the cost.
        cursor.execute(_ROWS, [start, start, run.retention, run.bucket, run.id, since, MAX_BARS + 1], binary=True)
        rows = cursor.fetchall()
    names: dict[str, int] = {}
    states: dict[tuple[str, str | None], int] = {}
    bars = [
        [
            id,
            names.setdefault(label, len(names)),
            states.setdefault((state_type, state_name), len(states)),
            began,
            ended,
            count,
            _gaps(history, start) if history and count > 1 else [],
            *_waits(history, ended, start),
        ]
        for id, label, state_type, state_name, began, ended, count, history, _ in rows[:MAX_BARS]
    ]
    return {
        "from": start,
        "to": micros(run.ended_at) if run.ended_at else None,
        "now": micros(datetime.now(UTC)),
        "seq": max((row[-1] for row in rows), default=since),
        "names": list(names),
        "states": [list(state) for state in states],
        "more": len(rows) > MAX_BARS,
        "tasks": bars,
        "subflows": [_subflow_bar(each, start) for each in subflows(run)],
    }


def _gaps(history: list, start: int) -> list[list[int]]:
    """When executions before the last one ended, and when the next ones began: the bar is drawn in parts."""
    gaps: list[list[int]] = []
    ended = None
    for at, state_type, name, *_ in history:
        if state_type in {"FAILED", "CRASHED"} or name == "AwaitingRetry":
            ended = at if ended is None else ended
        elif state_type == "RUNNING" and ended is not None and not is_wait(name):
            gaps.append([ended - start, at - start])
            ended = None
    return gaps


def _waits(history: list | None, ended: int | None, start: int) -> list[list[list]]:
    """When it waited for a slot, or for a value that another one computes; nothing where it never did.

    The last state of the history is one that is over, or the wait that the task run is in.
    """
    if not history:
        return []
    ends = [at - start for at, *_ in history[1:]] + [ended]
    waits = [[at - start, end] for (at, _, name, *_), end in zip(history, ends, strict=True) if is_wait(name)]
    return [waits] if waits else []


def _subflow_bar(run: FlowRun, start: int) -> list[Any]:
    ended = _after(run.ended_at, start)
    ends = [at - start for at, *_ in run.history[1:]] + [ended]
    pauses = [[at - start, end] for (at, kind, *_), end in zip(run.history, ends, strict=True) if kind == "PAUSED"]
    state = [run.state_type, run.state_name, _after(run.started_at, start), ended]
    return [str(run.id), run.name, run.flow.name, *state, pauses]


def _after(at: datetime | None, start: int) -> int | None:
    return None if at is None else micros(at) - start
