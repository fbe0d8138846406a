"""Work pools and their queues."""

from __future__ import annotations

from typing import Any

from msgspec import UNSET

from orchestrator import clock
from orchestrator.ids import uuid7
from orchestrator.job_template_checks import wrong_of_type
from orchestrator.pool_bodies import PoolChange, PoolInput, QueueChange, QueueInput, wrong_of_pool
from orchestrator.states import StateType
from orchestrator.storable import clean_text, json_value
from orchestrator.testing.memory import job_templates
from orchestrator.testing.memory.asked import Asked, Refusal, invalid
from orchestrator.testing.memory.definitions import Pool, Queue
from orchestrator.testing.memory.rows import Run
from orchestrator.testing.memory.shown import show_pool, show_queue
from orchestrator.testing.memory.states import somebody_waits
from orchestrator.testing.memory.store import Store

DEFAULT = "default"
MOST = 500


def add_pool(store: Store, told: PoolInput) -> Pool:
    """Make a pool and its default queue."""
    name = clean_text(told.name.strip())
    store.pools[name] = Pool(
        uuid7(), name, clean_text(told.description), told.concurrency_limit, type=told.type,
        base_job_template=json_value(told.base_job_template),
    )  # fmt: skip
    store.queues[name, DEFAULT] = Queue(uuid7(), name, DEFAULT)
    return store.pools[name]


def create_pool(store: Store, asked: Asked) -> tuple[dict[str, Any], int]:
    """A new pool, with its default queue."""
    told = asked.read(PoolInput)
    if fields := wrong_of_pool(told) or wrong_of_type(told.type, told.base_job_template):
        raise Refusal("invalid", "The pool can't be made; see fields.", fields)
    if clean_text(told.name.strip()) in store.pools:
        raise invalid("A pool of this name exists.", "name", "Choose another name.")
    return _one(add_pool(store, told)), 201


def page(store: Store, asked: Asked) -> dict[str, Any]:
    """All pools, by name."""
    return {"items": [show_pool(store.pools[name]) for name in sorted(store.pools)], "next": None}


def find(store: Store, name: str) -> Pool:
    """The pool of this name."""
    if "\x00" in name:
        raise Refusal("invalid", "A value has characters or digits that can't be stored.")
    if name not in store.pools:
        raise Refusal("not_found", f"There is no work pool {name!r}. There is: {', '.join(sorted(store.pools))}.")
    return store.pools[name]


def find_queue(store: Store, pool: Pool, name: str | None) -> Queue:
    """The pool's queue of this name, or its default one."""
    found = store.queues.get((pool.name, name or DEFAULT))
    if found is None:
        raise Refusal("not_found", f"The pool {pool.name!r} has no queue {name!r}.")
    return found


def one(store: Store, asked: Asked) -> dict[str, Any]:
    """One pool."""
    return _one(find(store, asked.names["pool"]))


def change(store: Store, asked: Asked) -> dict[str, Any]:
    """Change what is told of a pool."""
    pool = find(store, asked.names["pool"])
    told = asked.read(PoolChange)
    _check(told)
    if told.base_job_template is not UNSET and json_value(told.base_job_template) != pool.base_job_template:
        job_templates.check_change(store, pool, told.base_job_template)
    _change(store, pool, told, pool.name, asked.by.label)
    return _one(pool)


def _one(pool: Pool) -> dict[str, Any]:
    return {**show_pool(pool), "base_job_template": pool.template}


def queues(store: Store, asked: Asked) -> dict[str, Any]:
    """The queues of a pool, in the order in which they are served."""
    pool = find(store, asked.names["pool"])
    own = [queue for queue in store.queues.values() if queue.pool == pool.name]
    own.sort(key=lambda queue: (queue.priority, queue.name))
    return {"items": [_show(store, queue) for queue in own], "next": None}


def create_queue(store: Store, asked: Asked) -> tuple[dict[str, Any], int]:
    """A new queue."""
    pool, told = find(store, asked.names["pool"]), asked.read(QueueInput)
    _check(told)
    name = clean_text(told.name.strip())
    if sum(queue.pool == pool.name for queue in store.queues.values()) >= MOST:
        raise Refusal("conflict", f"A pool has {MOST} queues at most. Delete one first.")
    if (pool.name, name) in store.queues:
        taken = "The pool has a queue of this name. Choose another one."
        raise invalid(taken, "name", taken)
    queue = Queue(
        uuid7(), pool.name, name, clean_text(told.description), told.concurrency_limit, told.paused, told.priority
    )
    store.queues[pool.name, name] = queue
    return _show(store, queue), 201


def one_queue(store: Store, asked: Asked) -> dict[str, Any]:
    """One queue."""
    return _show(store, _queue(store, asked))


def change_queue(store: Store, asked: Asked) -> dict[str, Any]:
    """Change what is told of a queue."""
    queue = _queue(store, asked)
    _change(store, queue, asked.read(QueueChange), queue.pool, asked.by.label)
    return _show(store, queue)


def delete_queue(store: Store, asked: Asked) -> tuple[None, int]:
    """Delete a queue that nothing names."""
    queue = _queue(store, asked)
    if queue.name == DEFAULT:
        told = "Every pool has a default queue: what names no other one is put there. Pause it instead."
        raise Refusal("conflict", told)
    if users := _users(store, queue):
        more = f" and {len(users) - 3} more" if len(users) > 3 else ""
        message = f"The queue {queue.name} is used by {', '.join(users[:3])}{more}. Move or end these first."
        raise Refusal("conflict", message, {"used_by": ", ".join(users)})
    del store.queues[queue.pool, queue.name]
    return None, 204


def _queue(store: Store, asked: Asked) -> Queue:
    return find_queue(store, find(store, asked.names["pool"]), asked.names["queue"])


def _check(told: Any) -> None:
    if fields := wrong_of_pool(told):
        [(name, text), *_] = fields.items()
        raise Refusal("invalid", f"{name}: {text}", fields)


def _change(store: Store, row: Pool | Queue, told: PoolChange | QueueChange, pool: str, by: str) -> None:
    _check(told)
    limit, paused = row.limit, row.paused
    for field in told.__struct_fields__:
        if (value := getattr(told, field)) is not UNSET:
            name = "limit" if field == "concurrency_limit" else field
            setattr(row, name, _stored(name, value))
    if row.paused and not paused:
        row.paused_by, row.paused_at = by, clock.now()
    more = limit is not None and (row.limit is None or row.limit > limit)
    if (more or (paused and not row.paused)) and somebody_waits(store, pool):
        store.wake(pool)


def _stored(name: str, value: Any) -> Any:
    return clean_text(value) if name == "description" else json_value(value) if name == "base_job_template" else value


def _users(store: Store, queue: Queue) -> list[str]:
    own = [each for each in store.deployments.values() if (each.pool, each.facts["work_queue"]) == _key(queue)]
    runs = [run.name for run in store.runs.values() if _is_in(run, queue) and not run.is_final]
    return [f"deployment {each.full_name}" for each in own[:20]] + [f"run {name}" for name in runs[:20]]


def _key(queue: Queue) -> tuple[str, str]:
    return queue.pool, queue.name


def _is_in(run: Run, queue: Queue) -> bool:
    return run.deployment is not None and (run.deployment.pool, run.queue) == _key(queue)


def _show(store: Store, queue: Queue) -> dict[str, Any]:
    own, at = [run for run in store.runs.values() if _is_in(run, queue)], clock.now()
    due = [run for run in own if run.state_type == StateType.SCHEDULED and run.due_at and run.due_at <= at]
    named = [each for each in store.deployments.values() if (each.pool, each.facts["work_queue"]) == _key(queue)]
    held = sum(run.lease is not None for run in own)
    return show_queue(queue, waiting=len(due), running=held, deployments=len(named))
