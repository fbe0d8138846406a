"""The one writer of run state: table-driven, over sets of runs that are locked first.

    rows = lock_runs([…])            # inside the tenant's transaction, in id order
    move(rows[id], CRASHED, by=By.SERVER, message="…")
    save(rows.values())

`move` changes the row in memory and says whether the table of `orchestrator.states` allows it; `save` writes all rows
in one statement, ends what hangs on a run that ended (leases, attempts, subflows, open task runs), and announces.
"""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Collection, Iterable
from dataclasses import dataclass, field, fields
from datetime import UTC, date, datetime
from typing import Any
from uuid import UUID

from django.db import connection
from django.utils.timezone import now

from orchestrator.states import TERMINAL, By, StateType, default_name, is_held, may_move
from runs import events, live, waiting
from runs.backfills import words
from runs.models import Attempt
from runs.slots import queue
from runs.statements import Statement, run_together
from tenants.errors import NotFound

DELETED = "The deployment was deleted."
MAX_HISTORY = 200  # states kept of one run: the first half and the last half


@dataclass(slots=True)
class RunRow:
    """A locked flow run: what decides about its state, and what has changed since it was read."""

    id: UUID
    workspace_id: UUID
    root_id: UUID
    parent_id: UUID | None
    flow_id: UUID
    deployment_id: UUID | None
    pool_id: UUID | None
    queue_id: UUID | None
    origin: str
    name: str
    state_type: str
    state_name: str
    state_message: str
    state_at: datetime
    attempt: int
    run_count: int
    crashes: int
    claims_lost: int
    retries: int
    retry_delay: float
    crash_retries: int | None
    due_at: datetime | None
    started_at: datetime | None
    ended_at: datetime | None
    duration: int
    retention: int
    bucket: date
    lines: int
    cpu: int
    memory: int
    counted: list[int] | None
    called_in: int
    suspensions: int
    backfill_id: UUID | None
    error: Any = None
    result: dict[str, Any] | None = None
    new_states: list[list] = field(default_factory=list)
    let_go: str | None = None  # The type of the state in which the holder's part ended.
    touched: bool = False

    @property
    def is_final(self) -> bool:
        """True when no state can follow."""
        return self.state_type in TERMINAL

    @property
    def is_root(self) -> bool:
        """True for a run with a lease of its own."""
        return self.id == self.root_id

    @property
    def is_held(self) -> bool:
        """True while somebody holds the run, with a lease."""
        return is_held(self.state_type, self.state_name)

    @property
    def is_local(self) -> bool:
        """True for a run that no agent may take over."""
        return self.pool_id is None


_READ = [f.name for f in fields(RunRow) if f.name not in {"error", "result", "new_states", "let_go", "touched"}]
COLUMNS = ", ".join(f"r.{name}" for name in _READ)
"""What a query has to select from `flow_run r` to make RunRows of."""


def lock_runs(
    ids: Collection[UUID], *, of_roots: Collection[UUID] | None = None, skip_locked: bool = False
) -> dict[UUID, RunRow]:
    """Lock runs in id order, so that two of us can't wait for each other. Unknown ids are left out.

    With `skip_locked`, so are those that somebody else works on: for ticks, which come again. With `of_roots`, so are
    runs of other executions: whoever holds some roots already may not wait for more.
    """
    lock = "FOR NO KEY UPDATE SKIP LOCKED" if skip_locked else "FOR NO KEY UPDATE"
    mine = "" if of_roots is None else "AND root_id = ANY(%s)"
    values = [list(ids)] if of_roots is None else [list(ids), list(of_roots)]
    with connection.cursor() as cursor:
        cursor.execute(f"SELECT {COLUMNS} FROM flow_run r WHERE id = ANY(%s) {mine} ORDER BY id {lock}", values)
        rows = [RunRow(*values) for values in cursor.fetchall()]
    return {row.id: row for row in rows}


def lock_root(id: UUID) -> RunRow:
    """Lock the root of an execution.

    Raises:
        NotFound: It was deleted in this moment.
    """
    found = lock_runs([id])
    if id not in found:
        raise NotFound("There is no such flow run here.")
    return found[id]


def move(
    row: RunRow,
    to: StateType,
    *,
    by: By,
    name: str | None = None,
    message: str | None = None,
    at: datetime | None = None,
    due_at: datetime | None = None,
    run_count: int | None = None,
    duration: int = 0,
    error: Any = None,
    result: dict[str, Any] | None = None,
) -> bool:
    """Move a locked run in memory. False when the table does not allow it; nothing has changed then.

    Args:
        at: When it happened, UTC; now by default.
        due_at: For SCHEDULED: when the next execution may start.
        run_count: How often the user's function has been executed, as its holder says.
        duration: Microseconds in user code to add.
        result: Where its value was stored.
    """
    if not may_move(StateType(row.state_type), to, by):
        return False
    at = at or now()
    was_held = row.is_held
    begins = row.state_type == StateType.PENDING and to is StateType.RUNNING
    row.state_type, row.state_name, row.state_message = to.value, name or default_name(to), message or ""
    row.state_at = at
    row.new_states.append([micros(at), to.value, row.state_name, message, row.attempt])
    if begins:
        row.claims_lost = 0  # User code was reached: what was lost before says nothing of the claims to come.
    row.run_count = max(row.run_count + begins, run_count or 0)  # A holder that can't count gets no endless retries.
    row.duration = min(row.duration + max(duration, 0), 2**62)
    row.touched = True
    if to is StateType.RUNNING and row.started_at is None:
        row.started_at = at
    if to is StateType.SCHEDULED:
        row.due_at = due_at or row.due_at
    if was_held and to is StateType.PAUSED and not row.is_held:
        row.suspensions += 1
    if to in TERMINAL:
        row.ended_at = max(at, row.started_at) if row.started_at else at
    if error is not None or to is StateType.COMPLETED:
        row.error = error or {}
    row.result = result or row.result
    if row.is_held:
        row.let_go = None
    elif was_held:
        row.let_go = to.value
    return True


def save(rows: Iterable[RunRow]) -> list[RunRow]:
    """Write every row that changed, end what hangs on those whose holder's part is over, announce on commit."""
    changed = [row for row in rows if row.touched]
    if not changed:
        return []
    for row in changed:
        if row.state_type == StateType.SCHEDULED and row.pool_id and row.deployment_id is None:
            # It would wait for ever: what it is to be started from went while it was under way.
            move(row, StateType.CANCELLED, by=By.SERVER, message=DELETED)
    run_together([_written(changed), *events.writing(events.of_runs(changed))])
    over = [row for row in changed if row.let_go and row.is_root]
    if over:
        _let_go(over)
    silent = [row.id for row in changed if row.is_root and row.state_name == "Unreachable"]
    queue.free_runs([row.id for row in over], silent=silent)
    live.runs_changed(changed)
    _wake_agents(changed)
    words.ended({row.backfill_id for row in changed if row.backfill_id and row.is_final})
    for row in changed:
        row.new_states, row.touched, row.let_go, row.error, row.result = [], False, None, None, None
    return changed


def _wake_agents(changed: list[RunRow]) -> None:
    """A slot is free, or a run may be claimed: now, or at a time that is told ahead."""
    at = now()
    waits = [row for row in changed if row.pool_id and row.state_type == StateType.SCHEDULED and row.due_at]
    freed = Counter(row.pool_id for row in changed if row.pool_id and row.let_go)
    due = Counter(row.pool_id for row in waits if row.due_at <= at)
    waiting.wake_pools(due + wanted(freed, at) if freed else due)
    waiting.wake_at((row.pool_id, row.due_at) for row in waits if row.due_at > at)


_WAITS = """
    SELECT count(*) FROM (
        SELECT 1 FROM flow_run WHERE pool_id = %s AND state_type = 'SCHEDULED' AND due_at <= %s LIMIT %s
    ) waiting
"""


def wanted(freed: Counter[UUID], at: datetime) -> Counter[UUID]:
    """How many of the slots that are free now, by pool, somebody waits for. The agent that ended a run looks for the
    next one by itself; a slot of a limit may be another agent's.
    """
    with connection.cursor() as cursor:
        for pool_id, number in freed.items():
            cursor.execute(_WAITS, [pool_id, at, number])
            freed[pool_id] = cursor.fetchone()[0]
    return +freed


_WRITE = f"""
    UPDATE flow_run r SET
        name = n.name, state_type = n.state_type, state_name = n.state_name, state_message = n.state_message,
        state_at = n.state_at, attempt = n.attempt, run_count = n.run_count, crashes = n.crashes,
        claims_lost = n.claims_lost, due_at = n.due_at, started_at = n.started_at, ended_at = n.ended_at,
        duration = n.duration, suspensions = n.suspensions, result = coalesce(n.result, r.result),
        error = CASE WHEN n.error = '{{}}'::jsonb THEN NULL ELSE coalesce(n.error, r.error) END,
        history = CASE WHEN jsonb_array_length(r.history) + jsonb_array_length(n.new_states) <= {MAX_HISTORY}
            THEN r.history || n.new_states
            ELSE jsonb_path_query_array(r.history || n.new_states, '$[0 to {MAX_HISTORY // 2 - 1}]')
                || jsonb_path_query_array(r.history || n.new_states, '$[last - {MAX_HISTORY // 2 - 1} to last]') END
    FROM unnest(
        %s::uuid[], %s::text[], %s::text[], %s::text[], %s::text[], %s::timestamptz[], %s::int[], %s::int[],
        %s::int[], %s::int[], %s::timestamptz[], %s::timestamptz[], %s::timestamptz[], %s::bigint[], %s::smallint[],
        %s::jsonb[], %s::jsonb[], %s::jsonb[]
    ) n (id, name, state_type, state_name, state_message, state_at, attempt, run_count, crashes, claims_lost,
         due_at, started_at, ended_at, duration, suspensions, error, result, new_states)
    WHERE r.id = n.id
"""
_WRITTEN = (
    "id", "name", "state_type", "state_name", "state_message", "state_at", "attempt", "run_count", "crashes",
    "claims_lost", "due_at", "started_at", "ended_at", "duration", "suspensions",
)  # fmt: skip


def _written(rows: list[RunRow]) -> Statement:
    columns: list[list] = [[getattr(row, name) for row in rows] for name in _WRITTEN]
    columns.append([None if row.error is None else json.dumps(row.error) for row in rows])
    columns.append([None if row.result is None else json.dumps(row.result) for row in rows])
    columns.append([json.dumps(row.new_states) for row in rows])
    return _WRITE, columns


# In the order in which a limit that is taken away ends its slots, so that neither can wait for the other.
_END_LEASES = """
    DELETE FROM lease WHERE (organization_id, id) IN (
        SELECT organization_id, id FROM lease WHERE run_id = ANY(%s) ORDER BY run_id, id FOR UPDATE)
"""

_END_SUBFLOWS = """
    UPDATE flow_run r SET
        state_type = n.type, state_name = initcap(n.type), state_message = n.message, state_at = n.at,
        ended_at = greatest(n.at, r.started_at),
        history = r.history || jsonb_build_array(
            jsonb_build_array(n.micros, n.type, initcap(n.type), n.message, n.attempt))
    FROM unnest(%s::uuid[], %s::text[], %s::text[], %s::timestamptz[], %s::bigint[], %s::int[])
        n (root_id, type, message, at, micros, attempt)
    WHERE r.root_id = n.root_id AND r.id <> r.root_id
        AND r.state_type IN ('SCHEDULED', 'PENDING', 'RUNNING', 'PAUSED', 'CANCELLING')
    RETURNING r.id, r.workspace_id, r.retention, r.bucket, r.state_type, r.state_at, r.state_message, r.attempt
"""

# Rank 3: what the task run itself has to tell (rank 4) still wins, should it arrive late.
_END_TASKS = """
    UPDATE task_run t SET state_type = n.type, state_name = NULL, message = n.message, rank = 3,
        ended_at = greatest(n.at, t.started_at)
    FROM unnest(%s::uuid[], %s::text[], %s::text[], %s::timestamptz[], %s::int[])
        n (root_id, type, message, at, attempt)
    WHERE t.retention = %s AND t.bucket = %s AND t.attempt = n.attempt AND t.rank < 3
        AND t.run_id IN (SELECT id FROM flow_run r WHERE r.root_id = n.root_id)
"""


def _let_go(roots: list[RunRow]) -> None:
    """End the attempt of roots whose holder's part is over: its leases, its subflows, its open task runs."""
    ids = [row.id for row in roots]
    types = ["CANCELLED" if row.let_go in {"CANCELLED", "PAUSED"} else "CRASHED" for row in roots]
    messages = [_reason(row) for row in roots]
    times = [row.state_at for row in roots]
    attempts = [row.attempt for row in roots]
    with connection.cursor() as cursor:
        cursor.execute(_END_LEASES, [ids])
        cursor.execute(
            "UPDATE attempt a SET ended_at = n.at, outcome = n.outcome"
            " FROM unnest(%s::uuid[], %s::int[], %s::timestamptz[], %s::text[]) n (run_id, number, at, outcome)"
            " WHERE a.run_id = n.run_id AND a.number = n.number AND a.ended_at IS NULL",
            [ids, attempts, times, [row.state_name for row in roots]],
        )
        told_at = [micros(at) for at in times]
        cursor.execute(_END_SUBFLOWS, [ids, types, messages, times, told_at, attempts])
        ended = cursor.fetchall()
        for retention, bucket in {(row.retention, row.bucket) for row in roots}:
            chosen = [i for i, row in enumerate(roots) if (row.retention, row.bucket) == (retention, bucket)]
            columns = [[column[i] for i in chosen] for column in (ids, types, messages, times, attempts)]
            cursor.execute(_END_TASKS, [*columns, retention, bucket])
    run_together(events.writing(events.of_ended(ended)))


def end_late(root: RunRow, attempt: int) -> None:
    """End what a journal left open that came after the end of its attempt: nobody else ever would."""
    row = Attempt.objects.filter(run_id=root.id, number=attempt).values_list("ended_at", flat=True)
    at = row.first() or root.state_at
    type = "CANCELLED" if root.state_type in {"CANCELLED", "PAUSED"} and attempt == root.attempt else "CRASHED"
    ends = [[root.id], [type], ["Its attempt had ended before this was told."], [at]]
    with connection.cursor() as cursor:
        if attempt == root.attempt:
            cursor.execute(_END_SUBFLOWS, [*ends, [micros(at)], [attempt]])
            run_together(events.writing(events.of_ended(cursor.fetchall())))
        cursor.execute(_END_TASKS, [*ends, [attempt], root.retention, root.bucket])


def _reason(row: RunRow) -> str:
    if row.let_go == "CANCELLED":
        return "The run was cancelled."
    if row.let_go == "PAUSED":
        return "The run was suspended before this had ended. The next attempt calls it again."
    return f"Its run ended ({row.state_name}) before it did."


def micros(at: datetime) -> int:
    """A time as the journal writes it: microseconds UTC."""
    return int(at.timestamp() * 1_000_000)


def from_micros(value: int) -> datetime:
    """A journal's time as PostgreSQL takes it."""
    return datetime.fromtimestamp(value / 1_000_000, UTC)
