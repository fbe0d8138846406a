"""Versions of deployments: what each deploy changed, a canary beside what is in force, and the way back.

A deployment's row holds what is in force. Whatever changes that leaves a row here; a canary is such a row that a share
of the new runs is made from, until it is promoted or withdrawn.
"""

from __future__ import annotations

import copy
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any
from uuid import UUID

from django.db.models import Max
from django.utils.timezone import now

from orchestrator import version_diff
from orchestrator.code_sources import checkout_of
from orchestrator.storable import clean_text, json_value
from orchestrator.version_diff import Difference
from runs import live
from runs.models import Bundle, Deployment, DeploymentVersion, FlowRun
from tenants import audit
from tenants.errors import Conflict, Invalid, NotFound
from tenants.permissions import Actor
from tenants.restrictions.rules import check_allowed

KEPT = 200  # of each deployment
CODE_SEEN_BY = "deployments.edit"
"""The verb that shows source code: whoever may deploy it."""
COLUMNS = (
    "entrypoint", "source", "python", "parameter_schema", "parameters", "version", "description", "tags", "retries",
    "retry_delay", "crash_retries", "process", "job_variables", "concurrency_key", "debounce",
)  # fmt: skip
FIXED = ("work_pool", "work_queue", "python")
"""What a canary has in common with the version in force: agents that can run the one can run the other."""


@dataclass(frozen=True, slots=True)
class Told:
    """What who deploys says about it. `git`: {"commit", "branch", "dirty"} of their checkout."""

    message: str = ""
    git: dict[str, Any] | None = None
    rollback_of: int | None = None


def definition_of(deployment: Deployment, pool: str, queue: str) -> dict[str, Any]:
    """What a version holds of a deployment."""
    return json_value({name: getattr(deployment, name) for name in COLUMNS} | {"work_pool": pool, "work_queue": queue})


def record(deployment: Deployment, *, before: Deployment | None, told: Told, by: Actor) -> bool:
    """Keep what a deployment, whose row is locked, has become; False when it is what it was.

    `before` is what it was, where it was deployed when nothing was kept of it yet.
    """
    pool, queue = deployment.pool.name, deployment.queue.name
    definition = definition_of(deployment, pool, queue)
    if deployment.number == 0 and before is not None and not _made_by_a_call(before):
        former = definition_of(before, before.pool.name, before.queue.name)
        deployment.number = _add(deployment, former, Told("As it was before versions were kept."), by).number
    if deployment.number and not told.rollback_of and _of(deployment, deployment.number) == definition:
        Deployment.objects.filter(id=deployment.id).update(number=deployment.number)
        return False
    if deployment.canary and _of(deployment, deployment.canary) == definition:
        number = deployment.canary
    else:
        number = _add(deployment, definition, told, by).number
    _put_in_force(deployment, number)
    return True


def _made_by_a_call(deployment: Deployment) -> bool:
    """Of a background task: nobody has deployed it, and its code is that of who calls it, or of who serves it."""
    return deployment.source.get("type") == "served" or "of" in deployment.source


def add_canary(deployment: Deployment, definition: dict[str, Any], share: int, *, told: Told, by: Actor) -> None:
    """Let a share of a deployment's new runs be made from another definition.

    Raises:
        Invalid: It would need other agents than the version in force, or it is the version in force.
    """
    present = _of(deployment, deployment.number)
    definition = json_value(definition)
    if moved := [name for name in FIXED if present.get(name) != definition.get(name)]:
        message = "A canary runs where the deployment does. Deploy this change without canary."
        raise Invalid(message, fields=dict.fromkeys(moved, message))
    if definition == present:
        raise Invalid("This is what is deployed already.", fields={"canary": "Nothing differs."})
    if not (deployment.canary and _of(deployment, deployment.canary) == definition):
        deployment.canary = _add(deployment, definition, told, by).number
    deployment.canary_share = share
    deployment.save(update_fields=["canary", "canary_share"])


def _of(deployment: Deployment, number: int) -> dict[str, Any]:
    found = DeploymentVersion.objects.filter(deployment=deployment, number=number)
    return found.values_list("definition", flat=True).first() or {}


def _add(deployment: Deployment, definition: dict[str, Any], told: Told, by: Actor) -> DeploymentVersion:
    own = DeploymentVersion.objects.filter(deployment=deployment)
    last = own.aggregate(last=Max("number"))["last"] or 0
    made = DeploymentVersion.objects.create(
        organization_id=deployment.organization_id, workspace_id=deployment.workspace_id, deployment=deployment,
        number=last + 1, definition=definition, message=clean_text(told.message, 2_000), git=checkout_of(told.git),
        rollback_of=told.rollback_of, created_by=by.label[:254], created_at=now(),
    )  # fmt: skip
    used = [number for number in (deployment.number, deployment.canary) if number]
    own.filter(number__lte=last + 1 - KEPT).exclude(number__in=used).delete()
    return made


def _put_in_force(deployment: Deployment, number: int) -> None:
    deployment.number, deployment.canary, deployment.canary_share = number, None, 0
    deployment.save(update_fields=["number", "canary", "canary_share"])


# ── looking ──────────────────────────────────────────────────────────────────────────────────────


def find(deployment: Deployment, number: int) -> DeploymentVersion:
    """A version.

    Raises:
        NotFound: There is none of this number, or it is not kept any more.
    """
    found = None
    if 0 < number < 2**31:
        found = DeploymentVersion.objects.filter(deployment=deployment, number=number).first()
    if found is None:
        raise NotFound(f"{deployment} has no version {number}.")
    return found


def difference(before: DeploymentVersion | None, after: DeploymentVersion, *, code: bool = True) -> Difference:
    """What a version changed of another one; of nothing, where there is none before it. Without `code`, no file."""
    former = before.definition if before else {}
    if code:
        return version_diff.difference(former, after.definition, _content)
    return Difference(version_diff.settings(former, after.definition), [])


def _content(sha256: str) -> bytes | None:
    found = Bundle.objects.filter(sha256=sha256).values_list("content", flat=True).first()
    return bytes(found) if found is not None else None


def role_of(deployment: Deployment, number: int) -> str:
    """What a version is now: `current`, `canary` or nothing."""
    return {deployment.number: "current", deployment.canary: "canary"}.get(number, "")


# ── the canary and the way back ──────────────────────────────────────────────────────────────────


def locked(id: UUID, *, by: Actor) -> Deployment:
    """The deployment, held against whoever else would change it."""
    own = Deployment.objects.select_for_update(of=("self",), no_key=True).select_related("flow", "pool", "queue")
    deployment = own.filter(id=id, workspace_id=by.workspace_id).first()
    if deployment is None:
        raise NotFound("There is no such deployment here.")
    check_allowed(deployment, by, "deployments.edit")
    return deployment


def promote(id: UUID, *, by: Actor) -> Deployment:
    """Put the canary in force.

    Raises:
        Conflict: There is none.
    """
    deployment = locked(id, by=by)
    if not deployment.canary:
        raise Conflict("There is no canary to promote.")
    version = find(deployment, deployment.canary)
    _overlay(deployment, version)
    deployment.updated_at = now()
    deployment.save(update_fields=[*COLUMNS, "updated_at"])
    _put_in_force(deployment, version.number)
    _tell(deployment, "deployment.promoted", {"number": version.number}, by)
    return deployment


def set_share(id: UUID, share: int, *, by: Actor) -> Deployment:
    """Let this share of the new runs, in percent, be made from the canary; 0 withdraws it.

    Raises:
        Conflict: There is none.
        Invalid: It is no share.
    """
    check_share(share, least=0)
    deployment = locked(id, by=by)
    if not deployment.canary:
        raise Conflict("There is no canary. Deploy a change with a share to begin one.")
    told = {"number": deployment.canary, "share": share}
    deployment.canary, deployment.canary_share = (deployment.canary if share else None), share
    deployment.save(update_fields=["canary", "canary_share"])
    _tell(deployment, "deployment.canary" if share else "deployment.canary_withdrawn", told, by)
    return deployment


def check_share(share: int, *, least: int = 1) -> None:
    """Refuse what is no share of runs.

    Raises:
        Invalid: It is out of bounds.
    """
    if isinstance(share, bool) or not least <= share <= 99:
        raise Invalid("The share of a canary is out of bounds.", fields={"canary": f"{least} to 99, in percent."})


def _tell(deployment: Deployment, event: str, details: dict[str, Any], by: Actor) -> None:
    audit.record(by, event, deployment, details=details)
    live.changed(workspace_id=deployment.workspace_id, what="deployments")


# ── which version a run is made from ─────────────────────────────────────────────────────────────


def canaries(deployments: Iterable[Deployment]) -> dict[UUID, Deployment]:
    """The deployments with a canary as they would be with it in force, by id."""
    wanted = {each.id: each for each in deployments if each.canary}
    if not wanted:
        return {}
    rows = DeploymentVersion.objects.filter(deployment_id__in=wanted)
    found = {
        (row.deployment_id, row.number): row for row in rows.filter(number__in={d.canary for d in wanted.values()})
    }
    made: dict[UUID, Deployment] = {}
    for id, deployment in wanted.items():
        version = found.get((id, deployment.canary))
        if version is not None:
            made[id] = copy.copy(deployment)
            _overlay(made[id], version)
            made[id].number = version.number
    return made


def takes_canary(deployment: Deployment, run_id: UUID) -> bool:
    """Say whether a new run is one of the canary's share: by the random bits of its id."""
    return run_id.int % 100 < deployment.canary_share


def _overlay(deployment: Deployment, version: DeploymentVersion) -> None:
    for name in COLUMNS:
        setattr(deployment, name, version.definition[name])


def executed(
    deployments: dict[UUID, Deployment], runs: dict[UUID, tuple[UUID, int | None]], *, claimed: bool
) -> dict[UUID, Deployment]:
    """What each run is executed from, by its id: the canary if it was made from it, else what is in force.

    A run that is `claimed` is noted as one of that version: its deployment may have changed while it waited.
    `runs`: (deployment, version that it was made from) by id.
    """
    trials = canaries({deployments[id] for id, number in runs.values() if number and number == deployments[id].canary})
    found: dict[UUID, Deployment] = {}
    for run, (id, number) in runs.items():
        trial = trials.get(id)
        found[run] = trial if trial is not None and trial.number == number else deployments[id]
    if not claimed:
        return found
    moved = [run for run, (_, number) in runs.items() if found[run].number and found[run].number != number]
    for number in {found[run].number for run in moved}:
        own = [run for run in moved if found[run].number == number]
        FlowRun.objects.filter(id__in=own).update(deployment_version=number)
    return found
