"""Background tasks: calls that are queued, and waiting for their end."""

from __future__ import annotations

from typing import Any

from orchestrator import clock
from orchestrator.agent_messages import SERVED
from orchestrator.bodies import ArgumentsInput, AwaitedInput, BackgroundInput, BackgroundTask, DelayedCall
from orchestrator.ids import uuid7
from orchestrator.storable import clean_text, json_value
from orchestrator.testing.memory import deployments, pools, runs
from orchestrator.testing.memory.asked import Asked, Refusal, invalid
from orchestrator.testing.memory.definitions import Deployment, Queue
from orchestrator.testing.memory.rows import Run
from orchestrator.testing.memory.shown import show_run
from orchestrator.testing.memory.store import Store
from orchestrator.wire import MAX_AWAITED, MAX_DELAYED, encode

MAX_CALL = 64 << 10  # bytes
UNSERVED = {"type": "served"}


def delay(store: Store, asked: Asked) -> tuple[dict[str, Any], int]:
    """Queue calls of a task."""
    told = asked.read(BackgroundInput)
    if not 0 < len(told.calls) <= MAX_DELAYED:
        raise invalid(f"1 to {MAX_DELAYED} calls at once.", "calls", f"1 to {MAX_DELAYED}.")
    deployment = _deployment(store, told, asked)
    made = [_queued(store, deployment, call, asked) for call in told.calls]
    items = [{"id": run.id, "name": run.name, "new": new} for run, new in made]
    return {"runs": items}, 201 if any(new for _, new in made) else 200


def _queued(store: Store, deployment: Deployment, call: DelayedCall, asked: Asked) -> tuple[Run, bool]:
    if call.scheduled_at is not None and call.scheduled_at.tzinfo is None:
        raise invalid("scheduled_at has no zone.", "scheduled_at", "ISO 8601 with a zone.")
    if not -32_768 <= call.priority < 32_768:
        raise invalid("The priority is out of bounds.", "priority", "-32768 to 32767.")
    if call.parent is not None:
        runs.find(store, call.parent)
    said = json_value(call.call)
    if len(encode(said)) > MAX_CALL:
        raise invalid("The options of a call are too large.", "call", f"{MAX_CALL >> 10} KiB at most.")
    return runs.create(
        store, deployment, by=asked.by.label, parameters=call.parameters, name=call.name or "", tags=call.tags,
        key=call.idempotency_key, at=None if call.scheduled_at is None else int(call.scheduled_at.timestamp() * 1e6),
        priority=call.priority, parent=call.parent, parent_task=call.parent_task, origin="background", call=said,
        retries=_retries(said),
    )  # fmt: skip


def _retries(call: dict[str, Any]) -> int | None:
    options = call.get("options")
    retries = options.get("retries") if isinstance(options, dict) else None
    if retries is not None and (not isinstance(retries, int) or not 0 <= retries <= 1_000_000):
        raise invalid("retries is out of bounds.", "call.options.retries", "0 to 1,000,000.")
    return retries


def _deployment(store: Store, told: BackgroundInput, asked: Asked) -> Deployment:
    flow, slash, name = told.deployment.rpartition("/")
    if not slash or not flow:
        raise invalid("A task's deployment is task/name.", "deployment", "task/name.")
    try:
        found = deployments.find(store, told.deployment)
    except Refusal:
        if told.task is None:
            raise
        return _made(store, clean_text(flow), clean_text(name), told.task, asked)
    caller = _caller(store, asked)
    if caller is not None and found.facts["source"].get("of") == str(caller.id):
        found.facts.update(_code_of(caller))
    return found


def _made(store: Store, flow: str, name: str, task: BackgroundTask, asked: Asked) -> Deployment:
    caller = _caller(store, asked)
    if caller is not None:
        place: dict[str, Any] = {"work_pool": caller.pool, "work_queue": caller.facts["work_queue"], **_code_of(caller)}
    else:
        place = {"work_pool": pools.DEFAULT, "work_queue": _queue(store, task.queue), "source": UNSERVED}
    at = clock.now()
    facts = {
        "description": task.description or "", "version": task.version or "", "tags": task.tags, "python": "",
        "entrypoint": task.entrypoint, "parameters": {}, "process": "warm", "job_variables": {}, "debounce": None,
        "schedule": None, "schedules": None,
        "parameter_schema": task.parameter_schema or {"type": "object", "properties": {}}, "retries": task.retries,
        "retry_delay": task.retry_delay, "crash_retries": None, "concurrency_limit": None,
        "on_limit": "ENQUEUE", "concurrency_key": "", "key_slots": None, **place,
    }  # fmt: skip
    made = Deployment(uuid7(), flow, name, facts["work_pool"], facts, at, at)
    store.deployments[made.id] = made
    return made


def _queue(store: Store, name: str) -> str:
    if not name.startswith(SERVED):
        raise invalid(f"The queue of a task begins with {SERVED!r}.", "task.queue", f"{SERVED}…")
    if (pools.DEFAULT, name) not in store.queues:
        store.queues[pools.DEFAULT, name] = Queue(uuid7(), pools.DEFAULT, name)
    return name


def _caller(store: Store, asked: Asked) -> Deployment | None:
    """The deployment of the run that asks, if agents execute it from its own code."""
    run = store.runs.get(asked.by.run_id) if asked.by.run_id is not None else None
    caller = run.deployment if run is not None else None
    return caller if caller is not None and not caller.facts["work_queue"].startswith(SERVED) else None


def _code_of(caller: Deployment) -> dict[str, Any]:
    code = {name: caller.facts[name] for name in ("python", "process", "job_variables")}
    return {"source": {**caller.facts["source"], "of": str(caller.id)}, **code}


def needed(store: Store, asked: Asked) -> dict[str, Any]:
    """Of which calls the arguments are needed: a server in memory forgets no run."""
    told = asked.read(ArgumentsInput)
    if not 0 < len(told.calls) <= MAX_AWAITED:
        raise invalid(f"1 to {MAX_AWAITED:,} calls.", "calls", f"1 to {MAX_AWAITED:,}.")
    kept = {run.call["arguments"] for run in store.runs.values() if run.call and "arguments" in run.call}
    return {"needed": sorted(kept.intersection(told.calls))}


_TOLD = ("id", "name", "state", "error", "result")


def wait(store: Store, asked: Asked) -> dict[str, Any]:
    """Those of some runs that have ended. An API of this process holds nobody."""
    told = asked.read(AwaitedInput)
    if not 0 < len(told.runs) <= MAX_AWAITED:
        raise invalid(f"1 to {MAX_AWAITED:,} runs.", "runs", f"1 to {MAX_AWAITED:,}.")
    found = [store.runs[id] for id in dict.fromkeys(told.runs) if id in store.runs]
    shown = [show_run(run) for run in found if run.is_final]
    unknown = [str(id) for id in dict.fromkeys(told.runs) if id not in store.runs]
    return {"runs": [{name: each[name] for name in _TOLD} for each in shown], "unknown": unknown}
