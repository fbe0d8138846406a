"""The run journal: everything that a run has to tell, appended in microseconds, kept in a file, shipped in batches.

    records.py    what user threads append: light objects, taken as they are
    stream.py     one writer of one execution: numbers its entries, knows which tasks are open
    hub.py        one per API: the queue, and the thread that turns records into lines of files
    shipper.py    the thread that sends what the files hold, and hears acks and signals
    file.py       unacked entries on disk
    recovery.py   files that dead processes left behind

Without a known API nothing of this is loaded but this module.
"""

from __future__ import annotations

import os
import time
from typing import TYPE_CHECKING, Any

from orchestrator import clock
from orchestrator.config import Api, current_api

if TYPE_CHECKING:
    from orchestrator.engine.flow_run import FlowRun
    from orchestrator.journal.hub import Hub
    from orchestrator.journal.stream import Stream

_hubs: dict[Api, Hub] = {}
_diversion: Any = None


def attach(root: FlowRun) -> Stream | None:
    """Open the stream of an execution, if there is anybody to tell. No I/O happens here."""
    if _diversion is not None:
        return _diversion(root)
    api = current_api()
    if api is None:
        return None
    execution = root.execution
    token = execution.token if execution is not None else os.urandom(24).hex()
    hub = hub_of(api)
    if not hub.streams:
        clock.set_anew()
    return hub.open(
        root=root.id,
        attempt=root.attempt,
        writer=execution.writer if execution is not None else 0,
        token=token,
        stopping=root.stopping_state,
        local=execution is None,
    )


def divert(to: Any) -> Any:
    """Send streams elsewhere: `to(root)` makes them. For tests; returns what was there before."""
    global _diversion
    before, _diversion = _diversion, to
    return before


def hub_of(api: Api) -> Hub:
    """The one hub of this process for an API."""
    hub = _hubs.get(api)
    if hub is None:
        from orchestrator.journal.hub import Hub

        hub = _hubs.setdefault(api, Hub(api))
    return hub


def flush(timeout: float = 30.0) -> bool:
    """Wait until the server has received everything told so far; False when that took too long.

    Args:
        timeout: Seconds, for all of it.
    """
    until = time.monotonic() + timeout
    through = [hub.flush(max(0.1, until - time.monotonic())) for hub in list(_hubs.values())]
    return all(through)


def end() -> None:
    """Send everything told so far, as the end of a process does, and let go of it. What is left is in files."""
    for hub in list(_hubs.values()):
        hub.end()
    _hubs.clear()


def leave(api: Api) -> None:
    """Do so for one API."""
    hub = _hubs.pop(api, None)
    if hub is not None:
        hub.end()


def _forget_after_fork() -> None:
    """A forked process starts with no writer: the streams belong to its parent."""
    for hub in _hubs.values():
        hub.abandon()
    _hubs.clear()


os.register_at_fork(after_in_child=_forget_after_fork)
