"""Rows as the API shows them: durations are seconds, times are ISO 8601 in UTC."""

from __future__ import annotations

from collections import Counter
from datetime import UTC, datetime, timedelta
from typing import Any

from orchestrator.testing.memory.definitions import Block, BlockVersion, Deployment, Pool, Queue, Variable
from orchestrator.testing.memory.rows import (
    Artifact,
    Asset,
    CacheEntry,
    Event,
    Input,
    LogLine,
    Making,
    Message,
    Run,
    TaskRun,
)
from orchestrator.testing.memory.store import Store

PORTAL = "http://testing.invalid/o/testing/main"


def time_of(micros: int | None) -> datetime | None:
    """Microseconds UTC as a time."""
    return None if micros is None else datetime.fromtimestamp(0, UTC) + timedelta(microseconds=micros)


def micros_of(moment: datetime) -> int:
    """A time as microseconds UTC."""
    return (moment - datetime.fromtimestamp(0, UTC)) // timedelta(microseconds=1)


def show_run(run: Run) -> dict[str, Any]:
    """A flow run."""
    state = {"type": run.state_type, "name": run.state_name, "message": run.state_message}
    return {
        "id": run.id,
        "name": run.name,
        "flow": run.flow,
        "deployment": run.deployment.full_name if run.deployment is not None else None,
        "deployment_version": run.deployment_version,
        "commit": run.commit,
        "job_variables": run.job_variables,
        "backfill": run.backfill,
        "caused_by": None,
        "state": {**state, "timestamp": time_of(run.state_at)},
        "parameters": run.parameters,
        "tags": run.tags,
        "priority": run.priority,
        "concurrency_key": run.key,
        "attempt": run.attempt,
        "run_count": run.run_count,
        "origin": run.origin,
        "created_by": run.created_by,
        "created_at": time_of(run.created_at),
        "scheduled_at": time_of(run.scheduled_at),
        "due_at": time_of(run.due_at),
        "started_at": time_of(run.started_at),
        "ended_at": time_of(run.ended_at),
        "duration": run.duration / 1_000_000,
        "parent": run.parent_id,
        "root": run.root_id,
        "error": run.error or None,
        "result": run.result,
        "retry_of": run.retry_of,
        "replays_from": run.replays_from,
        "replay_root": run.replay_root,
        "debounce": _gathered(run),
        "url": f"{PORTAL}/runs/{run.id}",
    }


def _gathered(run: Run) -> dict[str, Any] | None:
    if run.debounce_key is None:
        return None
    return {"key": run.debounce_key, "triggers": run.debounced, "until": time_of(run.debounce_until)}


def show_run_with_tasks(run: Run) -> dict[str, Any]:
    """A flow run, with its task runs counted by state."""
    return {**show_run(run), "tasks": Counter(task.state_type for task in run.tasks.values())}


def show_task(task: TaskRun) -> dict[str, Any]:
    """A task run."""
    name = task.state_name or task.state_type.capitalize()
    return {
        "id": task.id,
        "task": task.task,
        "name": task.label or task.task,
        "state": {"type": task.state_type, "name": name, "message": task.message},
        "attempt": task.attempt,
        "run_count": task.run_count,
        "started_at": time_of(task.started_at),
        "ended_at": time_of(task.ended_at),
        "duration": None if task.duration is None else task.duration / 1_000_000,
        "parents": task.parents,
        "tags": task.tags,
        "error": task.error,
        "result": task.result,
    }


def show_line(line: LogLine) -> dict[str, Any]:
    """A log line."""
    return {
        "line": line.line,
        "t": time_of(line.t),
        "level": line.level,
        "logger": line.logger,
        "message": line.message,
        "task": line.task,
        "attempt": line.attempt,
        "run": line.run,
        "extra": line.extra,
    }


def show_input(store: Store, each: Input) -> dict[str, Any]:
    """A request for people, with its answers."""
    run = store.runs[each.run]
    names = (
        "id", "run", "key", "pause", "title", "description", "schema", "initial", "quorum", "roles", "teams", "link",
    )  # fmt: skip
    return {
        **{name: getattr(each, name) for name in names},
        "run_name": run.name,
        "flow": run.flow,
        "state": each.state,
        "value": each.value,
        "created_at": time_of(each.created_at),
        "expires_at": time_of(each.expires_at),
        "ended_at": time_of(each.ended_at),
        "answers": [
            {"actor": given.by, "verdict": given.verdict, "comment": given.comment, "at": time_of(given.at)}
            for given in each.answers
        ],
    }


def show_message(message: Message) -> dict[str, Any]:
    """A message to a run."""
    told = {"number": message.number, "key": message.key, "sender": message.sender, "value": message.value}
    return {**told, "sent_at": time_of(message.sent_at)}


def show_artifact(artifact: Artifact) -> dict[str, Any]:
    """An artifact, without its data."""
    return {
        "id": artifact.id,
        "type": artifact.type,
        "key": artifact.key or None,
        "description": artifact.description,
        "summary": artifact.summary,
        "flow_run": artifact.run,
        "task_run": artifact.task,
        "created_at": time_of(artifact.created_at),
        "updated_at": time_of(artifact.updated_at),
        "url": f"{PORTAL}/artifacts/{artifact.id}",
    }


def show_event(event: Event) -> dict[str, Any]:
    """An event."""
    return {
        "id": event.id,
        "event": event.event,
        "occurred": time_of(event.t),
        "resource": event.resource,
        "related": event.related,
        "payload": event.payload,
        "flow_run": event.run,
    }


def show_asset(asset: Asset) -> dict[str, Any]:
    """An asset."""
    return {name: getattr(asset, name) for name in ("id", "key", "name", "description", "url", "owners")}


def show_cache_entry(entry: CacheEntry) -> dict[str, Any]:
    """An entry of the cache, without its users."""
    word = entry.word
    return {
        "id": entry.id,
        "key": entry.key,
        "task": word.task,
        "state": entry.state,
        "url": word.url,
        "serializer": word.serializer,
        "size": word.size,
        "flow_run": entry.run,
        "task_run": entry.task,
        "made_at": time_of(entry.made_at),
        "expires_at": time_of(word.expires),
        "invalidated_at": time_of(entry.invalidated_at),
        "hits": len(entry.uses),
        "used_at": time_of(max((use[0] for use in entry.uses), default=None)),
    }


def show_making(made: Making) -> dict[str, Any]:
    """A materialization."""
    told = made.told
    return {
        "id": made.id,
        "at": time_of(made.at),
        "succeeded": told.succeeded,
        "flow_run": made.run,
        "task_run": told.task,
        "by": told.by,
        "metadata": told.metadata,
        "upstream": told.upstream,
    }


def show_deployment(deployment: Deployment, schedules: list[dict[str, Any]]) -> dict[str, Any]:
    """A deployment."""
    facts = deployment.facts
    same = ("description", "tags", "version", "entrypoint", "source", "parameter_schema", "parameters")
    return {
        "id": deployment.id,
        "flow": deployment.flow,
        "name": deployment.name,
        **{name: facts[name] for name in same},
        "python": facts["python"],
        "number": deployment.number,
        "canary": {"number": deployment.canary, "share": deployment.canary_share} if deployment.canary else None,
        "work_pool": deployment.pool,
        "work_queue": facts["work_queue"],
        "process": facts["process"],
        "job_variables": facts["job_variables"],
        "debounce": facts["debounce"],
        **{name: facts[name] for name in ("concurrency_limit", "key_slots", "on_limit", "concurrency_key")},
        "schedules": schedules,
        "created_at": time_of(deployment.created_at),
        "updated_at": time_of(deployment.updated_at),
        "url": f"{PORTAL}/deployments/{deployment.id}",
    }


def show_pool(pool: Pool) -> dict[str, Any]:
    """A work pool."""
    return {
        "id": pool.id,
        "name": pool.name,
        "type": pool.type,
        "description": pool.description,
        "paused": pool.paused,
        "concurrency_limit": pool.limit,
    }


def show_queue(queue: Queue, *, waiting: int, running: int, deployments: int) -> dict[str, Any]:
    """A work queue, and what is in it."""
    return {
        "id": queue.id,
        "name": queue.name,
        "pool": queue.pool,
        "description": queue.description,
        "priority": queue.priority,
        "paused": queue.paused,
        "concurrency_limit": queue.limit,
        "waiting": waiting,
        "running": running,
        "deployments": deployments,
    }


def show_variable(variable: Variable) -> dict[str, Any]:
    """A variable."""
    return {
        "name": variable.name,
        "value": variable.value,
        "tags": variable.tags,
        "updated_at": time_of(variable.updated_at),
        "updated_by": variable.updated_by,
    }


def show_block(block: Block, version: BlockVersion | None = None) -> dict[str, Any]:
    """A block, without its secrets."""
    held = version or block.newest
    return {
        "type": block.type,
        "name": block.name,
        "description": block.description,
        "version": held.number,
        "data": held.data,
        "created_at": time_of(block.created_at),
        "updated_at": time_of(block.updated_at),
        "updated_by": block.updated_by,
    }


def show_block_version(version: BlockVersion) -> dict[str, Any]:
    """A version of a block, without its secrets."""
    return {
        "version": version.number,
        "data": version.data,
        "note": version.note,
        "created_at": time_of(version.created_at),
        "created_by": version.created_by,
    }
