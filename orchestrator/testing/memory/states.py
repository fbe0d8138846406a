"""Moves of runs by the table that all servers share, and what ends when a run does."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from orchestrator import clock
from orchestrator.states import RANK, TERMINAL, By, StateType, default_name, may_move
from orchestrator.testing.memory import slots
from orchestrator.testing.memory.rows import Run
from orchestrator.testing.memory.store import Store

MAX_HISTORY = 200
LATE = "Its attempt had ended before this was told."
SERVER_RANK = 3  # what the task run itself has to tell, rank 4, still wins


def move(
    run: Run,
    to: StateType,
    *,
    by: By,
    name: str | None = None,
    message: str | None = None,
    at: int | None = None,
    due_at: int | None = None,
    run_count: int | None = None,
    duration: int = 0,
    error: Any = None,
    result: Any = None,
) -> bool:
    """Move a run; False when the table does not allow it, and nothing has changed then."""
    if not may_move(StateType(run.state_type), to, by):
        return False
    at = clock.now() if at is None else at
    was_held = run.is_held
    begins = run.state_type == StateType.PENDING and to is StateType.RUNNING
    run.state_type, run.state_name, run.state_message = to.value, name or default_name(to), message or ""
    run.state_at = at
    run.history.append((at, to.value, run.state_name, message, run.attempt))
    del run.history[MAX_HISTORY // 2 : -MAX_HISTORY // 2]
    if begins:
        run.claims_lost = 0
    run.run_count = max(run.run_count + begins, run_count or 0)
    run.duration += max(duration, 0)
    if to is StateType.RUNNING and run.started_at is None:
        run.started_at = at
    if to is StateType.SCHEDULED:
        run.due_at, run.announced = due_at or run.due_at, False
    if to in TERMINAL:
        run.ended_at = max(at, run.started_at or at)
    if error is not None or to is StateType.COMPLETED:
        run.error = error or None
    run.result = result or run.result
    if was_held and to is StateType.PAUSED and not run.is_held:
        run.suspensions += 1
    run.let_go = None if run.is_held else to.value if was_held else run.let_go
    return True


def settle(store: Store, runs: Iterable[Run]) -> None:
    """End what hangs on runs whose holder's part is over, and wake who waits for a slot or a run."""
    for run in runs:
        if run.let_go and run.is_root:
            _let_go(store, run)
        if run.let_go and run.deployment is not None and somebody_waits(store, run.deployment.pool):
            store.wake(run.deployment.pool)
        run.let_go = None


def somebody_waits(store: Store, pool: str) -> bool:
    """Say whether a run of the pool is due."""
    return any(
        run.state_type == StateType.SCHEDULED and run.deployment is not None and run.deployment.pool == pool
        and run.due_at is not None and run.due_at <= clock.now()
        for run in store.runs.values()
    )  # fmt: skip


def _reason(root: Run) -> str:
    if root.let_go == StateType.CANCELLED:
        return "The run was cancelled."
    if root.let_go == StateType.PAUSED:
        return "The run was suspended before this had ended. The next attempt calls it again."
    return f"Its run ended ({root.state_name}) before it did."


def _let_go(store: Store, root: Run) -> None:
    state = StateType.CANCELLED if root.let_go in {"CANCELLED", "PAUSED"} else StateType.CRASHED
    reason = _reason(root)
    root.lease = None
    attempt = root.attempts.get(root.attempt)
    if attempt is not None and attempt.ended_at is None:
        attempt.ended_at, attempt.outcome = root.state_at, root.state_name
    _end_subflows(store, root, state, reason, root.state_at)
    _end_tasks(store, root, root.attempt, state, reason, root.state_at)
    slots.free_run(store, root)


def end_late(store: Store, root: Run, attempt: int) -> None:
    """End what a journal left open that came after the end of its attempt: nobody else ever would."""
    at = root.attempts[attempt].ended_at or root.state_at
    cancelled = root.state_type in {"CANCELLED", "PAUSED"} and attempt == root.attempt
    state, reason = StateType.CANCELLED if cancelled else StateType.CRASHED, LATE
    if attempt == root.attempt:
        _end_subflows(store, root, state, reason, at)
    _end_tasks(store, root, attempt, state, reason, at)


def _of_execution(store: Store, root: Run) -> list[Run]:
    return [run for run in store.runs.values() if run.root_id == root.id]


def _end_subflows(store: Store, root: Run, state: StateType, reason: str, at: int) -> None:
    for run in _of_execution(store, root):
        if run is not root and not run.is_final:
            run.state_type, run.state_name, run.state_message = state.value, default_name(state), reason
            run.state_at, run.ended_at = at, max(at, run.started_at or 0)
            run.history.append((at, state.value, run.state_name, reason, root.attempt))


def _end_tasks(store: Store, root: Run, attempt: int, state: StateType, reason: str, at: int) -> None:
    for run in _of_execution(store, root):
        for task in run.tasks.values():
            if task.attempt == attempt and task.rank < SERVER_RANK:
                task.state_type, task.state_name, task.message = state.value, None, reason
                task.ended_at, task.rank = max(at, task.started_at or 0), SERVER_RANK


def rank(state: str) -> int:
    """How far a task run in this state has come."""
    return RANK[StateType(state)]
