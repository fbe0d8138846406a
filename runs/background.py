"""Background tasks: calls that somebody queued by `.delay`, executed by processes that serve the task, or by agents.

A task's calls are runs of its deployment, which is made when the first one comes. Called by a run of an agent, the
task has that run's code and place, and follows its deployment. Called from anywhere else it has no code here: its runs
wait in a queue of which only processes that serve it take runs.
"""

from __future__ import annotations

import time
from collections.abc import Sequence
from typing import Any
from uuid import UUID

from django.conf import settings
from django.db import connection

from orchestrator.agent_messages import SERVED
from orchestrator.bodies import BackgroundTask, DelayedCall
from orchestrator.pool_bodies import QueueInput
from orchestrator.storable import json_value
from orchestrator.wire import MAX_DELAYED, encode
from runs import agents, deployments, queues, trigger
from runs.deployments import DeploymentRequest
from runs.hidden import find_run
from runs.models import Deployment, FlowRun
from tenants import audit
from tenants.errors import Invalid, NotFound, QueueFull
from tenants.permissions import Actor

MAX_CALL = 64 << 10  # bytes of JSON that a call says besides its parameters
KEPT_SECONDS = 2.0
REMEMBERED = 10_000  # organizations
UNSERVED = {"type": "served"}
"""The source of a task that nobody has served or deployed yet."""


def delay(
    *, reference: str, task: BackgroundTask | None, calls: Sequence[DelayedCall], by: Actor
) -> tuple[list[FlowRun], set[UUID]]:
    """Queue calls of a task; answer their runs, in order, and the ids of those that are new.

    Args:
        reference: The task's deployment, `task/name`.
        task: Makes the deployment where there is none.

    Raises:
        NotFound: There is no such deployment, and nothing is said of the task.
        Invalid: `fields` says what can't be taken.
        QueueFull: The organization has as many waiting as it may have.
    """
    if not 0 < len(calls) <= MAX_DELAYED:
        raise Invalid(f"1 to {MAX_DELAYED} calls at once.", fields={"calls": f"1 to {MAX_DELAYED}."})
    deployment = _deployment(reference, task, by)
    _check_room(by.organization_id, len(calls))
    parents = {id: find_run(by, id).id for id in {call.parent for call in calls} if id is not None}
    requests = [_request(deployment, call, parents) for call in calls]
    return trigger.create_runs(requests, by=by, origin=FlowRun.Origin.BACKGROUND)


def _request(deployment: Deployment, call: DelayedCall, parents: dict[UUID, UUID]) -> trigger.RunRequest:
    if call.scheduled_at is not None and call.scheduled_at.tzinfo is None:
        raise Invalid("scheduled_at has no zone.", fields={"scheduled_at": "ISO 8601 with a zone."})
    told = json_value(call.call)
    if len(encode(told)) > MAX_CALL:
        raise Invalid("The options of a call are too large.", fields={"call": f"{MAX_CALL >> 10} KiB at most."})
    return trigger.RunRequest(
        deployment=deployment,
        parameters=call.parameters,
        name=call.name or "",
        tags=call.tags,
        scheduled_at=call.scheduled_at,
        idempotency_key=call.idempotency_key,
        priority=call.priority,
        parent_id=parents.get(call.parent) if call.parent else None,
        parent_task_id=call.parent_task,
        call=told,
        retries=_retries(told),
    )


def _retries(call: dict[str, Any]) -> int | None:
    options = call.get("options")
    retries = options.get("retries") if isinstance(options, dict) else None
    if retries is None:
        return None
    if not isinstance(retries, int) or not 0 <= retries <= 1_000_000:
        raise Invalid("retries is out of bounds.", fields={"call.options.retries": "0 to 1,000,000."})
    return retries


# ── the deployment of a task ─────────────────────────────────────────────────────────────────────


def _deployment(reference: str, task: BackgroundTask | None, by: Actor) -> Deployment:
    flow, slash, name = reference.rpartition("/")
    if not slash or not flow:
        raise Invalid("A task's deployment is task/name.", fields={"deployment": "task/name."})
    try:
        found = deployments.find_deployment(by, reference)
    except NotFound:
        if task is None:
            raise
        return _made(flow, name, task, by)
    return _followed(found, by)


def _made(flow: str, name: str, task: BackgroundTask, by: Actor) -> Deployment:
    caller = _caller(by)
    asked = DeploymentRequest(
        flow=flow, name=name, entrypoint=task.entrypoint, source=UNSERVED, parameter_schema=task.parameter_schema,
        description=task.description or "", tags=task.tags, version=task.version or "", retries=task.retries,
        retry_delay=task.retry_delay,
    )  # fmt: skip
    if caller is not None:
        place: dict[str, Any] = {"pool": caller.pool, "queue": caller.queue, **_code_of(caller)}
    else:
        pool = agents.find_pool(by, agents.DEFAULT)
        place = {"pool": pool, "queue": _queue(pool, task.queue, by), "source": UNSERVED}
    return deployments.make(asked, place=place, by=by)


def _queue(pool: Any, name: str, by: Actor) -> Any:
    if not name.startswith(SERVED):
        raise Invalid(f"The queue of a task begins with {SERVED!r}.", fields={"task.queue": f"{SERVED}…"})
    try:
        return agents.find_queue(pool, name)
    except NotFound:
        told = QueueInput(name=name, description="For processes that serve the task of this name.")
    try:
        return queues.create_queue(pool=pool, told=told, by=by)
    except Invalid:  # Somebody else made it in this moment, if it can be made at all.
        return agents.find_queue(pool, name)


def _caller(by: Actor) -> Deployment | None:
    """The deployment of the run that asks, if agents execute it from its own code."""
    if by.kind != "run" or by.deployment_id is None:
        return None
    caller = Deployment.objects.select_related("pool", "queue").filter(id=by.deployment_id).first()
    return caller if caller is not None and not caller.queue.name.startswith(SERVED) else None


def _code_of(caller: Deployment) -> dict[str, Any]:
    return {
        "source": {**caller.source, "of": str(caller.id)},
        "python": caller.python,
        "process": caller.process,
        "job_variables": caller.job_variables,
    }


def _followed(found: Deployment, by: Actor) -> Deployment:
    """A task that a deployment's run was the first to call has that deployment's newest code."""
    leader = found.source.get("of")
    if leader is None or str(by.deployment_id) != leader:
        return found
    caller = _caller(by)
    code = _code_of(caller) if caller is not None else {}
    changed = [name for name, value in code.items() if getattr(found, name) != value]
    for name in changed:
        setattr(found, name, code[name])
    if changed:
        found.save(update_fields=changed)
        audit.record(by, "deployment.updated", found, details={"follows": str(caller)})
    return found


# ── how many may wait ────────────────────────────────────────────────────────────────────────────

_WAITING = """
    SELECT count(*) FROM (
        SELECT 1 FROM flow_run
        WHERE organization_id = %s AND state_type = 'SCHEDULED' AND origin = 'background' LIMIT %s
    ) waiting
"""
_known: dict[UUID, tuple[float, int]] = {}  # until when (by the monotonic clock) it is believed, and how many there are


def _check_room(organization_id: UUID, more: int) -> None:
    """Refuse what would be too many. What is known is kept for some seconds in each process."""
    most = settings.BACKGROUND_QUEUE
    until, waiting = _known.get(organization_id, (0.0, 0))
    if until <= time.monotonic() or waiting + more > most:
        with connection.cursor() as cursor:
            cursor.execute(_WAITING, [organization_id, most + 1])
            until, waiting = time.monotonic() + KEPT_SECONDS, cursor.fetchone()[0]
    if waiting + more > most:
        raise QueueFull(
            f"{waiting:,} background tasks of this organization wait; {most:,} may. Have them executed by more"
            " processes, cancel some, or call again later.",
            retry_after=5,
        )
    if len(_known) >= REMEMBERED:
        _known.clear()
    _known[organization_id] = until, waiting + more


def forget() -> None:
    """Count anew: in tests."""
    _known.clear()
