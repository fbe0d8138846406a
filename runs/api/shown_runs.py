"""Flow runs, task runs and log lines as the API shows them. Durations are seconds, times are UTC."""

from __future__ import annotations

from datetime import datetime
from typing import Any
from uuid import UUID

import msgspec

from orchestrator.wire import Error, ResultRef
from runs.endings import StateShown
from runs.models import FlowRun, TaskRun


class GatheredShown(msgspec.Struct):
    """A run that gathers triggers: by which key, how many have become it, until when they can postpone it."""

    key: str
    triggers: int
    until: datetime


class CausedByShown(msgspec.Struct):
    """The automation and the event that a run, or what led to it, began with. `depth`: how many led to each other."""

    automation: UUID
    automation_name: str
    event: UUID
    event_name: str
    depth: int


class FlowRunShown(msgspec.Struct):
    """A run. `deployment` is `flow/name`; `due_at` is when its next execution may start; `url` leads to its page.
    `job_variables` are those that it was triggered with, over the deployment's.
    """

    id: UUID
    name: str
    flow: str
    deployment: str | None
    state: StateShown
    parameters: Any
    tags: list[str]
    priority: int
    concurrency_key: str
    attempt: int
    run_count: int
    origin: str
    created_by: str
    created_at: datetime
    scheduled_at: datetime | None
    due_at: datetime | None
    started_at: datetime | None
    ended_at: datetime | None
    duration: float
    parent: UUID | None
    root: UUID
    error: Error | None
    result: ResultRef | None
    retry_of: UUID | None
    replays_from: UUID | None
    replay_root: UUID | None
    deployment_version: int | None
    commit: str
    job_variables: Any
    debounce: GatheredShown | None
    backfill: UUID | None
    caused_by: CausedByShown | None
    url: str


class FlowRunTriggered(FlowRunShown):
    """A run that was asked for. `created` is false for one that was there already."""

    created: bool


class FlowRunWithTasks(FlowRunShown):
    """A run, with how many of its task runs are in which state type."""

    tasks: dict[str, int]


class TaskStateShown(msgspec.Struct):
    """The state of a task run."""

    type: str
    name: str
    message: str | None


class TaskRunShown(msgspec.Struct):
    """A task run. `parents` are those whose values it was given; `result` says where its own value is."""

    id: UUID
    task: str
    name: str
    state: TaskStateShown
    attempt: int
    run_count: int
    started_at: datetime | None
    ended_at: datetime | None
    duration: float | None
    parents: list[UUID]
    tags: list[str]
    error: Error | None
    result: ResultRef | None


class LineShown(msgspec.Struct):
    """A log line. `line` is its number within the root; `level` is of the standard library's scale."""

    line: int
    t: datetime
    level: int
    logger: str
    message: str
    task: UUID | None
    attempt: int
    run: UUID
    extra: Any


class Lines(msgspec.Struct):
    """Log lines. `next` is where to go on, also when there are none yet."""

    items: list[LineShown]
    next: int


def describe(run: FlowRun, portal: str) -> FlowRunShown:
    """A run as the API shows it."""
    return FlowRunShown(
        id=run.id,
        name=run.name,
        flow=run.flow.name,
        deployment=str(run.deployment) if run.deployment_id else None,
        state=StateShown(run.state_type, run.state_name, run.state_message, run.state_at),
        parameters=run.parameters,
        tags=run.tags,
        priority=run.priority,
        concurrency_key=run.concurrency_key,
        attempt=run.attempt,
        run_count=run.run_count,
        origin=run.origin,
        created_by=run.created_by,
        created_at=run.created_at,
        scheduled_at=run.scheduled_at,
        due_at=run.due_at,
        started_at=run.started_at,
        ended_at=run.ended_at,
        duration=run.duration / 1_000_000,
        parent=run.parent_id,
        root=run.root_id,
        error=run.error or None,
        result=run.result,
        retry_of=run.retry_of,
        replays_from=run.replays_from,
        replay_root=run.replay_root,
        deployment_version=run.deployment_version,
        commit=run.commit,
        job_variables=run.job_variables or {},
        debounce=_gathered(run),
        backfill=run.backfill_id,
        caused_by=CausedByShown(**run.caused_by) if run.caused_by else None,
        url=f"{portal}/runs/{run.id}",
    )


def _gathered(run: FlowRun) -> GatheredShown | None:
    if run.debounce_key is None or run.debounce_until is None:
        return None
    return GatheredShown(run.debounce_key, run.debounced, run.debounce_until)


def describe_task(task: TaskRun) -> TaskRunShown:
    """A task run as the API shows it."""
    name = task.state_name or task.state_type.capitalize()
    return TaskRunShown(
        id=task.id,
        task=task.task,
        name=task.label or task.task,
        state=TaskStateShown(task.state_type, name, task.message),
        attempt=task.attempt,
        run_count=task.run_count,
        started_at=task.started_at,
        ended_at=task.ended_at,
        duration=None if task.duration is None else task.duration / 1_000_000,
        parents=task.parents or [],
        tags=task.tags or [],
        error=task.error,
        result=task.result,
    )
