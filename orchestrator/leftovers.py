"""Stored arguments of calls of which no run is left, removed by those who can reach them.

Of such arguments the server knows only where they are. So a process that stores some, or serves a task, looks after the
storage once a day, in a thread of its own: it asks the server which calls are needed, and deletes the arguments of the
others. Whatever goes wrong there is left to the next day; nobody's call waits for it, or fails.
"""

from __future__ import annotations

import threading
import time
from typing import TYPE_CHECKING

from orchestrator import clock, references
from orchestrator.client import shared
from orchestrator.exceptions import MissingResult
from orchestrator.exchange import exchange_at
from orchestrator.logging import get_logger

if TYPE_CHECKING:
    from collections.abc import Iterable

    from orchestrator.config import Api
    from orchestrator.results import ResultStore

DAY = 86_400.0  # seconds: arguments that are younger may be of a call that is on its way to the server
AT_ONCE = 1_000  # calls that are asked about
_MARK = "looked"

_next: dict[tuple[str, Api], float] = {}  # when this process looks after a storage again, by the monotonic clock
_lock = threading.Lock()


def remove_soon(store: ResultStore, api: Api) -> None:
    """Remove what is not needed in a thread of its own, if that is due; a server in memory is gone before."""
    if exchange_at(api.url) is not None:
        return
    with _lock:
        key = (store.storage.url(references.ARGUMENTS), api)
        if time.monotonic() < _next.get(key, 0.0):
            return
        _next[key] = time.monotonic() + DAY
    threading.Thread(target=_look, args=(store, api), name="orchestrator-leftovers", daemon=True).start()


def _look(store: ResultStore, api: Api) -> None:
    try:
        folder = references.folder_of(api)
        if _is_due(store, folder + _MARK):
            store.write(folder + _MARK, None)
            remove(store, api)
    except NotImplementedError:
        pass  # It can't list, or can't delete: it keeps what it has, or lets it go by itself.
    except Exception as error:  # Of the storage, the network, the server.
        get_logger("results").debug("Arguments that nobody needs were not removed: %r", error)


def _is_due(store: ResultStore, mark: str) -> bool:
    """Whether no process has looked within a day."""
    try:
        return clock.now() - store.header(mark).created >= DAY * 1e6
    except MissingResult:
        return True


def remove(store: ResultStore, api: Api) -> int:
    """Delete the arguments of calls of which no run is left; how many there were.

    Raises:
        ApiError: The server can't say which are needed.
        NotImplementedError: The storage can't list, or can't delete.
        OSError: It is out of reach.
    """
    before, removed = time.time() - DAY, 0
    calls: dict[str, list[str]] = {}
    for each in store.storage.list(references.folder_of(api)):
        call, dot, _ = each.path.rpartition("/")[2].partition(".")
        if dot and each.written < before:
            calls.setdefault(call, []).append(each.path)
        if len(calls) == AT_ONCE:
            removed += _remove_unneeded(store, api, calls)
            calls = {}
    return removed + _remove_unneeded(store, api, calls)


def _remove_unneeded(store: ResultStore, api: Api, calls: dict[str, list[str]]) -> int:
    if not calls:
        return 0
    needed = set(shared(api).post("/background-runs/arguments", {"calls": list(calls)}, again=True)["needed"])
    return _delete(store, (path for call, paths in calls.items() if call not in needed for path in paths))


def _delete(store: ResultStore, paths: Iterable[str]) -> int:
    return sum(store.storage.delete(path) for path in paths)
