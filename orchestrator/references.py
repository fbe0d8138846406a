"""Values that go from process to process by the result storage; of them the server knows only where they are.

Who reads a value unpickles it, so nobody is led to a storage: each side reads from the one that it is told of by its
own code and settings, and an address that isn't there is refused.
"""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, Any

from orchestrator.exceptions import MissingResult

if TYPE_CHECKING:
    from orchestrator.config import Api
    from orchestrator.engine.definition import Definition
    from orchestrator.results import ResultStore, StoredValue

ARGUMENTS = "calls/"
"""Where the arguments of calls are."""

_workspaces: dict[Api, str] = {}


def folder_of(api: Api) -> str:
    """Where those of a workspace's calls are: several may share a storage, and each removes its own.

    Raises:
        ApiError: The server, which says what workspace this is, is away.
    """
    if api not in _workspaces:
        from orchestrator.client import shared

        _workspaces[api] = str(shared(api).get("/me")["workspace_id"])
    return f"{ARGUMENTS}{_workspaces[api]}/"


def store_of(definition: Definition[..., Any] | None, storage: Any = None) -> ResultStore:
    """Where this process keeps the values of a task, or of any one."""
    from orchestrator.results import get_result_store

    own = getattr(definition, "result_storage", None) if storage is None else storage
    return get_result_store(own, getattr(definition, "result_serializer", None))


def put(definition: Definition[..., Any], values: dict[str, Any], api: Api) -> dict[str, Any]:
    """Store arguments of one call: what the call tells of them, by which they are found, and known not to be needed.

    Raises:
        ApiError: The server, which says what workspace this is, is away.
        ResultNotStored: One can't be.
    """
    from orchestrator.leftovers import remove_soon
    from orchestrator.results import Header

    store, call = store_of(definition), os.urandom(16).hex()
    told, folder = {}, folder_of(api)
    for number, (name, value) in enumerate(values.items()):
        path = f"{folder}{call}.{number}"  # Names of keyword arguments may be anything.
        stored = store.write(path, value, Header(call=path, of=definition.name))
        told[name] = {"url": stored.url, "key": stored.key, "serializer": stored.serializer, "size": stored.size}
    remove_soon(store, api)
    return {"stored": told, "arguments": call}


def get(definition: Definition[..., Any], told: dict[str, dict[str, Any]]) -> dict[str, Any]:
    """Read the arguments of a call.

    Raises:
        MissingResult: One isn't where this process keeps values.
    """
    store, values = store_of(definition), {}
    for name, each in told.items():
        key = str(each.get("key"))
        if not key.startswith(ARGUMENTS):
            raise MissingResult(f"The argument {name!r} is no stored argument: {key!r:.200}.")
        _check_place(store, each, f"The argument {name!r}")
        value, header = store.read(key)
        if header.call != key:
            raise MissingResult(f"At {store.storage.url(key)} is something else than the argument {name!r}.")
        values[name] = value
    return values


def value_at(store: ResultStore, told: dict[str, Any]) -> StoredValue:
    """Stands for the value of a run, which is read when it is asked for.

    Raises:
        MissingResult: It isn't where this process keeps values.
    """
    from orchestrator.results import Stored, StoredValue

    _check_place(store, told, "The value of this run")
    stored = Stored(told["url"], told["key"], told.get("serializer") or "", told.get("size"), told.get("expires"))
    return StoredValue(store, stored)


def _check_place(store: ResultStore, told: dict[str, Any], what: str) -> None:
    here = store.storage.url(str(told.get("key")))
    if here != told.get("url"):
        raise MissingResult(
            f"{what} was stored at {told.get('url')}; this process looks for it at {here}. Give both one storage:"
            " result_storage=… of the task, or ORCHESTRATOR_RESULTS_STORAGE."
        )
