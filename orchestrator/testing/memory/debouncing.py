"""Triggers that follow each other closely become one run."""

from __future__ import annotations

from orchestrator import clock
from orchestrator.bodies import RunInput
from orchestrator.debouncing import Debounce, debounce_of
from orchestrator.states import StateType
from orchestrator.testing.memory.asked import Refusal
from orchestrator.testing.memory.rows import Run
from orchestrator.testing.memory.store import Store

LAST_WINS = (
    "parameters", "secrets", "job_variables", "tags", "version", "deployment_version", "queue",
    "priority", "key", "created_by", "retries", "retry_delay", "crash_retries", "origin",
)  # fmt: skip


def asked(told: RunInput, default: float | None) -> Debounce | None:
    """The window that a trigger asks for, or its deployment where it names none and no time."""
    default = default if told.scheduled_at is None else None
    debounce = debounce_of(told.debounce, told.debounce_key, told.debounce_max, default)
    wrong = debounce.wrong() if debounce else {}
    if debounce and told.scheduled_at is not None:
        wrong["scheduled_at"] = "A debounced run starts when its triggers have gone quiet. Leave the time out."
    if wrong:
        raise Refusal("invalid", "It can't be debounced like this.", wrong)
    return debounce


def gather(store: Store, debounce: Debounce, wanted: Run, *, named: bool) -> Run | None:
    """The run that waits for triggers, moved; none, when `wanted` begins to wait for others."""
    rows = [run for run in store.runs.values() if run.deployment is wanted.deployment and run.debounce_key is not None]
    if found := next((run for run in rows if wanted.idempotency_key in run.folded), None):
        return found
    run = next((run for run in rows if run.debounce_key == debounce.key and _waits(run)), None)
    if run is None:
        wanted.debounce_key, wanted.debounced = debounce.key, 1
        wanted.debounce_until = clock.now() + int(debounce.in_all * 1e6)
        return None
    _fold(run, wanted, named)
    return run


def _waits(run: Run) -> bool:
    return run.state_type == StateType.SCHEDULED and not run.attempt and (run.due_at or 0) > clock.now()


def _fold(run: Run, wanted: Run, named: bool) -> None:
    for name in LAST_WINS:
        setattr(run, name, getattr(wanted, name))
    run.name = wanted.name if named else run.name
    run.debounced += 1
    run.due_at = run.scheduled_at = min(wanted.due_at or 0, run.debounce_until or 0)
    run.folded |= {wanted.idempotency_key} if wanted.idempotency_key else set()
