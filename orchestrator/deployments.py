"""Deployments: a flow under a name that the server can trigger, and running them from code."""

from __future__ import annotations

import time
from collections.abc import Iterable
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from itertools import starmap
from pathlib import Path
from typing import TYPE_CHECKING, Any
from uuid import UUID

from orchestrator import clock
from orchestrator.client import Client, in_context
from orchestrator.exceptions import NotFound
from orchestrator.exchange import exchange_at
from orchestrator.states import State, StateType

if TYPE_CHECKING:
    from orchestrator.flows import Flow
    from orchestrator.runner.storage import CodeSource
    from orchestrator.schedules import Schedule
    from orchestrator.tasks import Task

FLUSH_SECONDS = 5.0

__all__ = ["Deployment", "RemoteRun", "arun_deployment", "deploy", "run_deployment"]


@dataclass(slots=True)
class Deployment:
    """A deployment as it is to be. Made by `flow.to_deployment(…)` and `task.to_deployment(…)`.

    Where `in_threads`, the process that serves it executes its runs in threads: they need no code of anywhere else.
    `entrypoint` is where the flow is in a `source` that agents fetch.
    """

    flow: Flow[..., Any] | Task[..., Any]
    name: str
    settings: dict[str, Any]
    source: str | Path | CodeSource | None = None
    in_threads: bool = False
    entrypoint: str = ""


def describe(
    flow: Flow[..., Any] | Task[..., Any],
    name: str,
    *,
    work_pool_name: str,
    work_queue_name: str | None,
    parameters: dict[str, Any] | None,
    description: str | None,
    tags: Iterable[str] | None,
    version: str | None,
    cron: str | None,
    interval: float | timedelta | None,
    schedule: Schedule | None,
    schedules: Iterable[Schedule] | None = None,
    concurrency_limit: int | None,
    on_limit: str,
    concurrency_key: str,
    key_slots: int | None,
    crash_retries: int | None,
    source: str | Path | CodeSource | None,
    process: str = "warm",
    job_variables: dict[str, Any] | None = None,
    debounce: float | timedelta | None = None,
    canary: int | None = None,
    message: str = "",
) -> Deployment:
    """Check what a deployment is to be, and describe it. Nothing is sent yet.

    Raises:
        ValueError: The name or a schedule is none, or there are no such processes or job variables.
        ParameterTypeError: A default does not fit its annotation.
    """
    from orchestrator.parameters import parameter_schema
    from orchestrator.schedules import choose
    from orchestrator.storable import json_value

    if not name or "/" in name:
        raise ValueError(f"A deployment's name is a text without '/', not {name!r}.")
    chosen = choose(cron, interval, schedule, schedules)
    delay = flow.retry_delays
    settings = {
        "flow": flow.name,
        "name": name,
        "parameter_schema": parameter_schema(flow),
        "parameters": json_value(_checked(flow, parameters or {})),
        "description": description if description is not None else flow.description or "",
        "tags": sorted({*flow.tags, *(tags or ())}),
        "version": version if version is not None else flow.version,
        "work_pool": work_pool_name,
        "work_queue": work_queue_name,
        "schedules": [json_value(each.to_json()) for each in chosen],
        "retries": flow.retries,
        "retry_delay": delay[0] if isinstance(delay, list) and delay else delay or 0.0,
        "crash_retries": crash_retries,
        "concurrency_limit": concurrency_limit,
        "on_limit": _on_limit(on_limit),
        "concurrency_key": concurrency_key,
        "key_slots": key_slots,
        "process": _process(process),
        "job_variables": _job_variables(job_variables or {}),
        "debounce": _debounce(debounce),
        **({"canary": canary} if canary is not None else {}),
        **({"message": message} if message else {}),
    }
    if source is None and flow.taken_from is not None:
        source, entrypoint = flow.taken_from
        return Deployment(flow, name, settings, source, entrypoint=entrypoint)
    return Deployment(flow, name, settings, source)


def _on_limit(policy: str) -> str:
    from orchestrator.bodies import ON_LIMIT

    if policy not in ON_LIMIT:
        raise ValueError(f"on_limit is one of {', '.join(map(repr, ON_LIMIT))}, not {policy!r}.")
    return policy


def _process(process: str) -> str:
    from orchestrator.agent_messages import PROCESSES

    if process not in PROCESSES:
        raise ValueError(f"process is one of {', '.join(map(repr, PROCESSES))}, not {process!r}.")
    return process


def _debounce(given: float | timedelta | None) -> float | None:
    from orchestrator.debouncing import Debounce

    seconds = _seconds(given)
    if seconds is not None and (wrong := Debounce(seconds).wrong()):
        raise ValueError(f"debounce is a time of {wrong['debounce'].rstrip('.')}, not {given!r}.")
    return seconds


def _job_variables(given: dict[str, Any]) -> dict[str, Any]:
    """Check those that mean the same everywhere. Others are for the template of the work pool to judge."""
    from orchestrator.job_variables import MIN_MEMORY, is_taken

    variables: object = given.get("env")
    if variables is not None and not (isinstance(variables, dict) and all(starmap(is_taken, variables.items()))):
        raise ValueError(f"job_variables['env'] maps names to texts, like {{'LEVEL': 'debug'}}; not {variables!r}.")
    memory = given.get("memory_mib")
    if memory is not None and (isinstance(memory, bool) or not isinstance(memory, int | float) or memory < MIN_MEMORY):
        raise ValueError(f"job_variables['memory_mib'] is a number of MiB, {MIN_MEMORY} or more; not {memory!r}.")
    return given


def _checked(flow: Flow[..., Any] | Task[..., Any], parameters: dict[str, Any]) -> dict[str, Any]:
    """Defaults must be parameters, of the right type. Those that are missing are asked for at the trigger."""
    if not parameters:
        return {}
    signature = flow.signature
    given = {p.name: p for p in signature.parameters.values() if p.name in parameters or p.kind is p.VAR_KEYWORD}
    from orchestrator.parameters import coerce

    coerce(flow.fn, parameters, signature.replace(parameters=list(given.values())))
    return parameters


def deploy(*deployments: Deployment) -> list[UUID]:
    """Make deployments known to the server; their ids, in order.

    Raises:
        NotConfigured: No API is known.
        BundleError: Code can't be packed.
        ApiError: The API refused.
    """
    with Client() as client:
        return [deploy_one(client, deployment) for deployment in deployments]


def deploy_one(client: Client, deployment: Deployment, *, served: bool = False) -> UUID:
    """Make a deployment known; `served` by this process, which needs no code for what it executes in threads."""
    here = exchange_at(client.api.url)
    if here is not None:
        code = _place_here(deployment.flow)
    elif served and deployment.in_threads:
        code = _place_served(deployment) | _checkout(deployment)
    else:
        code = _place(client, deployment) | _checkout(deployment)
    made = client.post("/deployments", {**deployment.settings, **code}, again=True)
    if here is not None:
        here.deployed(UUID(made["id"]), deployment.flow)
    return UUID(made["id"])


def _place(client: Client, deployment: Deployment) -> dict[str, Any]:
    """Where agents find the code; a bundle is uploaded."""
    told, bundle = placed(deployment)
    if bundle is not None:
        _upload(client, told["source"]["sha256"], bundle)
    return told


def place_at(client: Client, deployment: Deployment) -> dict[str, Any]:
    """Where agents would find the code if it were deployed. Nothing is uploaded."""
    return placed(deployment)[0] if exchange_at(client.api.url) is None else _place_here(deployment.flow)


def placed(deployment: Deployment) -> tuple[dict[str, Any], bytes | None]:
    """Where agents are to find the code, and the bundle that has to be uploaded for it, if there is one.

    Raises:
        BundleError: The code can't be packed.
        ValueError: The source is none that a deployment can have.
    """
    from orchestrator.sources import code_of, entrypoint_in_checkout

    if deployment.source is not None and not isinstance(deployment.source, str | Path):
        entrypoint = deployment.entrypoint or entrypoint_in_checkout(deployment.flow)
        return {"entrypoint": entrypoint, "source": deployment.source.to_json(), "python": None}, None
    code = code_of(deployment.flow, deployment.source)
    if code.bundle is None:
        source = {"type": "path", "path": str(Path(str(deployment.source)).absolute())}
    else:
        source = {"type": "bundle", "sha256": code.sha256}
    return {"entrypoint": code.entrypoint, "source": source, "python": code.python}, code.bundle


def _checkout(deployment: Deployment) -> dict[str, Any]:
    """What is told of the checkout that the flow's file is in, if it is in one."""
    from orchestrator.checkout import facts_of
    from orchestrator.sources import directory_of

    directory = None if deployment.flow.taken_from else directory_of(deployment.flow)
    found = facts_of(directory) if directory is not None else None
    return {"git": found} if found else {}


def _place_served(deployment: Deployment) -> dict[str, Any]:
    """Where the code is, for people to read."""
    from orchestrator.sources import directory_of, entrypoint_of

    given = deployment.source if isinstance(deployment.source, str | Path) else None
    directory = Path(given or directory_of(deployment.flow) or Path.cwd()).absolute()
    return {"entrypoint": entrypoint_of(deployment.flow), "source": {"type": "path", "path": str(directory)}}


def _place_here(flow: Flow[..., Any] | Task[..., Any]) -> dict[str, Any]:
    """An API of this process keeps the very object; nothing is packed."""
    file = Path(getattr(getattr(flow.fn, "__code__", None), "co_filename", "flow.py")).absolute()
    return {"entrypoint": f"{file.name}:{flow.name}", "source": {"type": "path", "path": str(file.parent)}}


def _upload(client: Client, sha256: str, bundle: bytes) -> None:
    try:
        client.request("HEAD", f"/bundles/{sha256}", again=True)
    except NotFound:
        client.put(f"/bundles/{sha256}", bundle)


# Running them.


@dataclass(slots=True)
class RemoteRun:
    """A flow run that happens elsewhere, as the server told of it last."""

    id: UUID
    name: str
    state: State
    flow: str = ""
    deployment: str | None = None
    parameters: dict[str, Any] = field(default_factory=dict)
    url: str = ""


def remote_run(told: dict[str, Any]) -> RemoteRun:
    """Read a run as the API writes it."""
    state = told["state"]
    stamp = state.get("timestamp")
    return RemoteRun(
        id=UUID(told["id"]),
        name=told["name"],
        state=State(
            StateType(state["type"]),
            state.get("name") or "",
            state.get("message"),
            **({"timestamp": datetime.fromisoformat(stamp)} if stamp else {}),
        ),
        flow=told.get("flow") or "",
        deployment=told.get("deployment"),
        parameters=told.get("parameters") or {},
        url=told.get("url") or "",
    )


def run_deployment(
    name: str | UUID,
    parameters: dict[str, Any] | None = None,
    *,
    flow_run_name: str | None = None,
    scheduled_time: datetime | None = None,
    timeout: float | None = None,
    poll_interval: float = 1.0,
    tags: Iterable[str] | None = None,
    idempotency_key: str | None = None,
    priority: int = 0,
    concurrency_key: str | None = None,
    as_subflow: bool = True,
    debounce: float | timedelta | None = None,
    debounce_key: str | None = None,
    debounce_max: float | timedelta | None = None,
    job_variables: dict[str, Any] | None = None,
) -> Any:
    """Trigger a deployment and wait for its end. In a coroutine: `await run_deployment(…)`.

    Args:
        name: "flow/deployment", or the deployment's id.
        parameters: Over its defaults.
        scheduled_time: When it is to run; now by default. Without a timezone it is UTC.
        timeout: Seconds to wait for its end; 0 returns at once, None waits as long as it takes.
        poll_interval: Seconds between two looks.
        tags: For this run, besides those of the deployment.
        idempotency_key: The same key triggers once, however often it is sent.
        priority: Higher goes first within its queue.
        concurrency_key: Whose run it is, if not as the deployment's template says: keys share its slots fairly.
        as_subflow: Called from a run, be its child; it has a lease and a page of its own all the same.
        debounce: Seconds; triggers that follow each other more closely become one run, with the parameters of the last.
            As the deployment says by default; 0: none.
        debounce_key: Only triggers with the same key do so.
        debounce_max: Seconds after the first trigger at which it starts all the same; ten times `debounce` by default.
        job_variables: What changes in those of the deployment, for this run: `{"env": {"LEVEL": "debug"}}`; None takes
            one away. Asks for the right to edit the deployment, which a run that calls this has not by its own token.

    Returns:
        A RemoteRun. Its `state` may not be final, if the timeout passed.

    Raises:
        Invalid: The parameters don't fit; `fields` says which.
        NotFound: There is no such deployment.
        ApiError: The API refused, or could not be reached.
    """
    from orchestrator.storable import json_value

    gathered = {"debounce": _seconds(debounce), "debounce_key": debounce_key, "debounce_max": _seconds(debounce_max)}
    return in_context(
        _run_deployment,
        name,
        parameters,
        flow_run_name,
        scheduled_time,
        timeout,
        poll_interval,
        tags,
        idempotency_key,
        priority,
        concurrency_key,
        as_subflow,
        {**gathered, "job_variables": json_value(job_variables) if job_variables else None},
    )


async def arun_deployment(name: str | UUID, parameters: dict[str, Any] | None = None, **options: Any) -> RemoteRun:
    """`run_deployment` for coroutines, whatever type-checkers make of the other one."""
    return await run_deployment(name, parameters, **options)


def _run_deployment(
    name: str | UUID,
    parameters: dict[str, Any] | None,
    flow_run_name: str | None,
    scheduled_time: datetime | None,
    timeout: float | None,
    poll_interval: float,
    tags: Iterable[str] | None,
    idempotency_key: str | None,
    priority: int,
    concurrency_key: str | None,
    as_subflow: bool,
    more: dict[str, Any],
) -> RemoteRun:
    import os

    from orchestrator.storable import json_value

    body: dict[str, Any] = {
        "deployment": str(name),
        "parameters": json_value(parameters or {}),
        # A lost answer must not trigger twice: without a key of the caller's we make one.
        "idempotency_key": idempotency_key or f"call-{os.urandom(16).hex()}",
        **({"name": flow_run_name} if flow_run_name else {}),
        **({"tags": list(tags)} if tags else {}),
        **({"priority": priority} if priority else {}),
        **({"concurrency_key": concurrency_key} if concurrency_key is not None else {}),
        **({"scheduled_at": _utc(scheduled_time).isoformat()} if scheduled_time is not None else {}),
        **{field: value for field, value in more.items() if value is not None},
        **(_parent() if as_subflow else {}),
    }
    with Client() as client:
        run = remote_run(client.post("/flow-runs", body, again=True))
        return _watched(client, run, timeout, poll_interval)


def _seconds(given: float | timedelta | None) -> float | None:
    return given.total_seconds() if isinstance(given, timedelta) else given


def _utc(moment: datetime) -> datetime:
    from datetime import UTC

    return moment.replace(tzinfo=UTC) if moment.tzinfo is None else moment.astimezone(UTC)


def _parent() -> dict[str, Any]:
    """Who calls, if it is a run that the server knows."""
    from orchestrator.context import current_flow_run, current_task_run

    run, task = current_flow_run(), current_task_run()
    if run is None or run.stream is None:
        return {}
    # The server must have heard of the parent first.
    run.stream.hub.flush(FLUSH_SECONDS)
    return {"parent": str(run.id), **({"parent_task": str(task.id)} if task is not None else {})}


def _watched(client: Client, run: RemoteRun, timeout: float | None, poll_interval: float) -> RemoteRun:
    from orchestrator.context import current_flow_run

    until = None if timeout is None else time.monotonic() + timeout
    here = current_flow_run()
    while not run.state.is_final():
        left = poll_interval if until is None else min(poll_interval, until - time.monotonic())
        if left <= 0:
            break
        clock.pause(left)
        if here is not None:
            here.check_stop()
        run = remote_run(client.get(f"/flow-runs/{run.id}"))
    return run
