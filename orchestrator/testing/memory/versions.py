"""Versions of deployments: what each deploy changed, the canary, the way back."""

from __future__ import annotations

from typing import Any

from orchestrator import clock, version_diff
from orchestrator.bodies import DeploymentInput
from orchestrator.code_sources import checkout_of
from orchestrator.ids import uuid7
from orchestrator.storable import clean_text
from orchestrator.testing.memory.asked import Asked, Refusal, invalid
from orchestrator.testing.memory.definitions import Deployment, Version
from orchestrator.testing.memory.paging import newest
from orchestrator.testing.memory.shown import time_of
from orchestrator.testing.memory.store import Store

KEPT = 200
COLUMNS = (
    "entrypoint", "source", "python", "parameter_schema", "parameters", "version", "description", "tags", "retries",
    "retry_delay", "crash_retries", "process", "job_variables", "concurrency_key", "debounce", "work_pool",
    "work_queue",
)  # fmt: skip
FIXED = ("work_pool", "work_queue", "python")


def record(
    deployment: Deployment,
    facts: dict[str, Any],
    message: str,
    git: dict[str, Any] | None,
    asked: Asked,
    rollback_of: int | None = None,
) -> None:
    """Keep what a deployment becomes, unless that is what it is."""
    own = _own(facts)
    if deployment.number and not rollback_of and deployment.versions[deployment.number].facts == own:
        return
    trial = deployment.versions.get(deployment.canary or 0)
    number = trial.number if trial is not None and trial.facts == own else 0
    number = number or _add(deployment, own, message, git, asked, rollback_of)
    deployment.number, deployment.canary, deployment.canary_share = number, None, 0


def try_out(deployment: Deployment | None, facts: dict[str, Any], told: DeploymentInput, asked: Asked) -> Deployment:
    """Let a share of the new runs be made from these facts."""
    _check_share(told.canary or 0, 1)
    if deployment is None or not deployment.number:
        message = "There is nothing deployed under this name yet. Deploy it without canary first."
        raise invalid(message, "canary", message)
    own, present = _own(facts), deployment.versions[deployment.number].facts
    if moved := [name for name in FIXED if own[name] != present[name]]:
        message = "A canary runs where the deployment does. Deploy this change without canary."
        raise Refusal("invalid", message, dict.fromkeys(moved, message))
    if own == present:
        raise invalid("This is what is deployed already.", "canary", "Nothing differs.")
    trial = deployment.versions.get(deployment.canary or 0)
    if trial is None or trial.facts != own:
        deployment.canary = _add(deployment, own, told.message, told.git, asked, None)
    deployment.canary_share = told.canary or 0
    return deployment


def _own(facts: dict[str, Any]) -> dict[str, Any]:
    return {name: facts[name] for name in COLUMNS}


def _add(
    deployment: Deployment,
    facts: dict[str, Any],
    message: str,
    git: dict[str, Any] | None,
    asked: Asked,
    rollback_of: int | None,
) -> int:
    number = max(deployment.versions, default=0) + 1
    deployment.versions[number] = Version(
        uuid7(), number, facts, clean_text(message, 2_000), checkout_of(git), rollback_of, asked.by.label, clock.now()
    )
    used = {deployment.number, deployment.canary}
    for old in [each for each in deployment.versions if each <= number - KEPT and each not in used]:
        del deployment.versions[old]
    return number


def find(deployment: Deployment, number: int) -> Version:
    """A version."""
    found = deployment.versions.get(number)
    if found is None:
        raise Refusal("not_found", f"{deployment.full_name} has no version {number}.")
    return found


def page(deployment: Deployment, asked: Asked) -> dict[str, Any]:
    """Versions, newest first."""
    found, after = newest(list(deployment.versions.values()), asked, "created_at")
    return {"items": [_summary(deployment, each) for each in found], "next": after}


def one(deployment: Deployment, asked: Asked) -> dict[str, Any]:
    """One version, with what the deployment was."""
    version = find(deployment, int(asked.names["number"]))
    return {**_summary(deployment, version), "definition": version.facts}


def diff(store: Store, deployment: Deployment, asked: Asked) -> dict[str, Any]:
    """What a version changed of the one before it, or of another one."""
    number = int(asked.names["number"])
    text = asked.query.get("from", str(number - 1))
    if not text.isdecimal() or len(text) > 9:
        raise invalid("from is the number of a version.", "from", "A whole number.")
    former = find(deployment, int(text)).facts if int(text) else {}
    found = version_diff.difference(former, find(deployment, number).facts, store.bundles.get)
    return {"from": int(text), "to": number, "settings": found.settings, "files": found.files, "note": found.note}


def _summary(deployment: Deployment, version: Version) -> dict[str, Any]:
    role = {deployment.number: "current", deployment.canary: "canary"}.get(version.number, "")
    return {
        "number": version.number,
        "role": role,
        "message": version.message,
        "git": version.git,
        "rollback_of": version.rollback_of,
        "created_by": version.created_by,
        "created_at": time_of(version.created_at),
    }


def promote(deployment: Deployment) -> None:
    """Put the canary in force."""
    if not deployment.canary:
        raise Refusal("conflict", "There is no canary to promote.")
    number = deployment.canary
    deployment.facts = {**deployment.facts, **deployment.versions[number].facts}
    deployment.number, deployment.canary, deployment.canary_share = number, None, 0
    deployment.updated_at = clock.now()


def set_share(deployment: Deployment, share: int) -> None:
    """Change the share of the canary; 0 withdraws it."""
    _check_share(share, 0)
    if not deployment.canary:
        raise Refusal("conflict", "There is no canary. Deploy a change with a share to begin one.")
    deployment.canary, deployment.canary_share = (deployment.canary if share else None), share


def _check_share(share: int, least: int) -> None:
    if not least <= share <= 99:
        raise invalid("The share of a canary is out of bounds.", "canary", f"{least} to 99, in percent.")
