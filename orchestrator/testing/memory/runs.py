"""Flow runs: trigger, look, cancel, and read what they told."""

from __future__ import annotations

import contextlib
from collections.abc import Collection, Iterable
from datetime import datetime
from typing import Any
from uuid import UUID

from orchestrator import clock
from orchestrator.bodies import RunInput
from orchestrator.concurrency_keys import MAX_KEY, fill, wrong_in_key
from orchestrator.debouncing import Debounce
from orchestrator.ids import uuid7
from orchestrator.names import run_name
from orchestrator.states import By, StateType
from orchestrator.storable import clean_text, json_value
from orchestrator.testing.memory import debouncing, deployments, job_templates, room, run_search, schedules
from orchestrator.testing.memory.asked import Asked, Refusal, invalid
from orchestrator.testing.memory.definitions import Deployment, Schedule
from orchestrator.testing.memory.paging import newest
from orchestrator.testing.memory.rows import Run
from orchestrator.testing.memory.shown import show_line, show_run, show_run_with_tasks, show_task, time_of
from orchestrator.testing.memory.states import move, settle
from orchestrator.testing.memory.store import Store
from orchestrator.wire import MAX_NAME, MAX_PARAMETERS, MAX_TAG, MAX_TAGS, encode

MAX_LINES = 5_000
LATE_AFTER = 15_000_000  # µs
FURTHEST = 3660 * 86_400_000_000  # µs


def trigger(store: Store, asked: Asked, verbs: Collection[str]) -> tuple[dict[str, Any], int]:
    """Make a run; asked again with the same key, answer the same one."""
    told = asked.read(RunInput)
    if told.scheduled_at is not None and told.scheduled_at.tzinfo is None:
        raise invalid("scheduled_at has no zone.", "scheduled_at", "ISO 8601 with a zone.")
    deployment = deployments.find(store, told.deployment)
    check_place(store, deployment, told.work_queue, told.priority)
    if told.parent is not None and told.parent not in store.runs:
        raise Refusal("not_found", "The parent run is not known here.")
    check_job_variables(store, deployment, told.job_variables, verbs)
    gathered = debouncing.asked(told, deployment.facts["debounce"])
    run, new = create(
        store, deployment, parameters=told.parameters, name=told.name or "", tags=told.tags, by=asked.by.label,
        key=told.idempotency_key, at=None if told.scheduled_at is None else _micros(told.scheduled_at),
        priority=told.priority, concurrency_key=told.concurrency_key, queue=told.work_queue, parent=told.parent,
        parent_task=told.parent_task, debounce=gathered, job_variables=told.job_variables,
    )  # fmt: skip
    return {**show_run(run), "created": new}, 201 if new else 200


def check_place(store: Store, deployment: Deployment, queue: str | None, priority: int) -> None:
    """Refuse a queue that the deployment's pool has not, and a priority that can't be."""
    if not -32_768 <= priority < 32_768:
        raise invalid("The priority is out of bounds.", "priority", "-32768 to 32767.")
    if queue and (deployment.pool, queue) not in store.queues:
        message = f"The deployment's pool has no queue {queue!r:.210}."
        raise invalid(message, "work_queue", message)


def check_job_variables(store: Store, deployment: Deployment, told: dict[str, Any], verbs: Collection[str]) -> None:
    """Refuse job variables of who may not edit deployments, and those that the deployment's pool can't take."""
    if not told:
        return
    if "deployments.edit" not in verbs:
        message = "Job variables can change which code runs, so they ask for the right to edit the deployment"
        raise Refusal("forbidden", f"{message} (deployments.edit). Leave them out, or ask an owner of the workspace.")
    job_templates.check_variables(store.pools[deployment.pool], deployment.facts["job_variables"], told)


def _micros(moment: datetime) -> int:
    return int(moment.timestamp() * 1_000_000)


def create(
    store: Store,
    deployment: Deployment,
    *,
    by: str,
    parameters: dict[str, Any] | None = None,
    name: str = "",
    tags: Iterable[str] = (),
    key: str | None = None,
    at: int | None = None,
    priority: int = 0,
    concurrency_key: str | None = None,
    queue: str | None = None,
    parent: UUID | None = None,
    parent_task: UUID | None = None,
    origin: str = "api",
    schedule: Schedule | None = None,
    call: dict[str, Any] | None = None,
    retries: int | None = None,
    job_variables: dict[str, Any] | None = None,
    debounce: Debounce | None = None,
) -> tuple[Run, bool]:
    """The one door for runs of deployments; the run, and whether it is new."""
    at = at if debounce is None else clock.now() + int(min(debounce.seconds, debounce.in_all) * 1e6)
    run = draft(
        deployment, by=by, parameters=parameters, name=name, tags=tags, key=key, at=at, priority=priority,
        concurrency_key=concurrency_key, queue=queue, parent=parent, parent_task=parent_task, origin=origin,
        schedule=schedule, call=call, retries=retries, job_variables=job_variables,
    )  # fmt: skip
    check_blocks(store, run)
    same = (each for each in store.runs.values() if key is not None and each.idempotency_key == run.idempotency_key)
    known = next(same, None)
    if known is not None:
        return known, False
    if debounce is not None and (gathers := debouncing.gather(store, debounce, run, named=bool(name.strip()))):
        return gathers, False
    store.runs[run.id] = run
    if run.due_at is not None and run.due_at <= run.created_at:
        room.cancel_surplus(store, [deployment])
    return run, True


def draft(
    deployment: Deployment,
    *,
    by: str,
    parameters: dict[str, Any] | None = None,
    name: str = "",
    tags: Iterable[str] = (),
    key: str | None = None,
    at: int | None = None,
    priority: int = 0,
    concurrency_key: str | None = None,
    queue: str | None = None,
    parent: UUID | None = None,
    parent_task: UUID | None = None,
    origin: str = "api",
    schedule: Schedule | None = None,
    call: dict[str, Any] | None = None,
    retries: int | None = None,
    job_variables: dict[str, Any] | None = None,
) -> Run:
    """A run that is checked, and not there yet."""
    now, id = clock.now(), uuid7()
    version = _version(deployment, id, parameters or {}, call)
    facts = deployment.facts_of(version)
    due = max(now if at is None else at, now - FURTHEST)
    if due > now + FURTHEST:
        raise invalid("That is more than ten years ahead.", "scheduled_at", "Choose an earlier time.")
    given = _parameters(facts, parameters or {}, check=call is None)
    return Run(
        id=id, root_id=id, flow=deployment.flow, name=clean_text(name.strip(), MAX_NAME) or run_name(), origin=origin,
        created_by=by, created_at=now, state_type="SCHEDULED", state_name="Scheduled", state_at=now,
        parameters=given, secrets={} if call is not None else _secrets(facts, given),
        job_variables=json_value(job_variables or {}), call=call, key=_concurrency_key(facts, concurrency_key, given),
        tags=_tags([*facts["tags"], *tags]),
        version=facts["version"], deployment=deployment, deployment_version=version,
        schedule=schedule, idempotency_key=_key(key),
        history=[(now, "SCHEDULED", "Scheduled", None, 0)], parent_id=parent, parent_task_id=parent_task,
        queue=queue or facts["work_queue"], priority=priority, retries=facts["retries"] if retries is None else retries,
        retry_delay=facts["retry_delay"], crash_retries=facts["crash_retries"], scheduled_at=due, due_at=due,
    )  # fmt: skip


def _version(deployment: Deployment, id: UUID, given: dict[str, Any], call: dict[str, Any] | None) -> int | None:
    """The version that a run is made from: the canary in its share of runs, unless it refuses what the other takes."""
    if deployment.canary and call is None and id.int % 100 < deployment.canary_share:
        with contextlib.suppress(Refusal):
            _parameters(deployment.facts_of(deployment.canary), given, check=True)
            return deployment.canary
    return deployment.number or None


def _concurrency_key(facts: dict[str, Any], given: str | None, parameters: dict[str, Any]) -> str:
    if given is None:
        return clean_text(fill(facts["concurrency_key"], parameters, facts["parameter_schema"]), MAX_KEY)
    if wrong := wrong_in_key(given):
        raise invalid("The concurrency key is too long.", "concurrency_key", wrong)
    return clean_text(given.strip())


def _parameters(facts: dict[str, Any], given: dict[str, Any], *, check: bool) -> dict[str, Any]:
    parameters = json_value({**facts["parameters"], **given})
    if len(encode(parameters)) > MAX_PARAMETERS:
        message = f"Parameters have {MAX_PARAMETERS >> 10} KiB at most. Store large values and pass where they are."
        raise invalid(message, "parameters", "Too large.")
    if check:
        deployments.check_parameters(facts["parameter_schema"], parameters)
    return parameters


def _secrets(facts: dict[str, Any], given: dict[str, Any]) -> dict[str, str]:
    if not any(isinstance(value, dict | list) for value in given.values()):
        return {}
    from orchestrator.block_data.in_parameters import secrets_by_block

    return secrets_by_block(facts["parameter_schema"], given)


def check_blocks(store: Store, run: Run) -> None:
    """Refuse the names of secrets' blocks that are not there."""
    missing = {place: path for place, path in run.secrets.items() if tuple(path.split("/")) not in store.blocks}
    if missing:
        fields = {
            ".".join(["parameters", *place.split("/")[1:]]): f"There is no block {path} here."
            for place, path in missing.items()
        }
        raise Refusal("invalid", "A parameter names a block that is not here.", fields)


def _tags(tags: Iterable[str]) -> list[str]:
    distinct = list(dict.fromkeys(clean_text(str(tag).strip()) for tag in tags if str(tag).strip()))
    if len(distinct) > MAX_TAGS or any(len(tag) > MAX_TAG for tag in distinct):
        raise invalid("Too many or too long tags.", "tags", f"{MAX_TAGS} tags of {MAX_TAG} characters at most.")
    return distinct


def _key(key: str | None) -> str | None:
    if key is not None and not 0 < len(key) <= 200:
        raise invalid("An idempotency key has 1 to 200 characters.", "idempotency_key", "1 to 200 characters.")
    return clean_text(key) if key is not None else None


# Look.


def page(store: Store, asked: Asked) -> dict[str, Any]:
    """Runs, newest first, filtered as asked."""
    found, after = newest(run_search.found(store, asked), asked, "created_at")
    return {"items": [show_run(run) for run in found], "next": after}


def find(store: Store, id: UUID) -> Run:
    """A run."""
    found = store.runs.get(id)
    if found is None:
        raise Refusal("not_found", "There is no such flow run here.")
    return found


def one(store: Store, asked: Asked) -> dict[str, Any]:
    """One run, with its task runs counted."""
    return show_run_with_tasks(find(store, asked.id))


def lines(store: Store, asked: Asked) -> dict[str, Any]:
    """Log lines after a number, oldest first."""
    run, task = find(store, asked.id), asked.uuid("task")
    after, limit = asked.number("after", 0), asked.limit(1_000, MAX_LINES)
    every = find(store, run.root_id).lines[max(after, 0) :]
    own = (line for line in every if run.is_root or line.run == run.id)
    found = [line for line in own if task is None or line.task == task][:limit]
    return {"items": [show_line(line) for line in found], "next": found[-1].line if found else after}


def tasks(store: Store, asked: Asked) -> dict[str, Any]:
    """Task runs in the order of their ids, filtered as asked."""
    run, limit = find(store, asked.id), asked.limit(200, 1_000)
    states, name = run_search.asked_states(asked), asked.query.get("task")
    wanted = (task for task in run.tasks.values() if not states or task.state_type in states)
    found = sorted((task for task in wanted if not name or task.task == name), key=lambda task: task.id)
    if cursor := asked.query.get("cursor"):
        try:
            found = [task for task in found if task.id > UUID(cursor)]
        except ValueError as error:
            raise invalid("This cursor is none of ours.", "cursor", "Take `next`.") from error
    items = [show_task(task) for task in found[:limit]]
    return {"items": items, "next": str(items[-1]["id"]) if len(items) == limit else None}


def one_task(store: Store, asked: Asked) -> dict[str, Any]:
    """One task run of a run."""
    found = next((task for task in find(store, asked.id).tasks.values() if str(task.id) == asked.names["task"]), None)
    if found is None:
        raise Refusal("not_found", "There is no such task run here.")
    return show_task(found)


# Cancel.


def cancel(store: Store, asked: Asked) -> dict[str, Any]:
    """Ask a run to stop; asking for a subflow asks for the whole execution."""
    run = find(store, asked.id)
    if run.is_final:
        raise Refusal("conflict", f"The run has ended already ({run.state_name}).")
    root = find(store, run.root_id)
    to = StateType.CANCELLING if root.is_held else StateType.CANCELLED
    if root.state_name == "Unreachable" and root.lease is not None:
        root.lease.expires_at = min(root.lease.expires_at, clock.now() + store.lease_time)
    if move(root, to, by=By.SERVER, message=f"Cancelled by {asked.by.label}."):
        settle(store, [root])
    return show_run_with_tasks(run)


# What time brings.


def make_scheduled(store: Store) -> None:
    """Make the runs that schedules want within the next minute."""
    for deployment in list(store.deployments.values()):
        for schedule in deployment.schedules.values():
            if schedule.active:
                _make_runs_of(store, deployment, schedule)


def _make_runs_of(store: Store, deployment: Deployment, schedule: Schedule) -> None:
    for at in schedules.take_times(schedule):
        key = f"schedule:{schedule.id}:{at}"
        try:
            run, _ = create(store, deployment, by="schedule", parameters=schedule.parameters, at=at, key=key,
                            origin="schedule", schedule=schedule)  # fmt: skip
        except Refusal as refusal:
            schedule.refusal = refusal.message
            continue
        schedule.refusal = ""
        run.start_by = None if schedule.skip_if_late is None else at + int(schedule.skip_if_late * 1e6)


def skip_late(store: Store) -> None:
    """Give up runs that were not started by the time by which they had to."""
    for run in store.runs.values():
        if run.start_by is None or run.start_by >= clock.now() or run.started_at is not None:
            continue
        if run.state_type == StateType.SCHEDULED:
            by = time_of(run.start_by)
            message = f"It was to start by {by:%Y-%m-%d %H:%M:%S} UTC or not at all; no agent has taken it."
            move(run, StateType.CANCELLED, by=By.SERVER, name="Skipped", message=message)
            settle(store, [run])


def look_at_due(store: Store) -> None:
    """Wake the pools of runs that have become due, and call those Late that nobody has taken."""
    now = clock.now()
    for run in list(store.runs.values()):
        if run.state_type != StateType.SCHEDULED or run.due_at is None or run.deployment is None:
            continue
        if run.due_at <= now and not run.announced:
            room.cancel_surplus(store, [run.deployment])
        if run.due_at <= now and not run.announced and not run.is_final:
            run.announced = True
            store.wake(run.deployment.pool)
        if run.state_name == "Scheduled" and run.due_at < now - LATE_AFTER:
            move(run, StateType.SCHEDULED, by=By.SERVER, name="Late", message="No agent has taken it in time.")
            run.announced = True
