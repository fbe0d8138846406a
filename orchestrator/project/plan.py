"""From a project's file to deployments: what they would change on the server, and making them known to it."""

from __future__ import annotations

import json
from collections.abc import Iterator
from fnmatch import fnmatchcase
from itertools import count, islice
from typing import Any, Literal
from urllib.parse import quote

import msgspec

from orchestrator.checkout import top_of
from orchestrator.client import Client
from orchestrator.deployments import Deployment, place_at
from orchestrator.exceptions import LoadError, NotFound, ParameterError, ProjectError
from orchestrator.loading import load
from orchestrator.project.file import DeploymentText, Project, Wanted
from orchestrator.runner.storage import CodeSource, GitRepository, RemoteStorage
from orchestrator.schedules import from_json
from orchestrator.version_diff import Setting, difference

DEFAULT_QUEUE = "default"
LIMITS = ("concurrency_limit", "on_limit", "concurrency_key", "key_slots")  # They are no part of a version.


class Change(msgspec.Struct):
    """What deploying would do to one deployment. `deployment` is `flow/name`."""

    deployment: str
    change: Literal["create", "change", "none"]
    settings: list[Setting] = []


def all_described(
    project: Project, wanted: list[Wanted], *, message: str = "", canary: int | None = None
) -> list[Deployment]:
    """The deployments that a file asks for, each under a name of its own.

    Raises:
        ProjectError: As `described`, or two are the same to the server.
    """
    found: dict[tuple[str, str], Wanted] = {}
    made: list[Deployment] = []
    for each in wanted:
        deployment = described(project, each, message=message, canary=canary)
        name = deployment.settings["flow"], deployment.settings["name"]
        if name in found:
            line = project.lines.of(found[name].place)
            raise project.lines.wrong(each.place, f"{'/'.join(name)} is deployed by line {line} already.")
        found[name] = each
        made.append(deployment)
    return made


def chosen(project: Project, names: tuple[str, ...]) -> list[Wanted]:
    """The deployments of these names, which may hold `*` and `?`; all, where none are given.

    Raises:
        ProjectError: The file has none, or none of a name.
    """
    if not project.deployments:
        raise project.lines.wrong("deployments", "There are none yet.")
    for name in names:
        if not any(fnmatchcase(each.text.name, name) for each in project.deployments):
            known = ", ".join(sorted({each.text.name for each in project.deployments})[:20])
            raise ProjectError(f"{project.path} has no deployment {name!r}. It has {known}.")
    if not names:
        return project.deployments
    return [each for each in project.deployments if any(fnmatchcase(each.text.name, name) for name in names)]


def described(project: Project, wanted: Wanted, *, message: str = "", canary: int | None = None) -> Deployment:
    """The deployment that a file asks for: its flow or task is loaded from the directory of the file.

    Raises:
        ProjectError: The code can't be loaded, or a setting does not fit it; the message names the line.
    """
    text = wanted.text
    try:
        found = load(text.entrypoint, project.directory)
        deployment = found.to_deployment(
            text.name,
            work_pool_name=text.work_pool,
            work_queue_name=text.work_queue,
            parameters=text.parameters,
            description=text.description,
            tags=text.tags,
            version=text.version,
            schedules=wanted.schedules,
            concurrency_limit=text.concurrency_limit,
            on_limit=text.on_limit,
            concurrency_key=text.concurrency_key,
            key_slots=text.key_slots,
            crash_retries=text.crash_retries,
            source=_source(wanted.source),
            process=text.process,
            job_variables=text.job_variables,
            debounce=text.debounce,
            canary=canary,
            message=message,
        )
    except LoadError as error:
        raise project.lines.wrong(f"{wanted.place}.entrypoint", str(error)) from error
    except ParameterError as error:
        raise project.lines.wrong(f"{wanted.place}.parameters", str(error)) from error
    except ValueError as error:
        place = next((name for name in DeploymentText.__struct_fields__ if str(error).startswith(name)), "name")
        raise project.lines.wrong(f"{wanted.place}.{place}", str(error)) from error
    deployment.entrypoint = _entrypoint(project, wanted)
    return deployment


def _source(told: dict[str, Any] | None) -> str | CodeSource | None:
    if told is None or told["type"] == "path":
        return None if told is None else told["path"]
    if told["type"] == "remote":
        return RemoteStorage(told["url"], told.get("block"))
    return GitRepository(
        told["url"],
        told.get("credentials"),
        branch=told.get("branch"),
        tag=told.get("tag"),
        commit_sha=told.get("commit"),
        directories=told.get("directories"),
        include_submodules=told.get("submodules", False),
    )


def _entrypoint(project: Project, wanted: Wanted) -> str:
    """Where the flow is in what agents fetch: a repository is fetched from its top."""
    top = top_of(project.directory) if (wanted.source or {}).get("type") == "git" else None
    if top is None or not project.directory.is_relative_to(top.resolve()):
        return wanted.text.entrypoint
    below = project.directory.relative_to(top.resolve()).as_posix()
    return wanted.text.entrypoint if below == "." else f"{below}/{wanted.text.entrypoint}"


def change_of(client: Client, deployment: Deployment) -> Change:
    """What deploying it would change; nothing is uploaded.

    Raises:
        BundleError: The code can't be packed.
        ApiError: The API refused.
    """
    wanted = {**deployment.settings, **place_at(client, deployment)}
    name = f"{wanted['flow']}/{wanted['name']}"
    try:
        present = client.get(f"/deployments/by-name/{quote(wanted['flow'], safe='')}/{quote(wanted['name'], safe='')}")
    except NotFound:
        return Change(name, "create")
    former = present
    if present.get("number"):
        former = client.get(f"/deployments/{present['id']}/versions/{present['number']}")["definition"]
    settings = list(_settings(former, present, wanted))
    return Change(name, "change" if settings else "none", settings)


def _settings(former: dict[str, Any], present: dict[str, Any], wanted: dict[str, Any]) -> Iterator[Setting]:
    names = [name for name in wanted if name in former and name != "schedules"]
    latter = {name: wanted[name] for name in names}
    if "work_queue" in latter:
        latter["work_queue"] = latter["work_queue"] or DEFAULT_QUEUE
    before, after = {name: former[name] for name in names}, latter
    for name in LIMITS:
        if name in present and name in wanted:
            before[name], after[name] = present[name], wanted[name]
    yield from difference(_plain(before), _plain(after), lambda _: None).settings
    if "canary" not in wanted:
        yield from _schedules(present.get("schedules") or [], wanted["schedules"])


def _plain(value: Any) -> Any:
    """JSON knows one kind of numbers."""
    if isinstance(value, dict):
        return {name: _plain(each) for name, each in value.items()}
    if isinstance(value, list | tuple):
        return [_plain(each) for each in value]
    return int(value) if isinstance(value, float) and value.is_integer() else value


def _schedules(present: list[dict[str, Any]], wanted: list[dict[str, Any]]) -> Iterator[Setting]:
    """Those that a deploy would make, change and remove. Whether one is paused is left to people."""
    before = {each["slug"]: _times(each) for each in present if each.get("deployed")}
    after = {each["slug"]: _times(each) for each in wanted if each.get("slug")}
    unnamed = [_times(each) for each in wanted if not each.get("slug")]
    # Who gives no slug has the one of the schedule that it is already, else the next one.
    for slug in [slug for slug in before if slug not in after and before[slug] in unnamed]:
        if before[slug] in unnamed:
            unnamed.remove(before[slug])
            after[slug] = before[slug]
    slugs = (f"default-{number}" if number > 1 else "default" for number in count(1))
    free = [slug for slug in islice(slugs, len(wanted)) if slug not in after]
    after |= dict(zip(free, unnamed, strict=False))
    for slug in sorted({*before, *after}):
        if before.get(slug) != after.get(slug):
            yield Setting(f"schedules.{slug}", before.get(slug), after.get(slug))


def _times(told: dict[str, Any]) -> str:
    facts = from_json({name: value for name, value in told.items() if value not in ("", None)}).to_json()
    return json.dumps(
        {k: v for k, v in facts.items() if k not in ("slug", "active")}, ensure_ascii=False, sort_keys=True
    )
