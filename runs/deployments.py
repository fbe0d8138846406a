"""Make a flow ready to be run: its deployment, its code, its schedules."""

from __future__ import annotations

import hashlib
import re
from dataclasses import dataclass, field
from typing import Any
from uuid import UUID

from django.db import transaction
from django.db.models import QuerySet
from django.utils.timezone import now
from msgspec import UNSET

from orchestrator.bodies import LimitsChange, wrong_fields, wrong_limits
from orchestrator.code_sources import wrong_in_source
from orchestrator.states import By, StateType
from orchestrator.storable import clean_text, json_value
from runs import agents, events, job_templates, limits, live, overflow, schedules, versions
from runs.models import Bundle, Deployment, FlowRun, Schedule, WorkPool
from runs.schema import check_schema
from runs.transitions import DELETED, lock_runs, move, save
from runs.trigger import flow_ids
from tenants import audit
from tenants.errors import Conflict, Invalid, NotFound, TooLarge
from tenants.permissions import Actor
from tenants.restrictions.access import forget
from tenants.restrictions.rules import check_allowed

MAX_BUNDLE = 50 << 20  # bytes
SERVE = "serve, which has ended"
"""Who paused a schedule whose deployment was served by a process that is gone."""
AT_ONCE = 1_000  # runs that are cancelled by one statement
_SHA256 = re.compile(r"[0-9a-f]{64}")


@dataclass(frozen=True, slots=True)
class DeploymentRequest:
    """What a deployment is to be. `schedules` are as in `ScheduleInput`; `schedule` is the only one.

    Where `canary` is given, that share of new runs (in percent) is made from this, and the rest from what is deployed.
    """

    flow: str
    name: str
    entrypoint: str
    source: dict[str, Any]
    parameter_schema: dict[str, Any] = field(default_factory=dict)
    parameters: dict[str, Any] = field(default_factory=dict)
    description: str = ""
    tags: list[str] = field(default_factory=list)
    version: str = ""
    work_pool: str = agents.DEFAULT
    work_queue: str | None = None
    schedule: dict[str, Any] | None = None
    schedules: list[dict[str, Any]] | None = None
    retries: int = 0
    retry_delay: float = 0
    crash_retries: int | None = None
    concurrency_limit: int | None = None
    on_limit: str = "ENQUEUE"
    concurrency_key: str = ""
    key_slots: int | None = None
    python: str = ""
    process: str = "warm"
    job_variables: dict[str, Any] = field(default_factory=dict)
    debounce: float | None = None
    canary: int | None = None
    message: str = ""
    git: dict[str, Any] | None = None


def deploy(request: DeploymentRequest, *, by: Actor) -> tuple[Deployment, bool]:
    """Make or change the deployment of this flow and name; answer it, and whether it is new.

    Raises:
        Invalid: `fields` says what can't be taken.
        NotFound: There is no such pool, queue or bundle.
    """
    if fields := wrong_fields(request):
        raise Invalid("The deployment can't be taken; see fields.", fields=fields)
    check_schema(request.parameter_schema)
    _check_source(request.source)
    pool = agents.find_pool(by, request.work_pool)
    check_allowed(pool, by, "deployments.edit")
    job_templates.check_variables(pool, request.job_variables)
    queue = agents.find_queue(pool, request.work_queue)
    flow, name = clean_text(request.flow), clean_text(request.name)
    flow_id = flow_ids(by, {flow})[flow]
    present = _check_access(flow_id, name, by)
    if request.canary is not None:
        return _try_out(request, present, by), False
    values = {**_values(request), "pool": pool, "queue": queue, "updated_at": now()}
    locked = schedules.lock_of(flow_id, name)
    deployment, new = Deployment.objects.update_or_create(
        organization_id=by.organization_id, flow_id=flow_id, name=name,
        defaults=values, create_defaults={**values, "workspace_id": by.workspace_id},
    )  # fmt: skip
    if not locked and not new:
        locked = schedules.lock_of(flow_id, name)  # Somebody else may have made both in this moment.
    versions.record(deployment, before=present, told=versions.Told(request.message, request.git), by=by)
    schedules.set_deployed(deployment, _schedules(request), locked)
    _set_limits(deployment, {"concurrency_limit": request.concurrency_limit, "key_slots": request.key_slots})
    if request.crash_retries is not None and not new:
        _grant_crashes(deployment)
    _tell(deployment, f"deployment.{'created' if new else 'updated'}", pool, by)
    return deployment, new


def _try_out(request: DeploymentRequest, present: Deployment | None, by: Actor) -> Deployment:
    """Let a share of the new runs be made from what is asked for. Schedules, limits and the rest stay as they are."""
    versions.check_share(request.canary or 0)
    if present is None or not present.number:
        message = "There is nothing deployed under this name yet. Deploy it without canary first."
        raise Invalid(message, fields={"canary": message})
    deployment = versions.locked(present.id, by=by)
    queue = request.work_queue or agents.find_queue(deployment.pool, None).name
    values = _values(request)
    definition = {name: values[name] for name in versions.COLUMNS} | {
        "work_pool": request.work_pool,
        "work_queue": queue,
    }
    told = versions.Told(request.message, request.git)
    versions.add_canary(deployment, definition, request.canary or 0, told=told, by=by)
    _tell(deployment, "deployment.canary", deployment.pool, by)
    return deployment


@transaction.atomic
def roll_back(id: UUID, number: int, *, message: str = "", by: Actor) -> Deployment:
    """Make a version that was in force once a new one. Schedules and the limit stay as they are now.

    Raises:
        NotFound: The version is not kept any more, or its pool, queue or bundle is gone.
        Conflict: It is in force.
    """
    deployment = versions.locked(id, by=by)
    version = versions.find(deployment, number)
    if number == deployment.number:
        raise Conflict(f"Version {number} is what is deployed.")
    told = version.definition
    _check_source(told["source"])
    pool = agents.find_pool(by, told["work_pool"])
    check_allowed(pool, by, "deployments.edit")
    job_templates.check_variables(pool, told["job_variables"])
    values = {name: told[name] for name in versions.COLUMNS}
    values |= {"pool": pool, "queue": agents.find_queue(pool, told["work_queue"]), "updated_at": now()}
    for name, value in values.items():
        setattr(deployment, name, value)
    deployment.save(update_fields=list(values))
    versions.record(deployment, before=None, told=versions.Told(message, version.git, number), by=by)
    for schedule in Schedule.objects.filter(deployment=deployment, active=True):
        schedules.check_parameters_of(schedule)
    _tell(deployment, "deployment.rolled_back", pool, by)
    return deployment


def make(request: DeploymentRequest, *, place: dict[str, Any], by: Actor) -> Deployment:
    """The deployment of this flow and name; where there is none, made in a pool and a queue, with code or without.

    For what needs no person: who makes it so may trigger runs, and it runs nothing that isn't there already.
    """
    if fields := wrong_fields(request):
        raise Invalid("The deployment can't be taken; see fields.", fields=fields)
    check_schema(request.parameter_schema)
    flow, name = clean_text(request.flow), clean_text(request.name)
    flow_id = flow_ids(by, {flow})[flow]
    made, new = Deployment.objects.get_or_create(
        organization_id=by.organization_id, flow_id=flow_id, name=name,
        defaults={**_values(request), **place, "workspace_id": by.workspace_id},
    )  # fmt: skip
    _check_access(flow_id, name, by)
    if new:
        _tell(made, "deployment.created", place["pool"], by)
    return made


def change_limits(deployment: Deployment, *, told: LimitsChange, by: Actor) -> None:
    """Change how many of its runs may run at once, and what becomes of the others. Takes effect at once.

    Raises:
        Invalid: `fields` says what can't be taken.
    """
    if fields := wrong_limits(told):
        [(name, text), *_] = fields.items()
        raise Invalid(f"{name}: {text}", fields=fields)
    deployment.on_limit = versions.locked(deployment.id, by=by).on_limit  # Two who change it do so in turn.
    before = limits_of(deployment)
    asked = {name: value for name in told.__struct_fields__ if (value := getattr(told, name)) is not UNSET}
    changed = {name: value for name, value in asked.items() if value != before[name]}
    if not changed:
        return
    if "on_limit" in changed:
        deployment.on_limit = changed["on_limit"]
        deployment.save(update_fields=["on_limit"])
    _set_limits(deployment, {name: value for name, value in changed.items() if name != "on_limit"})
    was = {name: before[name] for name in changed}
    audit.record(by, "deployment.updated", deployment, details={"from": was, "to": changed})
    live.changed(workspace_id=deployment.workspace_id, what="deployments")


def limits_of(deployment: Deployment) -> dict[str, Any]:
    """How many of its runs may run at once, in all and of each key, and what becomes of the others."""
    return {**limits.of_deployments([deployment.id])[deployment.id], "on_limit": deployment.on_limit}


def _set_limits(deployment: Deployment, told: dict[str, int | None]) -> None:
    more = [limits.set_limit(deployment, slots, of_keys=name == "key_slots") for name, slots in told.items()]
    if any(more):
        limits.wake(deployment.pool_id)
    if deployment.on_limit != Deployment.OnLimit.ENQUEUE:
        overflow.cancel_surplus([deployment.id], at=now())


def _grant_crashes(deployment: Deployment) -> None:
    """Calls that were queued before anybody served their task may be tried again after a crash as those after it."""
    waiting = FlowRun.objects.filter(
        deployment=deployment, origin=FlowRun.Origin.BACKGROUND, state_type=StateType.SCHEDULED
    )
    waiting.exclude(crash_retries=deployment.crash_retries).update(crash_retries=deployment.crash_retries)


def _tell(deployment: Deployment, event: str, pool: WorkPool, by: Actor) -> None:
    told = {"version": deployment.version, "entrypoint": deployment.entrypoint, "work_pool": pool.name}
    audit.record(by, event, deployment, details=told)
    events.tell(
        organization_id=by.organization_id, workspace_id=deployment.workspace_id, event=event,
        resources=[{"deployment": str(deployment.id)}],
    )  # fmt: skip
    live.changed(workspace_id=by.workspace_id, what="deployments")


def _schedules(request: DeploymentRequest) -> dict[str, dict[str, Any]]:
    """What is told of its schedules, by where it stands."""
    if request.schedule is not None and request.schedules is not None:
        raise Invalid("Give one schedule or several.", fields={"schedule": "It may stand among `schedules`."})
    if request.schedule is not None:
        return {"schedule": request.schedule}
    return {f"schedules.{place}": told for place, told in enumerate(request.schedules or ())}


def _values(request: DeploymentRequest) -> dict[str, Any]:
    """What of a request stands in the deployment's row as it is, cleaned."""
    return {
        "description": clean_text(request.description, 10_000),
        "version": clean_text(request.version, 200),
        "tags": list(dict.fromkeys(clean_text(tag) for tag in request.tags)),
        "entrypoint": clean_text(request.entrypoint),
        "source": request.source,
        "python": clean_text(request.python, 10),
        "parameter_schema": json_value(request.parameter_schema or {"type": "object", "properties": {}}),
        "parameters": json_value(request.parameters),
        "retries": request.retries,
        "retry_delay": request.retry_delay,
        "crash_retries": request.crash_retries,
        "process": request.process,
        "job_variables": json_value(request.job_variables),
        "debounce": request.debounce,
        "on_limit": request.on_limit,
        "concurrency_key": clean_text(request.concurrency_key),
    }


def _check_access(flow_id: UUID, name: str, by: Actor) -> Deployment | None:
    """The deployment as it is, if there is one.

    Of a name that is taken by a deployment that one may not see, it is told as of one that one may not change.
    """
    known = Deployment.objects.select_related("flow", "pool", "queue")
    present = known.filter(flow_id=flow_id, name=name).first()
    if present:
        check_allowed(present, by, "deployments.edit")
    return present


def _check_source(source: dict[str, Any]) -> None:
    if wrong := wrong_in_source(source):
        raise Invalid("The source can't be taken; see fields.", fields=wrong)
    if source["type"] == "bundle" and not Bundle.objects.filter(sha256=source["sha256"]).exists():
        raise NotFound("This bundle was not uploaded. PUT it to /bundles/<sha256> first.")


def in_workspace(by: Actor) -> QuerySet[Deployment]:
    """The workspace's deployments that the actor may see, with what they belong to."""
    own = Deployment.objects.filter(workspace_id=by.workspace_id).select_related("flow", "pool", "queue")
    return own.allowing(by, "deployments.view")


def find_deployment(by: Actor, reference: str | UUID) -> Deployment:
    """A deployment by id or by `flow/name`.

    Raises:
        NotFound: There is none in the actor's workspace, or none for them.
    """
    own = in_workspace(by)
    flow, slash, name = str(reference).rpartition("/")
    try:
        found = own.filter(flow__name=flow, name=name) if slash else own.filter(id=UUID(str(reference)))
    except ValueError:
        found = own.none()
    deployment = found.first()
    if deployment is None:
        raise NotFound(f"There is no deployment {reference!s:.200} in this workspace.")
    return deployment


def _locked(deployment: Deployment) -> QuerySet[Schedule]:
    """Its schedules, of which no tick makes runs behind our back."""
    return Schedule.objects.select_for_update().filter(deployment=deployment).order_by("id")


def pause(deployment: Deployment, *, by: Actor, until_served: bool = False) -> None:
    """Stop the deployment's schedules until somebody resumes them, or until a process serves the deployment again."""
    check_allowed(deployment, by, "schedules.edit")
    for schedule in _locked(deployment).filter(active=True):
        schedules.stop(schedule, by=SERVE if until_served else by.label)
    audit.record(by, "deployment.paused", deployment)
    live.changed(workspace_id=deployment.workspace_id, what="deployments")


def resume(deployment: Deployment, *, by: Actor, served: bool = False) -> None:
    """Start the deployment's schedules again, from now on; those that a person paused stay so if it is only served."""
    check_allowed(deployment, by, "schedules.edit")
    paused = _locked(deployment).filter(active=False)
    paused = paused.filter(paused_by=SERVE) if served else paused
    if served and not paused:
        return
    for schedule in paused:
        schedules.start(schedule)
    audit.record(by, "deployment.resumed", deployment)
    live.changed(workspace_id=deployment.workspace_id, what="deployments")


def delete(deployment: Deployment, *, by: Actor) -> None:
    """Delete a deployment, its schedules and limit. Its runs that nobody has claimed are cancelled with it; those under
    way go on, and are not tried again after a crash or a failure: there is nothing left to start them from.
    """
    check_allowed(deployment, by, "deployments.edit")
    for schedule in _locked(deployment):
        schedules.withdraw(schedule)
    # Whoever wants to trigger it in this moment waits for us, and finds that it is gone.
    list(Deployment.objects.select_for_update().filter(id=deployment.id).values_list("id"))
    cancelled = _cancel_unclaimed(deployment)
    audit.record(by, "deployment.deleted", deployment, details={"runs_cancelled": cancelled})
    limits.set_limit(deployment, None)
    limits.set_limit(deployment, None, of_keys=True)
    forget(deployment)
    deployment.delete()
    live.changed(workspace_id=deployment.workspace_id, what="deployments")


def _cancel_unclaimed(deployment: Deployment) -> int:
    """Cancel what waits for an agent, now or until its time; how many there were."""
    waiting = FlowRun.objects.filter(deployment=deployment, state_type=StateType.SCHEDULED).order_by("id")
    ids = list(waiting.values_list("id", flat=True))
    for start in range(0, len(ids), AT_ONCE):
        rows = lock_runs(ids[start : start + AT_ONCE])
        for row in rows.values():
            if row.state_type == StateType.SCHEDULED:  # Else an agent took it before we had its lock.
                move(row, StateType.CANCELLED, by=By.SERVER, message=DELETED)
        save(rows.values())
    return len(ids)


def store_bundle(content: bytes, sha256: str, *, by: Actor) -> bool:
    """Keep a bundle; True when it is new.

    Raises:
        TooLarge: It has more than 50 MiB.
        Invalid: The content does not have this hash.
    """
    if len(content) > MAX_BUNDLE:
        raise TooLarge(f"A bundle has {MAX_BUNDLE >> 20} MiB at most. Leave data and environments out of it.")
    if not _SHA256.fullmatch(sha256) or hashlib.sha256(content).hexdigest() != sha256:
        raise Invalid("The content does not have this SHA-256.", fields={"sha256": "Hash of the bytes as sent."})
    _, new = Bundle.objects.get_or_create(
        organization_id=by.organization_id, sha256=sha256, defaults={"size": len(content), "content": content}
    )
    return new
