"""Doing something to many runs at once: the operations, and what they do when their time has come."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from dataclasses import replace
from typing import Any
from uuid import UUID

import msgspec

from orchestrator import clock
from orchestrator.bodies import BulkInput, BulkRetryInput
from orchestrator.bulk import MAX_DELAY, OPEN, described, words_of, wrong_in_filter
from orchestrator.ids import uuid7
from orchestrator.states import WISHES
from orchestrator.testing.memory import deleting, inputs, retries, run_search, runs
from orchestrator.testing.memory.asked import Asked, Refusal, invalid
from orchestrator.testing.memory.paging import newest
from orchestrator.testing.memory.rows import BulkOperation, Run
from orchestrator.testing.memory.shown import show_run, time_of
from orchestrator.testing.memory.store import Store

DELAY = 10  # seconds
MOST, AT_ONCE, FIRST = 10_000, 5, 10


def cancel_many(store: Store, asked: Asked) -> tuple[dict[str, Any], int]:
    """Ask all runs to stop that fit a filter."""
    return _begin(store, asked, "cancel", asked.read(BulkInput))


def retry_many(store: Store, asked: Asked) -> tuple[dict[str, Any], int]:
    """Retry all runs that fit a filter and have ended."""
    return _begin(store, asked, "retry", asked.read(BulkRetryInput))


def delete_many(store: Store, asked: Asked) -> tuple[dict[str, Any], int]:
    """Delete all runs that fit a filter and have ended."""
    return _begin(store, asked, "delete", asked.read(BulkInput))


def pause_many(store: Store, asked: Asked) -> tuple[dict[str, Any], int]:
    """Ask all runs to wait that fit a filter and whose code runs."""
    return _begin(store, asked, "pause", asked.read(BulkInput))


def resume_many(store: Store, asked: Asked) -> tuple[dict[str, Any], int]:
    """Let all runs go on that fit a filter, wait, and ask for nothing."""
    return _begin(store, asked, "resume", asked.read(BulkInput))


def _begin(store: Store, asked: Asked, kind: str, told: BulkInput) -> tuple[dict[str, Any], int]:
    delay = DELAY if told.delay is None else told.delay
    if not told.dry_run and not 0 <= delay <= MAX_DELAY:
        raise invalid("The delay is out of bounds.", "delay", f"0 to {MAX_DELAY:,} seconds.")
    found = _chosen(store, asked, told.filter)
    hit = [run for run in found if not _left_out(store, kind, run)]
    others = Counter(reason for run in found if (reason := _left_out(store, kind, run)))
    if not told.dry_run and sum(each.state in OPEN for each in store.bulk.values()) >= AT_ONCE:
        raise Refusal("conflict", f"{AT_ONCE} bulk operations are under way already. Wait for one, or cancel it.")
    if len(hit) > MOST:
        message = f"More than {MOST:,} runs fit this filter. Narrow it, for example by a deployment."
        raise invalid(message, "filter", message)
    first = sorted(hit, key=lambda run: (run.created_at, run.id), reverse=True)[:FIRST]
    answer = {"kind": kind, "count": len(hit), "first": [show_run(run) for run in first]}
    answer |= {"left_out": described(others), "operation": None}
    if told.dry_run:
        return answer, 200
    made = BulkOperation(
        id=uuid7(), kind=kind, filter=told.filter, by=asked.by, created_at=clock.now(), count=len(hit),
        begins_at=clock.now() + int(delay * 1e6), left_out=dict(others),
        from_failure=getattr(told, "from_failure", True),
    )  # fmt: skip
    store.bulk[made.id] = made
    return {**answer, "operation": _show(made)}, 201


def _chosen(store: Store, asked: Asked, filter: dict[str, Any]) -> list[Run]:
    if wrong := wrong_in_filter(filter):
        raise Refusal("invalid", "The filter can't be taken.", wrong)
    if unknown := sorted(filter.keys() - run_search.WORDS):
        raise invalid(f"There is no filter {unknown[0]!r:.100}.", f"filter.{unknown[0]}", "There is no such filter.")
    words = {name: ",".join(words_of(value)) for name, value in filter.items()}
    try:
        return run_search.found(store, replace(asked, query=words))
    except Refusal as refusal:
        if refusal.fields:
            refusal.fields = {f"filter.{name}": what for name, what in refusal.fields.items()}
        raise


def _left_out(store: Store, kind: str, run: Run) -> str:
    """Why nothing is done to a run; nothing, if it is hit."""
    if not run.is_root:
        return "called"
    return next((reason for reason, holds in _REASONS[kind].items() if holds(store, run)), "")


def _ended(store: Store, run: Run) -> bool:
    return run.is_final


def _alive(store: Store, run: Run) -> bool:
    return not run.is_final


def _retried(store: Store, run: Run) -> bool:
    return any(each.retry_of == run.id for each in store.runs.values())


def _asks(store: Store, run: Run) -> bool:
    waiting = (each for each in store.inputs.values() if each.root == run.id and each.state == "waiting")
    return any(each.schema is not None or each.quorum or each.roles or each.teams for each in waiting)


_REASONS: dict[str, dict[str, Callable[[Store, Run], bool]]] = {
    "cancel": {"ended": _ended, "cancelling": lambda _, run: run.state_type == "CANCELLING"},
    "retry": {"not_ended": _alive, "by_hand": lambda _, run: run.deployment is None, "retried": _retried},
    "delete": {"not_ended": _alive, "reused": lambda store, run: deleting.reused_by(store, run) is not None},
    "pause": {
        "ended": _ended,
        "paused": lambda _, run: run.state_type == "PAUSED",
        "pausing": lambda _, run: run.state_type == "RUNNING" and run.state_name in WISHES,
        "not_running": lambda _, run: run.state_type != "RUNNING" or run.state_name == "Unreachable",
    },
    "resume": {"ended": _ended, "not_paused": lambda _, run: run.state_type != "PAUSED", "asks": _asks},
}
"""By kind, the conditions under which a run is left out; the first one that holds is told."""


def page(store: Store, asked: Asked) -> dict[str, Any]:
    """Bulk operations, newest first."""
    found, after = newest(list(store.bulk.values()), asked, "created_at")
    return {"items": [_show(each) for each in found], "next": after}


def one(store: Store, asked: Asked) -> dict[str, Any]:
    """One, and how far it has come."""
    return _show(_find(store, asked.id))


def cancel(store: Store, asked: Asked) -> dict[str, Any]:
    """Undo one that has not begun."""
    found = _find(store, asked.id)
    if found.state not in OPEN:
        raise Refusal("conflict", f"The operation is {found.state} already.")
    found.state, found.message, found.ended_at = "cancelled", f"Cancelled by {asked.by.label}.", clock.now()
    return _show(found)


def _find(store: Store, id: UUID) -> BulkOperation:
    found = store.bulk.get(id)
    if found is None:
        raise Refusal("not_found", "There is no such bulk operation here.")
    return found


def work(store: Store) -> None:
    """Do what has become due, all of it at once."""
    for each in list(store.bulk.values()):
        if each.state in OPEN and each.begins_at <= clock.now():
            _do(store, each)


def _do(store: Store, operation: BulkOperation) -> None:
    asked = Asked(operation.by)
    rows = [run for run in _chosen(store, asked, operation.filter) if run.created_at <= operation.created_at]
    for run in sorted(rows, key=lambda run: (run.created_at, run.id)):
        if not _left_out(store, operation.kind, run):
            _act(store, operation, replace(asked, names={"id": str(run.id)}))
    operation.state, operation.started_at, operation.ended_at = "completed", clock.now(), clock.now()


def _act(store: Store, operation: BulkOperation, asked: Asked) -> None:
    if operation.kind == "retry":
        asked = replace(asked, body=msgspec.json.encode({"from_failure": operation.from_failure}))
    try:
        _ACTS[operation.kind](store, asked)
    except Refusal as refusal:
        operation.refused[refusal.code] = operation.refused.get(refusal.code, 0) + 1
    else:
        operation.done += 1


_ACTS: dict[str, Callable[[Store, Asked], Any]] = {
    "cancel": runs.cancel,
    "retry": retries.retry,
    "delete": deleting.delete,
    "pause": inputs.pause,
    "resume": inputs.resume,
}


def _show(made: BulkOperation) -> dict[str, Any]:
    times = {name: getattr(made, name) for name in ("created_at", "begins_at", "started_at", "ended_at")}
    return {
        "id": made.id, "kind": made.kind, "state": made.state, "message": made.message, "filter": made.filter,
        "from_failure": made.from_failure, "created_by": made.by.label, "before": time_of(made.created_at),
        **{name: None if at is None else time_of(at) for name, at in times.items()}, "count": made.count,
        "left_out": described(made.left_out), "done": made.done, "refused": described(made.refused),
    }  # fmt: skip
