"""From an ask to slots that are held, an exception or a warning; and what becomes of code whose slots are lost."""

from __future__ import annotations

import os
import socket
import sys
import threading
import time
from collections.abc import AsyncGenerator, Generator, Sequence
from contextlib import asynccontextmanager, contextmanager, suppress
from typing import TYPE_CHECKING, Any

from orchestrator import clock
from orchestrator.concurrency.asks import Ask
from orchestrator.config import current_api
from orchestrator.context import current_flow_run, current_task_run
from orchestrator.exceptions import NotConfigured, SlotLost, SlotTimeout
from orchestrator.logging import get_logger

if TYPE_CHECKING:
    from orchestrator.concurrency.desk import Desk

SLICE = 0.5  # seconds; who waits this long looks whether its run was told to stop
_said: set[str] = set()


def desk_here(strict: bool) -> Desk | None:
    """Where this code asks for slots; None where nobody can be asked, and that is fine.

    Raises:
        NotConfigured: No API is known, with `strict`.
    """
    api = current_api()
    if api is None:
        if strict:
            raise NotConfigured
        say_once("No API is known: nothing limits this code. Run `orchestrator login`.")
        return None
    from orchestrator.concurrency.desk import desk_of

    return desk_of(api)


def new_ask(
    names: str | Sequence[str], kind: str, occupy: int, timeout_seconds: float | None, strict: bool = False
) -> Ask:
    """An ask of the code here, checked.

    Raises:
        ValueError: It can't be asked.
    """
    from orchestrator.slot_bodies import wrong_of_ask

    wanted = [names] if isinstance(names, str) else list(names)
    ask = Ask(wanted, kind=kind, occupy=occupy, within=timeout_seconds, strict=strict)
    if wrong := wrong_of_ask(ask):
        [(field, text), *_] = wrong.items()
        raise ValueError(f"{'timeout_seconds' if field == 'within' else field}: {text}")
    flow_run, task_run = current_flow_run(), current_task_run()
    if flow_run is not None and flow_run.root.stream is not None:
        ask.run = flow_run.root.id
    if task_run is not None:
        ask.label = task_run.name
    elif flow_run is None:
        ask.label = f"{os.path.basename(sys.argv[0]) or 'python'} on {socket.gethostname()}, process {os.getpid()}"
    return ask


# ── to hold ──────────────────────────────────────────────────────────────────────────────────────


@contextmanager
def held(desk: Desk, ask: Ask, interrupt: bool) -> Generator[None]:
    """Take what is asked for, hold it while the block runs, and give it back, whatever becomes of it.

    Args:
        interrupt: End the block by SlotLost when the slots are lost on the way; else the log says so.
    """
    try:
        take(desk, ask)
        with watched(ask, interrupt):
            yield
    finally:
        desk.give_back(ask)


@asynccontextmanager
async def held_async(desk: Desk, ask: Ask, interrupt: bool) -> AsyncGenerator[None]:
    """The same in a coroutine."""
    try:
        await take_async(desk, ask)
        with WatchedAsync(ask, interrupt):
            yield
    finally:
        desk.give_back(ask)


# ── to wait ──────────────────────────────────────────────────────────────────────────────────────


def take(desk: Desk, ask: Ask) -> None:
    """Ask, and wait in this thread. Whatever comes of it: give the ask back afterwards.

    Raises:
        SlotTimeout: No slot was free in time.
        SlotError: There will be none.
        ApiError: The server refused, or was out of reach for too long.
    """
    desk.ask(ask)
    deadline = None if not ask.within else time.monotonic() + ask.within
    flow_run = current_flow_run()
    while not ask.wait(SLICE if deadline is None else max(0.0, min(SLICE, deadline - time.monotonic()))):
        if flow_run is not None:
            flow_run.root.check_stop()
        if deadline is not None and time.monotonic() >= deadline:
            raise SlotTimeout(too_late(ask))
    judge(ask)
    if ask.seconds:
        clock.sleep(ask.seconds, flow_run.root.stopping_state.event if flow_run is not None else None)
        if flow_run is not None:
            flow_run.root.check_stop()


async def take_async(desk: Desk, ask: Ask) -> None:
    """The same in a coroutine."""
    import asyncio

    loop = asyncio.get_running_loop()
    settled: asyncio.Future[None] = loop.create_future()

    def wake() -> None:
        if not settled.done():
            settled.set_result(None)

    def tell() -> None:
        with suppress(RuntimeError):  # The loop is closed: nobody waits any more.
            loop.call_soon_threadsafe(wake)

    desk.ask(ask)
    ask.when_settled(tell)
    try:
        async with asyncio.timeout(ask.within or None):
            await settled
    except TimeoutError:
        raise SlotTimeout(too_late(ask)) from None
    judge(ask)
    if ask.seconds:
        await clock.sleep_async(ask.seconds)


def judge(ask: Ask) -> None:
    """Raise what kept it from being held; warn of what it goes on without."""
    if isinstance(ask.error, SlotTimeout):
        raise SlotTimeout(too_late(ask))
    if ask.error is not None:
        raise ask.error
    if ask.unguarded:
        say(f"The server is out of reach: this goes on without slots of {named(ask)}.")
    if ask.unknown and ask.kind != "lock":
        say_once(f"There is no limit {', '.join(ask.unknown)} in this workspace: nothing is limited by it.")


def too_late(ask: Ask) -> str:
    """What a SlotTimeout says."""
    if ask.kind == "rate":
        return f"It would be the turn of this code for {named(ask)} only after {ask.within:g} s."
    return f"{ask.occupy if ask.kind != 'lock' else 'The lock'} of {named(ask)} was not free within {ask.within:g} s."


def named(ask: Ask) -> str:
    """The names that it asks for, for people."""
    return ", ".join(ask.names)


# ── to lose ──────────────────────────────────────────────────────────────────────────────────────


@contextmanager
def watched(ask: Ask, interrupt: bool) -> Generator[None]:
    """While this thread holds slots: say that they are lost, or interrupt what it does.

    Raises:
        SlotLost: They were lost, with `interrupt`.
    """
    thread = threading.get_ident()

    def end() -> None:
        from orchestrator.engine.interrupts import raise_in_thread

        raise_in_thread(thread, SlotLost)

    ask.on_lost = end if interrupt else lambda: say(lost(ask))
    seen = False
    try:
        yield
    except SlotLost:
        seen = True
        raise
    finally:
        ask.on_lost = None
        if interrupt and ask.lost and not seen:
            from orchestrator.engine.interrupts import take_back

            take_back(thread)
    if interrupt and ask.lost:
        raise SlotLost(lost(ask))


class WatchedAsync:
    """The same in a coroutine: its asyncio task is cancelled."""

    def __init__(self, ask: Ask, interrupt: bool) -> None:
        self._ask, self._interrupt = ask, interrupt

    def __enter__(self) -> None:
        import asyncio

        loop, task = asyncio.get_running_loop(), asyncio.current_task()
        if self._interrupt and task is not None:
            self._task = task

            def end() -> None:
                with suppress(RuntimeError):  # The loop is closed, and the task with it.
                    loop.call_soon_threadsafe(task.cancel)

            self._ask.on_lost = end
        else:
            self._ask.on_lost = lambda: say(lost(self._ask))

    def __exit__(self, kind: type[BaseException] | None, *_: Any) -> None:
        import asyncio

        self._ask.on_lost = None
        if not (self._interrupt and self._ask.lost):
            return
        if kind is asyncio.CancelledError:
            self._task.uncancel()
        if kind is None or kind is asyncio.CancelledError:
            raise SlotLost(lost(self._ask)) from None


def lost(ask: Ask) -> str:
    """What is said of slots that were held."""
    what = "The lock" if ask.kind == "lock" else "The slots"
    return f"{what} of {named(ask)} was lost: nothing was heard of this process for too long, or somebody took it away."


def say(text: str) -> None:
    """Warn in the log of the run here, if there is one."""
    get_logger("concurrency").warning(text)


def say_once(text: str) -> None:
    """Warn once in this process."""
    if text not in _said:
        _said.add(text)
        say(text)
