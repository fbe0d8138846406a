"""Task runs, log lines, events and usage: set-based, into the partition of their run."""

from __future__ import annotations

import json
from datetime import datetime
from typing import Any
from uuid import UUID

import msgspec

from orchestrator.cleaned import clean_tags, error_of, stored_at
from orchestrator.ids import uuid7
from orchestrator.states import RANK, StateType, is_wait
from orchestrator.storable import clean_text, json_value
from orchestrator.wire import MAX_MESSAGE, MAX_NAME, MAX_PARENTS, Dropped, Event, Log, Result, TaskState, Usage, encode
from runs import events
from runs.ingest.staging import Staged, Statement, array_literal, raw_cursor
from runs.ingest.streams import OpenStream
from runs.transitions import RunRow, from_micros
from runs.usage.counting import IS_REUSED, Counts
from tenants.database import ORGANIZATION

MICROS = "'epoch'::timestamptz + n.{0} * interval '1 microsecond'"
MAX_TASK_HISTORY = 100


def json_text(raw: msgspec.Raw) -> str | None:
    """JSON as the client wrote it, made fit for jsonb only where that is needed."""
    body = bytes(raw)
    if not body or body == b"null":
        return None
    if b"\\u" in body:
        return json.dumps(json_value(json.loads(body)))
    return body.decode()


def run_of(stream: OpenStream, entry: Any, subflows: dict[UUID, RunRow]) -> UUID | None:
    """The run that an entry belongs to, or None when the stream may not write to it.

    A superseded attempt may speak of subflows that were never made; its words go to the root, so that none is lost.
    """
    if entry.run == stream.root.id:
        return entry.run
    row = subflows.get(entry.run)
    if row is not None and row.root_id == stream.root.id:
        return entry.run
    return stream.root.id if stream.superseded else None


# ── task runs ────────────────────────────────────────────────────────────────────────────────────

TASK_COLUMNS = {
    "retention": "smallint", "bucket": "date", "attempt": "int", "run_count": "smallint", "rank": "smallint",
    "run_id": "uuid", "id": "uuid", "execution": "smallint", "seq": "bigint", "started": "bigint", "ended": "bigint",
    "duration": "bigint",
    "parent_task_id": "uuid", "state_type": "text", "state_name": "text", "message": "text", "task": "text",
    "label": "text", "parents": "text", "tags": "text", "history": "text", "error": "text",
    "result": "text",
}  # fmt: skip
_RUN, _ID, _EXECUTION, _ORDER = 5, 6, 7, (3, 4, 8)  # places in a row; `_ORDER` is run_count, rank, seq

# One statement: it sees the rows that were there before it, and answers what they and the new ones count. The
# partition's key stands in it as text, so that only one partition is planned for. LATERAL … LIMIT 1 asks the index once
# a row: nothing is known of a temporary table's size, and a hash join would read the whole partition for each batch.
_UPSERT_TASKS = f"""
    WITH n AS MATERIALIZED (SELECT * FROM {{rows}}),
    seen AS (
        SELECT n.run_id, coalesce(t.execution, n.execution) AS execution, coalesce(t.counts, 0) AS counted,
            CASE WHEN t.id IS NOT NULL AND (t.attempt <> n.attempt
                    OR (n.run_count, n.rank, n.seq) <= (t.run_count, t.rank, t.seq))
                THEN t.counts ELSE ((n.{IS_REUSED}) IS NOT TRUE)::int END AS counts
        FROM n LEFT JOIN LATERAL (
            SELECT t.id, t.execution, t.attempt, t.run_count, t.rank, t.seq, (({IS_REUSED}) IS NOT TRUE)::int AS counts
            FROM task_run t
            WHERE t.retention = $retention AND t.bucket = '$bucket' AND t.run_id = n.run_id AND t.id = n.id LIMIT 1
        ) t ON true
    ),
    written AS (
    INSERT INTO task_run AS t (
        organization_id, retention, bucket, attempt, run_count, execution, rank, run_id, id, seq, started_at, ended_at,
        duration, parent_task_id, state_type, state_name, message, task, label, parents, tags, history, error, result)
    SELECT {ORGANIZATION}, n.retention, n.bucket, n.attempt, n.run_count, n.execution, n.rank, n.run_id, n.id, n.seq,
        {MICROS.format("started")}, {MICROS.format("ended")}, n.duration, n.parent_task_id, n.state_type,
        n.state_name, n.message, n.task, n.label, n.parents::uuid[], n.tags::text[], n.history::jsonb, n.error::jsonb,
        n.result::jsonb
    FROM n
    ON CONFLICT (run_id, id, organization_id, retention, bucket) DO UPDATE SET
        run_count = excluded.run_count, rank = excluded.rank, seq = excluded.seq,
        started_at = coalesce(excluded.started_at, t.started_at), ended_at = excluded.ended_at,
        duration = excluded.duration, state_type = excluded.state_type, state_name = excluded.state_name,
        message = excluded.message, label = excluded.label, parents = coalesce(excluded.parents, t.parents),
        tags = coalesce(excluded.tags, t.tags), history = coalesce(excluded.history, t.history), error = excluded.error,
        result = excluded.result
    WHERE t.attempt = excluded.attempt
        AND (excluded.run_count, excluded.rank, excluded.seq) > (t.run_count, t.rank, t.seq)
    )
    SELECT run_id, execution, sum(counts - counted)::int FROM seen GROUP BY run_id, execution
"""


def task_row(stream: OpenStream, run_id: UUID, entry: TaskState, execution: int) -> tuple:
    """One task run as TASK_COLUMNS. Of the state that it is in, no column says since when; a wait is noted at once."""
    error, result = error_of(entry.error), stored_at(entry.result)
    history = [[stream.at(t), type, name, message] for t, type, name, message in entry.history[-MAX_TASK_HISTORY:]]
    if is_wait(entry.name):
        history.append([stream.at(entry.t), entry.state, entry.name, entry.message])
    return (
        stream.root.retention, stream.root.bucket, stream.attempt, entry.run_count, RANK[StateType(entry.state)],
        run_id, entry.id, execution, entry.seq,
        None if entry.started is None else stream.at(entry.started),
        None if entry.ended is None else stream.at(entry.ended),
        entry.duration, entry.parent_task, entry.state,
        clean_text(entry.name, 200) if entry.name else None,
        clean_text(entry.message, MAX_MESSAGE) if entry.message else None,
        clean_text(entry.task, MAX_NAME), clean_text(entry.label, MAX_NAME),
        array_literal(entry.parents[:MAX_PARENTS]), array_literal(clean_tags(entry.tags)),
        json.dumps(json_value(history)) if history else None, json.dumps(error) if error else None,
        json.dumps(result) if result else None,
    )  # fmt: skip


def newest(rows: list[tuple]) -> list[tuple]:
    """Of several words about one task run the latest: a statement can't touch a row twice."""
    best: dict[tuple, tuple] = {}
    for row in rows:
        key = (row[_RUN], row[_ID])
        known = best.get(key)
        if known is None:
            best[key] = row
        elif [row[i] for i in _ORDER] > [known[i] for i in _ORDER]:
            best[key] = (*row[:_EXECUTION], known[_EXECUTION], *row[_EXECUTION + 1 :])  # It counts where it began.
    return list(best.values())


def write_tasks(rows: list[tuple]) -> list[tuple[UUID, int, int]]:
    """Write task runs of one root; answer what each execution of a flow run counts more: (run, execution, number)."""
    rows = newest(rows)
    retention, bucket = rows[0][:2]
    statement = _UPSERT_TASKS.replace("$retention", str(int(retention))).replace("$bucket", bucket.isoformat())
    return Staged("task_run", TASK_COLUMNS, rows).run(raw_cursor(), statement).fetchall()


# ── log lines ────────────────────────────────────────────────────────────────────────────────────

LOG_COLUMNS = {
    "retention": "smallint", "bucket": "date", "attempt": "int", "root_id": "uuid", "line_no": "bigint",
    "run_id": "uuid", "task_id": "uuid", "t": "bigint", "level": "smallint", "logger": "text", "message": "text",
    "extra": "text",
}  # fmt: skip
_MESSAGE = 10  # its place in a row

_INSERT_LOGS = f"""
    INSERT INTO log_line (
        organization_id, retention, bucket, attempt, root_id, line_no, run_id, task_id, t, level, logger, message,
        extra)
    SELECT {ORGANIZATION}, n.retention, n.bucket, n.attempt, n.root_id, n.line_no, n.run_id, n.task_id,
        {MICROS.format("t")}, n.level, n.logger, n.message, n.extra::jsonb
    FROM {{rows}}
"""


def log_row(stream: OpenStream, run_id: UUID, entry: Log) -> tuple:
    """One log line as LOG_COLUMNS. Its number is the root's next one: commit order is number order."""
    root = stream.root
    root.lines += 1
    return (
        root.retention, root.bucket, stream.attempt, root.id, root.lines, run_id, entry.task, stream.at(entry.t),
        entry.level, clean_text(entry.logger, 200), entry.message, json_text(entry.extra),
    )  # fmt: skip


def dropped_row(stream: OpenStream, entry: Dropped) -> tuple:
    """What was given up stands in the log, where people look for it."""
    count = ", ".join(f"{number} × {kind}" for kind, number in sorted(entry.count.items())) or "entries"
    message = clean_text(f"Not recorded: {count} ({entry.why})", 1_000)
    return log_row(stream, stream.root.id, Log(seq=entry.seq, run=entry.run, t=entry.t, level=30, message=message))


def write_logs(rows: list[tuple]) -> list[int]:
    """Write log lines; answer how many bytes their messages have."""
    Staged("log_line", LOG_COLUMNS, rows).run(raw_cursor(), _INSERT_LOGS)
    return [sum(len(row[_MESSAGE].encode()) for row in rows)]


# ── events ───────────────────────────────────────────────────────────────────────────────────────


def event_row(stream: OpenStream, run_id: UUID, entry: Event) -> events.Row:
    """One event of a run, as `runs/events.py` writes it."""
    root = stream.root
    return events.of_code(
        id=entry.id, workspace_id=root.workspace_id, run_id=run_id, place=(root.retention, root.bucket),
        at=from_micros(stream.at(entry.t)), event=clean_text(entry.event),
        resource=entry.resource, related=entry.related, payload=json_text(entry.payload),
    )  # fmt: skip


def result_row(stream: OpenStream, run_id: UUID, entry: Result) -> events.Row:
    """A stored result, kept as an event of its run until something reads it as more."""
    known = {"url": entry.url, "key": entry.key, "size": entry.size, "serializer": entry.serializer}
    resource = {"id": f"task-run.{entry.task}" if entry.task else f"flow-run.{run_id}", "task": str(entry.task or "")}
    told = Event(seq=entry.seq, run=entry.run, t=entry.t, id=uuid7(), event="result.stored", resource=resource,
                 payload=msgspec.Raw(encode(json_value(known))))  # fmt: skip
    return event_row(stream, run_id, told)


# ── usage ────────────────────────────────────────────────────────────────────────────────────────

_INSERT_USAGE = f"""
    INSERT INTO usage_delta (organization_id, retention, bucket, id, workspace_id, run_id, t,
        flow_runs, task_runs, log_bytes, run_time, cpu)
    VALUES ({ORGANIZATION}, %s, %s, %s, %s, %s, %s, %s, %s, %s, %s, %s)
"""
METERS = ("flow_runs", "task_runs", "log_bytes", "run_time", "cpu")


def usage(stream: OpenStream, at: datetime, meters: dict[str, int]) -> list[Statement]:
    """Add what a stream's part of a batch used to the meters; nothing where nothing was used."""
    if not any(meters.values()):
        return []
    root = stream.root
    values = [root.retention, root.bucket, uuid7(), root.workspace_id, root.id, at, *(meters[name] for name in METERS)]
    return [(_INSERT_USAGE, values)]


_TALLY = """
    UPDATE flow_run r SET lines = n.lines, cpu = n.cpu, memory = n.memory, counted = n.counted::int[]
    FROM unnest(%s::uuid[], %s::bigint[], %s::bigint[], %s::bigint[], %s::text[]) n (id, lines, cpu, memory, counted)
    WHERE r.id = n.id
"""
MOST = 2**60  # µs, bytes


class Tally:
    """What the rows of a batch's runs count up: lines, CPU time, peak memory, task runs."""

    def __init__(self, counts: Counts) -> None:
        self.counts = counts

    def meters(
        self, stream: OpenStream, tasks: list[tuple[UUID, int, int]], log_bytes: list[int], used: list[Usage]
    ) -> dict[str, int]:
        """Count what a stream's part of a batch has written."""
        root = stream.root
        cpu = root.cpu
        root.cpu = min(cpu + sum(max(entry.cpu, 0) for entry in used), max(MOST, cpu))
        root.memory = max([root.memory, *(min(entry.memory, MOST) for entry in used)])
        if used or log_bytes:
            self.counts.changed[root.id] = root
        by = [self.counts.add_flow(row, number) for row, number in stream.flows]
        by.append(self.counts.add_tasks(tasks))
        task_runs, flow_runs = (sum(column) for column in zip(*by, strict=True))
        return {"task_runs": task_runs, "flow_runs": flow_runs, "log_bytes": sum(log_bytes), "cpu": root.cpu - cpu}

    def statements(self) -> list[Statement]:
        """What writes it to the rows that changed."""
        rows = list(self.counts.changed.values())
        if not rows:
            return []
        columns: list[list[Any]] = [[getattr(row, name) for row in rows] for name in ("id", "lines", "cpu", "memory")]
        return [(_TALLY, [*columns, [array_literal(row.counted or ()) for row in rows]])]
