"""Locks by name: one piece of code at a time, on all machines of a workspace.

Where an API is known the server holds them, and hands each to whoever has waited longest. Without one they are files
below ORCHESTRATOR_HOME, and hold on this machine.
"""

from __future__ import annotations

import hashlib
import os
import time
from collections.abc import AsyncGenerator, Generator
from contextlib import asynccontextmanager, contextmanager

from orchestrator.concurrency.holding import desk_here, held, held_async, new_ask, too_late
from orchestrator.config import current_api, home
from orchestrator.context import current_flow_run
from orchestrator.exceptions import SlotTimeout

FIRST_LOOK, LAST_LOOK = 0.001, 0.05  # seconds between two looks at a file that somebody else has locked


@contextmanager
def lock(
    name: str,
    *,
    timeout_seconds: float | None = None,
    strict: bool = True,
    raise_on_lease_renewal_failure: bool = False,
) -> Generator[None]:
    """Hold the lock of a name. It is no re-entrant one: who holds it already waits for itself.

    Args:
        name: 1 to 500 characters.
        timeout_seconds: How long to wait for it; None: as long as it takes; 0: not at all.
        strict: With False the code goes on without the lock, and a warning, when the server is out of reach.
        raise_on_lease_renewal_failure: Interrupt the code by SlotLost when the lock is lost on the way.

    Raises:
        SlotTimeout: It was not free in time.
        ApiError: The server refused, or was out of reach for a minute.

    >>> from orchestrator.concurrency.locks import lock
    >>> with lock("nightly-export", timeout_seconds=5):
    ...     print("alone")
    alone
    """
    ask = new_ask(name, "lock", 1, timeout_seconds, strict)
    if current_api() is None:
        with _file(name, timeout_seconds):
            yield
        return
    desk = desk_here(strict)
    assert desk is not None
    with held(desk, ask, raise_on_lease_renewal_failure):
        yield


@asynccontextmanager
async def alock(
    name: str,
    *,
    timeout_seconds: float | None = None,
    strict: bool = True,
    raise_on_lease_renewal_failure: bool = False,
) -> AsyncGenerator[None]:
    """Hold the lock of a name in a coroutine: `async with alock("nightly-export"):`. See `lock`."""
    ask = new_ask(name, "lock", 1, timeout_seconds, strict)
    if current_api() is None:
        async with _file_async(name, timeout_seconds):
            yield
        return
    desk = desk_here(strict)
    assert desk is not None
    async with held_async(desk, ask, raise_on_lease_renewal_failure):
        yield


# ── files ────────────────────────────────────────────────────────────────────────────────────────


@contextmanager
def _file(name: str, timeout_seconds: float | None) -> Generator[None]:
    file = _open(name)
    try:
        flow_run = current_flow_run()
        for pause in _looks(name, file, timeout_seconds):
            time.sleep(pause)
            if flow_run is not None:
                flow_run.root.check_stop()
        yield
    finally:
        _close(file)


@asynccontextmanager
async def _file_async(name: str, timeout_seconds: float | None) -> AsyncGenerator[None]:
    import asyncio

    file = _open(name)
    try:
        for pause in _looks(name, file, timeout_seconds):
            await asyncio.sleep(pause)
        yield
    finally:
        _close(file)


def _open(name: str) -> int:
    """The file of a name. It is never removed: whoever waits has it open."""
    directory = home() / "locks"
    directory.mkdir(parents=True, exist_ok=True, mode=0o700)
    path = directory / f"{hashlib.sha256(name.encode()).hexdigest()}.lock"
    return os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)


def _close(file: int) -> None:
    """Unlock a file. A process that was forked meanwhile has it open too, and would hold the lock for as long."""
    import fcntl

    fcntl.flock(file, fcntl.LOCK_UN)
    os.close(file)


def _looks(name: str, file: int, timeout_seconds: float | None) -> Generator[float]:
    """Try to lock a file; give the seconds to wait before the next try until it is ours.

    Raises:
        SlotTimeout: It was not free in time.
    """
    import fcntl

    deadline = None if timeout_seconds is None else time.monotonic() + timeout_seconds
    pause = FIRST_LOOK
    while True:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            left = LAST_LOOK if deadline is None else deadline - time.monotonic()
            if left <= 0:
                raise SlotTimeout(too_late(new_ask(name, "lock", 1, timeout_seconds))) from None
            yield min(pause, left)
            pause = min(LAST_LOOK, pause * 2)
        else:
            return
