"""Retrying a run: what would be reused, and the retry itself."""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Iterator
from typing import Any, NamedTuple
from uuid import UUID

from orchestrator import clock
from orchestrator.bodies import RetryInput
from orchestrator.concurrency_keys import fill
from orchestrator.ids import as_id
from orchestrator.testing.memory import backfills, job_templates, runs
from orchestrator.testing.memory.asked import Asked, Refusal, invalid
from orchestrator.testing.memory.rows import Run, TaskRun
from orchestrator.testing.memory.shown import show_run
from orchestrator.testing.memory.store import Store

GROUPS = {
    "reused": ("stored", "within"),
    "runs": ("again", "expired", "unstored", "failed", "unfinished"),
    "waits": ("begun",),
}
WORDS = {
    "stored": "its value is stored",
    "within": "what called it is reused",
    "again": "asked for",
    "expired": "its value has expired",
    "unstored": "its value was not stored: persist_result was not set",
    "failed": "it failed",
    "unfinished": "it had not finished",
    "begun": "it was never begun",
}


class _Call(NamedTuple):
    id: UUID
    run: Run
    kind: str
    task: str
    label: str
    reason: str


def why_not(run: Run) -> str:
    """Why a run can't be retried; nothing, if it can."""
    if not run.is_final:
        return f"The run has not ended ({run.state_name})."
    if not run.is_root:
        return "It was called by another run. Retry that one: what this one has stored is reused there."
    if run.deployment is None:
        within = f'`with orchestrator.results.replaying("{run.replay_root or run.id}"):`'
        return f"It was called by hand, so no agent can start it. Call the flow once more within {within}."
    return ""


def plan(store: Store, asked: Asked) -> dict[str, Any]:
    """What a retry from failure would reuse, by task."""
    run = runs.find(store, asked.id)
    again = _named(store, run, asked.query.get("again", "").split(","))
    found = list(_calls(store, run, again))
    lines = [
        {"task": task, "kind": kind, **_grouped(reasons), "reasons": reasons}
        for (kind, task), reasons in _by_task(found).items()
    ]
    reasons = Counter(call.reason for call in found)
    lines.sort(key=lambda line: (-max(line["reasons"].values()), line["task"]))
    told = {"run": run.id, "why_not": why_not(run) or None, **_grouped(reasons), "reasons": reasons}
    return {**told, "tasks": lines[:200], "again": again}


def calls(store: Store, asked: Asked) -> dict[str, Any]:
    """The plan call by call."""
    run, group = runs.find(store, asked.id), asked.query.get("group", "")
    task, cursor = asked.query.get("task", ""), asked.query.get("cursor", "")
    if group and group not in GROUPS:
        raise invalid(f"There is no group {group!r:.100}.", "group", ", ".join(GROUPS))
    after = as_id(cursor)
    if cursor and after is None:
        raise invalid("This cursor is none of ours.", "cursor", "Take `next`.")
    found = [
        call
        for call in sorted(
            _calls(store, run, _named(store, run, asked.query.get("again", "").split(","))), key=lambda call: call.id
        )
        if (not group or call.reason in GROUPS[group]) and task in ("", call.task) and (not after or call.id > after)
    ]
    limit = asked.limit(100)
    return {
        "items": [_show(call) for call in found[:limit]],
        "next": found[limit - 1].id if len(found) > limit else None,
    }


def retry(store: Store, asked: Asked) -> tuple[dict[str, Any], int]:
    """Make the run that retries one."""
    run, told = runs.find(store, asked.id), asked.read(RetryInput)
    if reason := why_not(run):
        raise Refusal("conflict", reason)
    assert run.deployment is not None
    again = {name: list(since) for name, since in run.again.items()}
    again |= {name: [] for name in _named(store, run, told.again)}
    if run.job_variables:
        own = run.deployment.facts["job_variables"]
        job_templates.check_variables(store.pools[run.deployment.pool], own, run.job_variables)
    new, is_new = runs.create(
        store, run.deployment, parameters={**run.parameters, **told.parameters}, tags=run.tags, by=asked.by.label,
        key=told.idempotency_key, origin="retry", call=run.call, job_variables=run.job_variables,
        **turn(store, run),
    )  # fmt: skip
    if is_new:
        new.retry_of = run.id
        backfills.replaced(store, run, new)
        if told.from_failure:
            new.replays_from, new.replay_root = run.id, run.replay_root or run.id
            new.again = {name: [*since, new.id] for name, since in again.items()}
    return show_run(new), 201 if is_new else 200


def turn(store: Store, run: Run) -> dict[str, Any]:
    """Among which others, and before which, it was to start."""
    assert run.deployment is not None
    facts = run.deployment.facts
    own = fill(facts["concurrency_key"], run.parameters, facts["parameter_schema"])
    kept = run.queue != facts["work_queue"] and (run.deployment.pool, run.queue) in store.queues
    return {
        "queue": run.queue if kept else None,
        "priority": run.priority,
        "concurrency_key": None if own == run.key else run.key,
    }


def _named(store: Store, run: Run, asked: Collection[str]) -> list[str]:
    """The tasks and keys of calls that are meant, with what depends on them."""
    wanted = list(dict.fromkeys(text.strip() for text in asked if text.strip()))
    if len(wanted) > 200:
        raise invalid("Too many.", "again", "200 tasks at most. Retry the whole run instead.")
    if not wanted:
        return []
    tasks = {task.id: task for each in _execution(store, run) for task in each.tasks.values()}
    names = {task.task for task in tasks.values()}
    chosen: set[str] = set()
    begin: set[str] = set()
    for text in wanted:
        meant = {name for name in names if text in (name, name.rpartition(".")[2])}
        task = tasks.get(as_id(text) or run.id)
        if not meant and task is None:
            message = f"This run has no task {text!r:.210}. Name tasks as the plan does, or give ids of task runs."
            raise invalid(message, "again", message)
        begin |= meant or {task.task if task else ""}
        chosen |= meant or {key for key in [((task and task.result) or {}).get("key", "")] if key}
    return sorted(
        chosen | _depending(tasks, begin) | {each.flow for each in _execution(store, run) if not each.is_root}
    )


def _depending(tasks: dict[UUID, TaskRun], begin: set[str]) -> set[str]:
    edges = {(tasks[id].task, taker.task) for taker in tasks.values() for id in taker.parents if id in tasks}
    reached, wave = set(begin), set(begin)
    while wave:
        wave = {taker for maker, taker in edges if maker in wave} - reached
        reached |= wave
    return reached - begin


def _execution(store: Store, run: Run) -> list[Run]:
    return [each for each in store.runs.values() if each.root_id == run.root_id]


def _calls(store: Store, run: Run, again: Collection[str]) -> Iterator[_Call]:
    """The calls of the run's last execution, and what earlier ones have stored."""
    mine = [each for each in _execution(store, run) if each.attempt == run.attempt or each.is_root]
    reused = {each.id for each in mine if not each.is_root and _stored(each, each.flow, again)}
    reused |= {task.id for each in mine for task in each.tasks.values() if _stored(task, task.task, again)}
    above = {each.id: [each.parent_id, each.parent_task_id] for each in mine if not each.is_root}
    above |= {task.id: [task.parent_task, each.id] for each in mine for task in each.tasks.values()}

    def within(id: UUID) -> bool:
        around = [each for each in above.get(id, ()) if each is not None]
        return any(each in reused or within(each) for each in around)

    told = set()
    for each in mine:
        if not each.is_root:
            yield _Call(
                each.id, each, "subflow", each.flow, each.name, _reason(each, each.flow, again, within(each.id))
            )
        for task in each.tasks.values():
            if task.attempt == run.attempt:
                told.add((task.result or {}).get("key"))
                yield _Call(
                    task.id, each, "task", task.task, task.label, _reason(task, task.task, again, within(task.id))
                )
    for each in _execution(store, run):
        for task in each.tasks.values():
            key = (task.result or {}).get("key")
            if task.attempt != run.attempt and key not in told and _stored(task, task.task, again):
                told.add(key)
                yield _Call(task.id, each, "task", task.task, task.label, "stored")


def _stored(row: Run | TaskRun, name: str, again: Collection[str]) -> bool:
    if row.state_type != "COMPLETED" or not row.result or name in again or row.result.get("key") in again:
        return False
    return row.result["expires"] is None or row.result["expires"] > clock.now()


def _reason(row: Run | TaskRun, name: str, again: Collection[str], within: bool) -> str:
    if within:
        return "within"
    if _stored(row, name, again):
        return "stored"
    if row.state_type == "COMPLETED":
        if name in again or (row.result or {}).get("key") in again:
            return "again"
        return "expired" if row.result else "unstored"
    if row.state_type == "FAILED":
        return "failed"
    return "begun" if row.started_at is None else "unfinished"


def _by_task(found: list[_Call]) -> dict[tuple[str, str], Counter[str]]:
    lines: dict[tuple[str, str], Counter[str]] = {}
    for call in found:
        lines.setdefault((call.kind, call.task), Counter())[call.reason] += 1
    return lines


def _grouped(reasons: Counter[str]) -> dict[str, int]:
    return {group: sum(reasons[reason] for reason in own) for group, own in GROUPS.items()}


def _show(call: _Call) -> dict[str, Any]:
    group = next(group for group, reasons in GROUPS.items() if call.reason in reasons)
    told = {"id": call.id, "flow_run": call.run.id, "kind": call.kind, "task": call.task}
    return {**told, "name": call.label or call.task, "group": group, "reason": call.reason, "why": WORDS[call.reason]}
