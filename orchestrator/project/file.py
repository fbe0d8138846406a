"""What stands in `orchestrator.yaml`, checked as far as it can be without the code and the server."""

from __future__ import annotations

import os
import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal, TypeVar

import msgspec

from orchestrator.code_sources import wrong_in_source
from orchestrator.project.lines import Lines, read_yaml
from orchestrator.schedules import MAX_SCHEDULES, Schedule, from_json

NAME = "orchestrator.yaml"
MAX_DEPLOYMENTS = 1_000
_ENTRYPOINT = re.compile(r"[^:]+\.py:\w+(\.\w+)*")
_PLACE = re.compile(r"^(?P<what>.*?)(?: - at `(?:key in )?\$\.?(?P<path>.*?)`)?$", re.DOTALL)
_UNKNOWN = re.compile(r"unknown field `(?P<name>.*)`")
T = TypeVar("T")


class GitText(msgspec.Struct, forbid_unknown_fields=True):
    """A repository from which agents take the code: at one of branch, tag and commit, or its default branch."""

    url: str
    branch: str | None = None
    tag: str | None = None
    commit: str | None = None
    credentials: str | None = None
    directories: list[str] | None = None
    submodules: bool = False


class RemoteText(msgspec.Struct, forbid_unknown_fields=True):
    """A folder of a bucket, or of whatever fsspec has an address for."""

    url: str
    block: str | None = None


class SourceText(msgspec.Struct, forbid_unknown_fields=True):
    """Where agents find the code: one of these. Without any it is packed into a bundle, and uploaded."""

    git: GitText | None = None
    remote: RemoteText | None = None
    path: str | None = None
    bundle: bool | None = None


class ScheduleText(msgspec.Struct, forbid_unknown_fields=True):
    """When it runs by itself: one of `cron`, `interval` in seconds and `rrule`, and what all schedules may say."""

    cron: str | None = None
    day_or: bool | None = None
    interval: float | None = None
    anchor: str | None = None
    rrule: str | None = None
    timezone: str | None = None
    slug: str | None = None
    parameters: dict[str, Any] | None = None
    active: bool | None = None
    catch_up: str | None = None
    catch_up_max: int | None = None
    skip_if_late: float | None = None


class DeploymentText(msgspec.Struct, forbid_unknown_fields=True):
    """A deployment: `name`, the `entrypoint` of a flow or task, and what `flow.deploy(…)` takes."""

    name: str
    entrypoint: str
    description: str | None = None
    version: str | None = None
    tags: list[str] = []
    parameters: dict[str, Any] = {}
    work_pool: str = "default"
    work_queue: str | None = None
    schedules: list[Any] = []
    concurrency_limit: int | None = None
    on_limit: str = "ENQUEUE"
    concurrency_key: str = ""
    key_slots: int | None = None
    crash_retries: int | None = None
    process: Literal["warm", "fresh", "reuse"] = "warm"
    job_variables: dict[str, Any] = {}
    debounce: float | None = None
    source: Any = None


class ProjectText(msgspec.Struct, forbid_unknown_fields=True):
    """The whole file. `source` holds for all deployments that name none of their own."""

    deployments: list[Any]
    source: Any = None


@dataclass(frozen=True, slots=True)
class Wanted:
    """A deployment as the file asks for it. `source` is as the API takes it; None for a bundle, still to be packed."""

    place: str
    text: DeploymentText
    schedules: list[Schedule]
    source: dict[str, Any] | None


@dataclass(frozen=True, slots=True)
class Project:
    """What a file says, and on which lines."""

    path: Path
    deployments: list[Wanted]
    lines: Lines

    @property
    def directory(self) -> Path:
        """Where its entrypoints are found."""
        return self.path.resolve().parent


def read(path: str | os.PathLike[str], variables: Mapping[str, str] | None = None) -> Project:
    """Read a project's file.

    Args:
        variables: What `${NAME}` stands for; the environment by default.

    Raises:
        ProjectError: It isn't there, or says what can't be; the message names the line.
    """
    path = Path(path)
    value, lines = read_yaml(path, os.environ if variables is None else variables)
    text = _converted(value, ProjectText, "", lines)
    if len(text.deployments) > MAX_DEPLOYMENTS:
        raise lines.wrong("deployments", f"{MAX_DEPLOYMENTS:,} at most.")
    common = _source(text.source, "source", lines)
    wanted = [_wanted(each, f"deployments[{n}]", common, lines) for n, each in enumerate(text.deployments)]
    seen: dict[tuple[str, str], str] = {}
    for each in wanted:
        key = each.text.entrypoint, each.text.name
        if key in seen:
            raise lines.wrong(f"{each.place}.name", f"The deployment of line {lines.of(seen[key])} has the same one.")
        seen[key] = each.place
    return Project(path, wanted, lines)


def _wanted(value: Any, place: str, common: dict[str, Any] | None, lines: Lines) -> Wanted:
    text = _converted(value, DeploymentText, place, lines)
    if not _ENTRYPOINT.fullmatch(text.entrypoint):
        raise lines.wrong(f"{place}.entrypoint", "A file and a name, like flows/etl.py:etl.")
    if Path(text.entrypoint).is_absolute() or ".." in Path(text.entrypoint).parts:
        raise lines.wrong(f"{place}.entrypoint", "A file of the directory that this file is in, or below it.")
    if not text.name or "/" in text.name:
        raise lines.wrong(f"{place}.name", "A name is a text without '/'.")
    if len(text.schedules) > MAX_SCHEDULES:
        raise lines.wrong(f"{place}.schedules", f"{MAX_SCHEDULES} at most.")
    schedules = [_schedule(each, f"{place}.schedules[{n}]", lines) for n, each in enumerate(text.schedules)]
    source = common if text.source is None else _source(text.source, f"{place}.source", lines)
    return Wanted(place, text, schedules, source)


def _schedule(value: Any, place: str, lines: Lines) -> Schedule:
    told = _converted(value, ScheduleText, place, lines)
    if sum(each is not None for each in (told.cron, told.interval, told.rrule)) != 1:
        raise lines.wrong(place, "Give one of cron, interval and rrule.")
    try:
        return from_json({name: each for name, each in msgspec.structs.asdict(told).items() if each is not None})
    except ValueError as error:
        raise lines.wrong(place, str(error)) from None


def _source(value: Any, place: str, lines: Lines) -> dict[str, Any] | None:
    """The source as the API takes it; None for a bundle."""
    if value is None:
        return None
    told = _converted(value, SourceText, place, lines)
    given = [name for name in ("git", "remote", "path", "bundle") if getattr(told, name)]
    if len(given) != 1:
        raise lines.wrong(place, "Give one of git, remote, path and bundle.")
    if told.bundle:
        return None
    if told.path is not None:
        return {"type": "path", "path": str((lines.path.resolve().parent / told.path).resolve())}
    named = {name: each for name, each in msgspec.structs.asdict(told.git or told.remote or told).items() if each}
    source = {"type": given[0], **named}
    for field, what in wrong_in_source(source).items():
        raise lines.wrong(field.replace("source", f"{place}.{given[0]}", 1), what)
    return source


def _converted(value: Any, kind: type[T], place: str, lines: Lines) -> T:
    """A value as what it should be. What comes from a variable is a text, where a number may be wanted."""
    try:
        return msgspec.convert({} if value is None else value, kind, strict=False)
    except msgspec.ValidationError as error:
        match = _PLACE.match(str(error))
        what, path = (match["what"], match["path"] or "") if match else (str(error), "")
        if unknown := _UNKNOWN.search(what):
            path, what = f"{path}.{unknown['name']}", f"There is no such setting: {unknown['name']}."
        at = ".".join(part for part in (place, path.strip(".").partition("[")[0]) if part)
        raise lines.wrong(at, what if what.endswith(".") else f"{what}.") from None
