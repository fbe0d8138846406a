"""Calls of tasks on their way to the server's queue: what `.delay` does.

Nothing is kept back to be sent later: when a call returns, the server has it. Many calls at once go as one request.
"""

from __future__ import annotations

import json
import math
import os
from collections.abc import Iterable, Sequence
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any

from orchestrator import clock
from orchestrator.client import Client, shared
from orchestrator.config import require_api
from orchestrator.delayable import BACKGROUND
from orchestrator.exceptions import NotFound, ParameterBindError
from orchestrator.exchange import exchange_at

if TYPE_CHECKING:
    from orchestrator.background import BackgroundFuture
    from orchestrator.tasks import Task

AT_ONCE_BYTES = 1 << 20  # of one request; a call alone may have more
INLINE = 64 << 10  # bytes of JSON of one argument; larger ones are stored


def queue(task: Task[..., Any], calls: Iterable[dict[str, Any]]) -> list[BackgroundFuture[Any]]:
    """Have the server queue calls, as `call_of` makes them; their futures, in order.

    Raises:
        NotConfigured: No API is known.
        QueueFull: As many wait as may.
        ApiError: The API refused; what went before it in other requests is queued.
    """
    from orchestrator.awaiting import watcher_of
    from orchestrator.background import BackgroundFuture

    client = shared(require_api())
    futures: list[BackgroundFuture[Any]] = []
    for some in _in_requests(calls):
        for told in _post(client, task, some)["runs"]:
            futures.append(BackgroundFuture(told["id"], name=told["name"], api=client.api, task=task))
    watcher_of(client.api).note(futures)
    return futures


def _in_requests(calls: Iterable[dict[str, Any]]) -> Iterable[list[dict[str, Any]]]:
    from orchestrator.wire import MAX_DELAYED

    some: list[dict[str, Any]] = []
    size = 0
    for call in calls:
        more = len(json.dumps(call))
        if some and (len(some) == MAX_DELAYED or size + more > AT_ONCE_BYTES):
            yield some
            some, size = [], 0
        some.append(call)
        size += more
    if some:
        yield some


def _post(client: Client, task: Task[..., Any], calls: list[dict[str, Any]]) -> Any:
    """Queue them. What the deployment is made of is told only when there is none."""
    body: dict[str, Any] = {"deployment": f"{task.name}/{BACKGROUND}", "calls": calls}
    here = exchange_at(client.api.url)
    if here is None:
        try:
            return client.post("/background-runs", body, again=True)
        except NotFound:
            return client.post("/background-runs", {**body, "task": _described(task)}, again=True)
    told = client.post("/background-runs", {**body, "task": _described(task)}, again=True)
    here.delayed(task.name, BACKGROUND, task)
    return told


def _described(task: Task[..., Any]) -> dict[str, Any]:
    """What the task's deployment is made of, where nobody has served or deployed it."""
    from orchestrator.parameters import parameter_schema
    from orchestrator.serving import queue_named
    from orchestrator.sources import entrypoint_of

    delays = task.retry_delays
    return {
        "entrypoint": entrypoint_of(task),
        "queue": queue_named(task.name, BACKGROUND),
        "parameter_schema": parameter_schema(task),
        "description": task.description or "",
        "tags": sorted(task.tags),
        "version": task.version,
        "retries": task.retries,
        "retry_delay": delays[0] if isinstance(delays, list) and delays else delays or 0.0,
    }


# One call.


def call_of(
    task: Task[..., Any],
    args: Sequence[Any],
    kwargs: dict[str, Any],
    *,
    wait_for: Iterable[Any] | None = None,
    name: str | None = None,
    tags: Iterable[str] = (),
    scheduled_time: datetime | None = None,
    countdown: float | timedelta | None = None,
    priority: int = 0,
    idempotency_key: str | None = None,
) -> dict[str, Any]:
    """A call as the API takes it.

    Raises:
        ParameterBindError: The arguments don't fit the signature.
        ResultNotStored: An argument is no JSON, and can't be stored.
        TypeError: An option of `with_options` can't go along.
        ValueError: Two times are given.
        UnfinishedRun: An argument is the future of a background task that has not ended.
        UpstreamTaskError: A future among them failed.
    """
    from orchestrator.context import tags_here

    task._refuse_generator("delay")
    args, kwargs = _settled(args, kwargs, wait_for)
    parameters, stored = _sent(task, _bound(task, args, kwargs))
    options = carried(task)
    return {
        "parameters": parameters,
        "call": {**({"options": options} if options else {}), **stored},
        "tags": sorted({*task.tags, *tags, *tags_here.get()}),
        # A lost answer must not queue twice: without a key of the caller's we make one.
        "idempotency_key": idempotency_key or f"delay-{os.urandom(16).hex()}",
        **({"name": name} if name else {}),
        **({"priority": priority} if priority else {}),
        **_when(scheduled_time, countdown),
        **_parent(),
    }


def _settled(
    args: Sequence[Any], kwargs: dict[str, Any], wait_for: Iterable[Any] | None
) -> tuple[Sequence[Any], dict[str, Any]]:
    """The arguments with values in the places of futures. Those of this process are waited for; a background task may
    be queued for hours, so its future must have ended.
    """
    from orchestrator.background import BackgroundFuture
    from orchestrator.engine import upstream
    from orchestrator.exceptions import UnfinishedRun

    if not upstream.needed():
        return args, kwargs
    after, found = list(wait_for or ()), []
    upstream.find((*args, *kwargs.values(), *after), found)
    for future in found:
        if isinstance(future, BackgroundFuture) and not future.done():
            raise UnfinishedRun(
                f"{future!r} is an argument of .delay(), and has not ended. Wait for it first: future.wait()."
            )
        future.wait()
    for value in after:
        upstream.replace(value)
    return [upstream.replace(value) for value in args], {
        name: upstream.replace(value) for name, value in kwargs.items()
    }


def _bound(task: Task[..., Any], args: Sequence[Any], kwargs: dict[str, Any]) -> dict[str, Any]:
    """The arguments by name. Defaults are left to where the task is executed."""
    try:
        bound = task.signature.bind(*args, **kwargs)
    except TypeError as error:
        raise ParameterBindError(f"{task.name}{task.signature}: {error}.") from None
    variadic = next((p.name for p in task.signature.parameters.values() if p.kind is p.VAR_POSITIONAL), None)
    return {name: list(value) if name == variadic else value for name, value in bound.arguments.items()}


def _sent(task: Task[..., Any], given: dict[str, Any]) -> tuple[dict[str, Any], dict[str, Any]]:
    """The arguments as JSON, as far as they are, and what is told of the others, which were stored: in their places
    stands for people what they are.
    """
    others = {name: value for name, value in given.items() if not is_json(value) or _is_large(value)}
    if not others:
        return given, {}
    from orchestrator import references

    told = references.put(task, others, require_api())
    sizes = {name: each["size"] for name, each in told["stored"].items()}
    shown = {name: f"{type(value).__name__}, {sizes[name]:,} bytes, stored" for name, value in others.items()}
    return {**given, **shown}, told


def _is_large(value: Any) -> bool:
    return isinstance(value, str | list | dict) and len(json.dumps(value)) > INLINE


def is_json(value: Any, depth: int = 0) -> bool:
    """True when a value comes back from JSON as the very same.

    >>> is_json({"a": [1, None, "x"]}), is_json((1, 2)), is_json({1: 2}), is_json(float("nan"))
    (True, False, False, False)
    """
    from orchestrator.storable import clean_text

    kind = type(value)
    if value is None or kind is bool:
        return True
    if kind is str:
        return clean_text(value) == value
    if kind is int:
        return -(2**53) < value < 2**53
    if kind is float:
        return math.isfinite(value)
    if depth >= 40:
        return False
    if kind is list:
        return all(is_json(item, depth + 1) for item in value)
    return kind is dict and all(
        type(key) is str and is_json(key) and is_json(item, depth + 1) for key, item in value.items()
    )


def carried(task: Task[..., Any]) -> dict[str, Any]:
    """The options that `with_options` gave, which go along with the call.

    Raises:
        TypeError: One of them can't.
    """
    from orchestrator.engine.delayed import CARRIED

    options: dict[str, Any] = {}
    for name, value in task.given.items():
        if name in ("name", "tags", "description", "version"):
            continue  # They are told of the run, or of its deployment.
        if name not in CARRIED or not is_json(value):
            raise TypeError(
                f"{task.name}.with_options({name}=…) can't go along with .delay(): the process that executes the task"
                " has its own. Give the option to @task."
            )
        options[name] = value
    return options


def _when(scheduled_time: datetime | None, countdown: float | timedelta | None) -> dict[str, str]:
    if countdown is not None:
        if scheduled_time is not None:
            raise ValueError("Give scheduled_time or countdown, not both.")
        wait = countdown if isinstance(countdown, timedelta) else timedelta(seconds=countdown)
        scheduled_time = datetime.fromtimestamp(clock.now() / 1_000_000, UTC) + wait
    if scheduled_time is None:
        return {}
    at = scheduled_time if scheduled_time.tzinfo is not None else scheduled_time.replace(tzinfo=UTC)
    return {"scheduled_at": at.astimezone(UTC).isoformat()}


def _parent() -> dict[str, Any]:
    """Who calls, if it is a run that the server knows."""
    from orchestrator.context import current_flow_run, current_task_run
    from orchestrator.deployments import FLUSH_SECONDS

    run, task = current_flow_run(), current_task_run()
    if run is None or run.stream is None:
        return {}
    root = run.root
    if (root.execution is None or run is not root) and run.id not in _known:
        run.stream.hub.flush(FLUSH_SECONDS)  # The server must have heard of it first.
        if len(_known) >= 1_000:
            _known.clear()
        _known.add(run.id)
    return {"parent": str(run.id), **({"parent_task": str(task.id)} if task is not None else {})}


_known: set[Any] = set()  # runs of this process that the server has heard of
