"""Where a thread, or a coroutine, waits for what a doorbell brings. It is left at once when the run is to stop."""

from __future__ import annotations

import contextlib
import threading
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from orchestrator.engine.doorbell import Waiter
    from orchestrator.engine.flow_run import FlowRun


def wait(run: FlowRun, waiter: Waiter, timeout: float | None) -> Any:
    """Wait in this thread; what the waiter found, None when the time is over."""
    event = threading.Event()
    waiter.woken = event.set
    waiters = run.root.stopping_state.waiters
    waiters.add(event)
    try:
        run.check_stop()
        waiter.look_first()
        if not waiter.is_done:
            event.wait(timeout)
        run.check_stop()
    finally:
        waiters.discard(event)
    return waiter.outcome()


async def wait_async(waiter: Waiter, timeout: float | None) -> Any:
    """What `wait` does, for a coroutine: told to stop, it is cancelled."""
    import asyncio

    event, loop = asyncio.Event(), asyncio.get_running_loop()

    def woken() -> None:
        with contextlib.suppress(RuntimeError):  # The loop is closed: nobody waits any more.
            loop.call_soon_threadsafe(event.set)

    waiter.woken = woken
    if waiter.is_new:
        await asyncio.to_thread(waiter.look_first)
    if not waiter.is_done:
        with contextlib.suppress(TimeoutError):
            await asyncio.wait_for(event.wait(), timeout)
    return waiter.outcome()
