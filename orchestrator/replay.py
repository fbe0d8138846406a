"""A run of the server, executed once more on this machine: its parameters, its code, and what it had stored."""

from __future__ import annotations

import asyncio
import inspect
from collections.abc import Generator, Iterable, Iterator, Mapping
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import unquote, urlsplit
from uuid import UUID

from orchestrator import journal
from orchestrator.client import Client
from orchestrator.exceptions import LoadError
from orchestrator.loading import load
from orchestrator.masking import MASK

LOOKED_AT = 1_000  # task runs
_CUT = "…"  # what stands for parameters that were too large to be kept


@dataclass(frozen=True, slots=True)
class Former:
    """A run that has ended, as the server tells of it."""

    id: UUID
    name: str
    flow: str
    state: str
    parameters: Mapping[str, Any]
    deployment: str | None
    replay_root: UUID


def fetch(client: Client, run_id: str) -> Former:
    """What the server knows of a run.

    Raises:
        ValueError: It was called by another run, in whose process it has to be executed.
    """
    told = client.get(f"/flow-runs/{run_id}")
    if told["root"] != told["id"]:
        raise ValueError(f"{told['name']} was called by another run. Replay that one: {told['root']}.")
    return Former(
        id=UUID(told["id"]),
        name=told["name"],
        flow=told["flow"],
        state=told["state"]["name"],
        parameters=told["parameters"],
        deployment=told["deployment"],
        replay_root=UUID(told["replay_root"] or told["id"]),
    )


def parameters_of(former: Former, given: Mapping[str, Any]) -> dict[str, Any]:
    """The parameters to call the flow with: the run's, and over them what is given.

    Raises:
        ValueError: One is not what the run had, and none is given in its place.
    """
    found = {**former.parameters, **given}
    if _CUT in found:
        raise ValueError("The parameters of this run were too large to be kept. Give all of them: -p name=value.")
    for name, value in found.items():
        if name not in given and _is_masked(value):
            raise ValueError(f"A secret was masked in the parameter {name!r}. Give it again: -p {name}=value.")
    return found


def _is_masked(value: Any) -> bool:
    if isinstance(value, Mapping):
        return any(_is_masked(part) for part in value.values())
    if isinstance(value, list):
        return any(_is_masked(part) for part in value)
    return isinstance(value, str) and MASK in value


def code_of(former: Former, client: Client, entrypoint: str | None) -> Any:
    """The flow, from a file of this machine, else from what its deployment was made of.

    Raises:
        LoadError: It isn't there, or can't be loaded.
    """
    if entrypoint:
        path, colon, name = entrypoint.rpartition(":")
        if not colon or not path:
            raise LoadError(f"An entrypoint is path/to/file.py:flow, not {entrypoint!r}.")
        return load(f"{Path(path).name}:{name}", Path(path).resolve().parent)
    if former.deployment is None:
        raise LoadError(f"{former.name} was called by hand. Say where its flow is: --entrypoint path/to/file.py:flow.")
    from orchestrator.agent.places import place_of

    flow, _, name = former.deployment.rpartition("/")
    deployment = client.get(f"/deployments/by-name/{flow}/{name}")
    return load(deployment["entrypoint"], place_of(deployment["source"], client).directory)


@dataclass(frozen=True, slots=True)
class Values:
    """How many calls of a run have a stored value, and addresses of such as this machine doesn't have."""

    stored: int
    elsewhere: list[str]


def values_of(former: Former, client: Client) -> Values:
    """Look what was stored. Of files it is looked whether they are here, for the first 1,000 task runs."""
    plan = client.get(f"/flow-runs/{former.id}/retry")
    tasks = client.pages(f"/flow-runs/{former.id}/task-runs", LOOKED_AT)
    return Values(plan["reasons"].get("stored", 0), list(_elsewhere(tasks)))


def _elsewhere(tasks: Iterable[Mapping[str, Any]]) -> Iterator[str]:
    for task in tasks:
        url = (task.get("result") or {}).get("url", "")
        parts = urlsplit(url)
        if parts.scheme == "file" and not Path(unquote(parts.path)).exists():
            yield url


def execute(flow: Any, parameters: Mapping[str, Any], former: Former, *, attach: bool) -> Any:
    """Call the flow, with what was stored replayed. Detached, the server hears nothing of it, and nothing is stored."""
    from orchestrator.results import replaying

    with ExitStack() as around:
        around.enter_context(replaying(former.replay_root, store=attach))
        if not attach:
            around.enter_context(_detached())
        value = flow(**parameters)
        return asyncio.run(value) if inspect.iscoroutine(value) else value


@contextmanager
def _detached() -> Generator[None]:
    before = journal.divert(lambda root: None)
    try:
        yield
    finally:
        journal.divert(before)
