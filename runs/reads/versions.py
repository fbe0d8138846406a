"""The versions of a deployment as pages show them: what each was, from which commit, what differs between two."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any
from urllib.parse import urlsplit

from django.db.models.fields.json import KeyTransform

from blocks.forms import Context, SchemaForm
from orchestrator.version_diff import Difference, Setting
from runs import versions
from runs.models import Deployment, DeploymentVersion, FlowRun
from runs.reads.addresses import followed

PAGE = 50
HIDDEN = '"••••••••"'
_SCP = re.compile(r"[\w.-]+@([\w.-]+):(?!//)(.+)")


@dataclass(frozen=True, slots=True)
class Commit:
    """The checkout that something was deployed from, or the commit that a source names."""

    id: str
    branch: str = ""
    dirty: bool = False
    url: str = ""


@dataclass(frozen=True, slots=True)
class VersionRow:
    """A version in a list. `role` is `current`, `canary` or nothing."""

    version: DeploymentVersion
    role: str
    commit: Commit | None


def page(deployment: Deployment, *, before: str) -> tuple[list[VersionRow], int | None]:
    """Versions, newest first, below a number; and the number that what follows is below."""
    rows = DeploymentVersion.objects.filter(deployment=deployment).defer("definition")
    rows = rows.annotate(source=KeyTransform("source", "definition"))
    if before.isdecimal() and len(before) < 10:
        rows = rows.filter(number__lt=int(before))
    found = list(rows.order_by("-number")[: PAGE + 1])
    told = [
        VersionRow(each, versions.role_of(deployment, each.number), commit_of(each.git, each.source or {}))
        for each in found[:PAGE]
    ]
    return told, found[PAGE - 1].number if len(found) > PAGE else None


def count(deployment: Deployment) -> int:
    """How many are kept."""
    return DeploymentVersion.objects.filter(deployment=deployment).count()


def numbers(deployment: Deployment) -> list[tuple[int, str]]:
    """The numbers of all that are kept, newest first, with their messages: to choose from."""
    own = DeploymentVersion.objects.filter(deployment=deployment).order_by("-number")
    return list(own.values_list("number", "message")[: versions.KEPT + 2])


def before(version: DeploymentVersion) -> int:
    """The number of the newest version before this one that is kept; 0 where there is none."""
    own = DeploymentVersion.objects.filter(deployment_id=version.deployment_id, number__lt=version.number)
    return own.order_by("-number").values_list("number", flat=True).first() or 0


# ── commits ──────────────────────────────────────────────────────────────────────────────────────


def commit_of(git: Mapping[str, Any] | None, source: Mapping[str, Any]) -> Commit | None:
    """The commit of a version: the one that its source names, else that of the checkout that it was deployed from."""
    if source.get("type") == "git" and source.get("commit"):
        id = str(source["commit"])
        return Commit(id, url=commit_url(source, id))
    if git and git.get("commit"):
        id = str(git["commit"])
        return Commit(id, str(git.get("branch") or ""), git.get("dirty") is True, commit_url(source, id))
    return None


def of_run(run: FlowRun) -> tuple[int | None, Commit | None]:
    """The version that a run is of, where it is kept still, and the commit that it executed."""
    deployment, number = run.deployment, run.deployment_version
    if deployment is None:
        return None, Commit(run.commit) if run.commit else None
    kept = number if number and number > deployment.number - versions.KEPT else None
    # The address is the one that is in force; a former version may have come from elsewhere.
    source = deployment.source if number == deployment.number else {}
    return kept, Commit(run.commit, url=commit_url(source, run.commit)) if run.commit else None


def commit_url(source: Mapping[str, Any], commit: str) -> str:
    """Where a commit can be looked at, by the address that GitHub, GitLab and Gitea have for it; else nothing.

    >>> commit_url({"type": "git", "url": "git@git.example:team/flows.git"}, "abc1234")
    'https://git.example/team/flows/commit/abc1234'
    """
    if source.get("type") != "git" or not re.fullmatch(r"[0-9a-f]{7,64}", commit):
        return ""
    url = str(source.get("url", ""))
    if "://" not in url and (scp := _SCP.fullmatch(url)):
        url = f"https://{scp[1]}/{scp[2]}"
    try:
        parts = urlsplit(url)
    except ValueError:
        return ""
    if parts.scheme == "ssh":
        url = f"https://{parts.hostname}{parts.path}"
    return followed(f"{url.rstrip('/').removesuffix('.git')}/commit/{commit}")


# ── what it was, and what differs ────────────────────────────────────────────────────────────────


def parameters(definition: Mapping[str, Any]) -> SchemaForm:
    """The parameters of a version, as fields."""
    return SchemaForm.of_values(definition["parameter_schema"], definition["parameters"], context=Context())


def difference(former: DeploymentVersion | None, latter: DeploymentVersion, *, code: bool) -> Difference:
    """What a version has changed of another one, without what was typed as a secret; with the code where one may."""
    found = versions.difference(former, latter, code=code)
    secret = {name for each in (former, latter) if each for name in _secrets(each.definition)}
    found.settings = [_masked(each, secret) for each in found.settings]
    return found


def _secrets(definition: Mapping[str, Any]) -> Iterable[str]:
    fields = parameters(definition).root.children
    return [f"parameters.{field.key}" for field in fields if any(each.kind == "secret" for each in field.walk())]


def _masked(setting: Setting, secret: set[str]) -> Setting:
    if not any(setting.name == name or setting.name.startswith(f"{name}.") for name in secret):
        return setting
    return Setting(
        setting.name,
        HIDDEN if setting.before is not None else None,
        HIDDEN if setting.after is not None else None,
    )
