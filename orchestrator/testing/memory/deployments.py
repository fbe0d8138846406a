"""Deployments, and the bundles of code behind them."""

from __future__ import annotations

import hashlib
import re
from typing import Any
from uuid import UUID

import msgspec
from msgspec import UNSET

from orchestrator import clock
from orchestrator.bodies import (
    CanaryInput,
    DeploymentInput,
    DeploymentRollbackInput,
    LimitsChange,
    wrong_fields,
    wrong_limits,
)
from orchestrator.code_sources import wrong_in_source
from orchestrator.ids import uuid7
from orchestrator.states import By, StateType
from orchestrator.storable import clean_text, json_value
from orchestrator.testing.memory import job_templates, pools, room, schedules, versions
from orchestrator.testing.memory.asked import Asked, Refusal, invalid
from orchestrator.testing.memory.definitions import Deployment
from orchestrator.testing.memory.paging import newest
from orchestrator.testing.memory.shown import show_deployment
from orchestrator.testing.memory.states import move, settle, somebody_waits
from orchestrator.testing.memory.store import Store

MAX_BUNDLE = 50 << 20
DELETED = "The deployment was deleted."
_SHA256 = re.compile(r"[0-9a-f]{64}")

SERVE = "serve"  # paused the schedule of a deployment that nobody serves


def deploy(store: Store, asked: Asked) -> tuple[dict[str, Any], int]:
    """Make or change the deployment of this flow and name."""
    told = asked.read(DeploymentInput)
    if fields := wrong_fields(told):
        raise Refusal("invalid", "The deployment can't be taken; see fields.", fields)
    _check_schema(told.parameter_schema)
    _check_source(store, told.source)
    pool = pools.find(store, told.work_pool)
    job_templates.check_variables(pool, told.job_variables)
    queue = pools.find_queue(store, pool, told.work_queue).name
    flow, name, at = clean_text(told.flow), clean_text(told.name), clock.now()
    facts: dict[str, Any] = {
        **msgspec.structs.asdict(told),
        "description": clean_text(told.description or "", 10_000), "version": clean_text(told.version or "", 200),
        "tags": list(dict.fromkeys(clean_text(tag) for tag in told.tags)), "work_queue": queue,
        "python": clean_text(told.python or "", 10), "parameters": json_value(told.parameters),
        "parameter_schema": json_value(told.parameter_schema or {"type": "object", "properties": {}}),
        "job_variables": json_value(told.job_variables),
    }  # fmt: skip
    wanted_schedules = schedules.read_deployed(told)
    for read, _ in wanted_schedules:
        check_parameters(facts["parameter_schema"], {**facts["parameters"], **read.parameters})
    before = _named(store, flow, name)
    if told.canary is not None:
        return show(versions.try_out(before, facts, told, asked)), 200
    wanted = before or Deployment(uuid7(), flow, name, told.work_pool, facts, at, at)
    schedules.set_deployed(store, wanted, wanted_schedules)
    versions.record(wanted, facts, told.message, told.git, asked)
    former = wanted.facts
    wanted.facts, wanted.pool, wanted.updated_at = facts, told.work_pool, at
    store.deployments[wanted.id] = wanted
    _obey_limits(store, wanted, former)
    for run in store.runs.values():
        if told.crash_retries is not None and run.deployment is wanted and run.origin == "background":
            run.crash_retries = told.crash_retries if run.state_type == "SCHEDULED" else run.crash_retries
    return show(wanted), 200 if before else 201


def change_limits(store: Store, asked: Asked) -> dict[str, Any]:
    """Change how many of its runs may run at once, and what becomes of the others."""
    deployment, told = find(store, asked.names["id"]), asked.read(LimitsChange)
    if fields := wrong_limits(told):
        [(name, text), *_] = fields.items()
        raise Refusal("invalid", f"{name}: {text}", fields)
    given = {name: value for name in told.__struct_fields__ if (value := getattr(told, name)) is not UNSET}
    former, deployment.facts = deployment.facts, {**deployment.facts, **given}
    _obey_limits(store, deployment, former)
    return show(deployment)


def _obey_limits(store: Store, deployment: Deployment, former: dict[str, Any]) -> None:
    """Take effect at once: wake who may go on, cancel what has no slot any more."""
    room.cancel_surplus(store, [deployment])
    for name in ("concurrency_limit", "key_slots"):
        was, slots = former[name], deployment.facts[name]
        if was is not None and (slots is None or slots > was) and somebody_waits(store, deployment.pool):
            store.wake(deployment.pool)


def _check_source(store: Store, source: dict[str, Any]) -> None:
    if wrong := wrong_in_source(source):
        raise Refusal("invalid", "The source can't be taken; see fields.", wrong)
    if source["type"] == "bundle" and source["sha256"] not in store.bundles:
        raise Refusal("not_found", "This bundle was not uploaded. PUT it to /bundles/<sha256> first.")


def _check_schema(schema: Any) -> None:
    shared = _shared()
    try:
        shared.check_schema(schema)
    except shared.SchemaRefusal as refusal:
        raise Refusal("invalid", str(refusal), refusal.fields) from refusal


def check_parameters(schema: dict[str, Any], parameters: dict[str, Any]) -> None:
    """Refuse parameters that the schema does not allow."""
    shared = _shared()
    try:
        from orchestrator.block_data.in_parameters import check_with_blocks

        check_with_blocks(schema, parameters)
    except shared.SchemaRefusal as refusal:
        raise Refusal("invalid", str(refusal), refusal.fields) from refusal


def _shared() -> Any:
    try:
        from orchestrator import schema
    except ImportError:
        raise Refusal("unavailable", "Schemas need jsonschema: pip install 'orchestrator[testing]'.") from None
    return schema


def _named(store: Store, flow: str, name: str) -> Deployment | None:
    return next((each for each in store.deployments.values() if (each.flow, each.name) == (flow, name)), None)


def find(store: Store, reference: str) -> Deployment:
    """A deployment by id or by `flow/name`."""
    flow, slash, name = reference.rpartition("/")
    if slash and "\x00" in reference:
        raise Refusal("invalid", "A value has characters or digits that can't be stored.")
    try:
        found = _named(store, flow, name) if slash else store.deployments.get(UUID(reference))
    except ValueError:
        found = None
    if found is None:
        raise Refusal("not_found", f"There is no deployment {reference!s:.200} in this workspace.")
    return found


def show(deployment: Deployment) -> dict[str, Any]:
    """A deployment as the API shows it."""
    return show_deployment(deployment, schedules.show_all(deployment))


def page(store: Store, asked: Asked) -> dict[str, Any]:
    """Deployments, last changed first."""
    found, after = newest(list(store.deployments.values()), asked, "updated_at")
    return {"items": [show(each) for each in found], "next": after}


def by_name(store: Store, asked: Asked) -> dict[str, Any]:
    """One deployment, by flow and name."""
    return show(find(store, f"{asked.names['flow']}/{asked.names['name']}"))


def by_id(store: Store, asked: Asked) -> dict[str, Any]:
    """One deployment."""
    return show(find(store, asked.names["id"]))


def pause(store: Store, asked: Asked) -> dict[str, Any]:
    """Stop its schedules."""
    deployment = find(store, asked.names["id"])
    by = SERVE if asked.query.get("by") == "serve" else asked.by.label
    for schedule in deployment.schedules.values():
        if schedule.active:
            schedules.stop(store, schedule, by)
    return show(deployment)


def resume(store: Store, asked: Asked) -> dict[str, Any]:
    """Start its schedules again, from now on."""
    deployment = find(store, asked.names["id"])
    served = asked.query.get("by") == "serve"
    for schedule in deployment.schedules.values():
        if not schedule.active and (not served or schedule.paused_by == SERVE):
            schedules.start(schedule)
    return show(deployment)


def remove(store: Store, asked: Asked) -> tuple[None, int]:
    """Delete it; what waits is cancelled, what goes on does so without it."""
    deployment = find(store, asked.names["id"])
    for run in [each for each in store.runs.values() if each.deployment is deployment]:
        if run.state_type == StateType.SCHEDULED:
            move(run, StateType.CANCELLED, by=By.SERVER, message=DELETED)
            settle(store, [run])
        run.deployment = None
    del store.deployments[deployment.id]
    return None, 204


# Versions.


def page_of_versions(store: Store, asked: Asked) -> dict[str, Any]:
    """Its versions, newest first."""
    return versions.page(find(store, asked.names["id"]), asked)


def version(store: Store, asked: Asked) -> dict[str, Any]:
    """One version."""
    return versions.one(find(store, asked.names["id"]), asked)


def difference(store: Store, asked: Asked) -> Any:
    """What a version changed."""
    return versions.diff(store, find(store, asked.names["id"]), asked)


def roll_back(store: Store, asked: Asked) -> dict[str, Any]:
    """Make a former version the newest."""
    deployment, told = find(store, asked.names["id"]), asked.read(DeploymentRollbackInput)
    former = versions.find(deployment, told.version)
    if told.version == deployment.number:
        raise Refusal("conflict", f"Version {told.version} is what is deployed.")
    pool = pools.find(store, former.facts["work_pool"])
    job_templates.check_variables(pool, former.facts["job_variables"])
    pools.find_queue(store, pool, former.facts["work_queue"])
    facts = {**deployment.facts, **former.facts}
    for schedule in deployment.schedules.values():
        if schedule.active:
            check_parameters(facts["parameter_schema"], {**facts["parameters"], **schedule.parameters})
    versions.record(deployment, facts, told.message, former.git, asked, rollback_of=told.version)
    deployment.facts, deployment.pool, deployment.updated_at = facts, pool.name, clock.now()
    return show(deployment)


def canary(store: Store, asked: Asked) -> dict[str, Any]:
    """Change the share of the canary."""
    deployment = find(store, asked.names["id"])
    versions.set_share(deployment, asked.read(CanaryInput).share)
    return show(deployment)


def promote(store: Store, asked: Asked) -> dict[str, Any]:
    """Put the canary in force."""
    deployment = find(store, asked.names["id"])
    versions.promote(deployment)
    return show(deployment)


# Bundles.


def put_bundle(store: Store, asked: Asked) -> tuple[dict[str, Any], int]:
    """Keep the bytes of a bundle."""
    sha256 = asked.names["sha256"]
    if len(asked.body) > MAX_BUNDLE:
        limit = f"A bundle has {MAX_BUNDLE >> 20} MiB at most. Leave data and environments out of it."
        raise Refusal("too_large", limit)
    if not _SHA256.fullmatch(sha256) or hashlib.sha256(asked.body).hexdigest() != sha256:
        raise invalid("The content does not have this SHA-256.", "sha256", "Hash of the bytes as sent.")
    new = sha256 not in store.bundles
    store.bundles[sha256] = asked.body
    return {"sha256": sha256}, 201 if new else 200


def get_bundle(store: Store, asked: Asked) -> bytes:
    """The bytes of a bundle."""
    found = store.bundles.get(asked.names["sha256"])
    if found is None:
        raise Refusal("not_found", "There is no such bundle here.")
    return found
