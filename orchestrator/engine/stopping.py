"""How an execution is told to stop: by a cancel, by SIGTERM, because another attempt took over, because the agent died.

The reason is raised once in user code, in each thread that runs some of it:

- in the main thread through a SIGTERM handler, which also ends `time.sleep` and waits on locks;
- in another thread as an asynchronous exception, which takes effect at the next bytecode, so not within a C call;
- in a coroutine by cancelling its asyncio task.

A signal that arrives while the engine itself is at work waits for the engine's next checkpoint.
"""

from __future__ import annotations

import contextlib
import os
import signal
import sys
import threading
from typing import TYPE_CHECKING, Any

from orchestrator.engine.interrupts import finalizes, takes_job
from orchestrator.exceptions import RunCancelled, RunStopped, RunSuperseded, RunTerminated

if TYPE_CHECKING:
    from types import FrameType

    from orchestrator.engine.doorbell import Doorbell
    from orchestrator.engine.flow_run import FlowRun

_PACKAGE = os.path.dirname(os.path.dirname(__file__)) + os.sep
# Where the main thread of an execution is in user code, or waits on its behalf.
_INTERRUPTIBLE = tuple(
    _PACKAGE + name
    for name in (
        "engine/effects.py",
        "engine/waiting.py",
        "engine/timeouts.py",
        "clock.py",
        "concurrency",
        "futures.py",
        "task_runners",
        "deployments.py",
    )
)


class Stopping:
    """What one execution knows about its end from outside."""

    __slots__ = (
        "_delivered",
        "_former",
        "_loop",
        "_root",
        "_task",
        "_thread",
        "bell",
        "event",
        "muted",
        "places",
        "reason",
        "resumed",
        "resumed_heard",
        "superseded",
        "waiters",
        "wish",
        "wishes",
    )

    def __init__(self, root: FlowRun) -> None:
        self.reason: RunStopped | None = None
        self.event = threading.Event()
        self.muted = False  # True once the server no longer wants to hear of the run's state.
        self.superseded = False  # True once another attempt holds the run.
        self.wish: str | None = None  # `pause` or `suspend`: what somebody outside asks for.
        self.wishes = 0  # How many of them were fulfilled.
        self.resumed = 0  # How often the execution has gone on after a pause,
        self.resumed_heard = 0  # and how often the server has heard so.
        self.waiters: set[threading.Event] = set()  # Who is to be woken by the end.
        self.places: set[str] = set()  # Where this execution has asked people.
        self.bell: Doorbell | None = None
        self._root = root
        self._delivered: set[int] = set()
        self._thread = 0
        self._loop: Any = None
        self._task: Any = None
        self._former: Any = None

    def arm(self) -> None:
        """Begin to listen: called in the thread, or the asyncio task, that runs the flow."""
        self._thread = threading.get_ident()
        if self._root.definition.is_async:
            import asyncio

            with contextlib.suppress(RuntimeError):  # No loop: hooks of an async flow that is gone.
                self._loop = asyncio.get_running_loop()
                self._task = asyncio.current_task()
        if threading.current_thread() is threading.main_thread() and signal.getsignal(signal.SIGTERM) is signal.SIG_DFL:
            self._former = signal.signal(signal.SIGTERM, self._on_sigterm)
        if self.reason is not None:
            self._wake()

    def disarm(self) -> None:
        """Listen no more."""
        if self._former is not None:
            signal.signal(signal.SIGTERM, self._former)
            self._former = None
        self._thread, self._loop, self._task = 0, None, None

    def signalled(self, word: str) -> None:
        """Do what the server asks (`cancel`, `pause`, `suspend`, `superseded`, `over`), or the agent: `unreachable`.

        From any thread.
        """
        if word == "cancel":
            self.stop(RunCancelled())
        elif word == "superseded":
            self.stop(RunSuperseded())
        elif word == "unreachable":
            self.stop(RunTerminated("The server was out of reach for so long that another attempt may begin."))
        elif word == "over":
            self.muted = True
        elif word in {"pause", "suspend"} and not self._root.waits and self.resumed == self.resumed_heard:
            self.wish = word  # One that comes before the server knows of the pause's end is from before the pause.

    def stop(self, reason: RunStopped) -> None:
        """Stop the execution for this reason. The first reason counts, but being superseded overrides."""
        if isinstance(reason, RunSuperseded):
            self.muted = self.superseded = True
        if self.reason is not None:
            return
        self.reason = reason
        self.event.set()
        for waiter in list(self.waiters):
            waiter.set()
        self._wake()

    def _wake(self) -> None:
        if self._task is not None:
            self._loop.call_soon_threadsafe(self._task.cancel)
        elif self._former is not None:
            signal.pthread_kill(self._thread, signal.SIGTERM)
        elif self._thread:
            from orchestrator.engine.interrupts import raise_in_thread

            raise_in_thread(self._thread, type(self.reason or RunTerminated()))

    def _on_sigterm(self, number: int, frame: FrameType | None) -> None:
        if self.reason is None:
            self.reason = RunTerminated()
            self.event.set()
        if self._task is not None:
            self._loop.call_soon_threadsafe(self._task.cancel)
        elif _interruptible(frame):
            self.deliver()

    @property
    def is_own_thread(self) -> bool:
        """True in the thread that runs the flow at the top."""
        return threading.get_ident() == self._thread

    def deliver(self) -> None:
        """Raise the reason, if this thread has not seen it yet: what cleans up afterwards may call tasks."""
        thread = threading.get_ident()
        if self.reason is None or thread in self._delivered or self._task is not None:
            return
        self._delivered.add(thread)
        raise self.reason


def _interruptible(frame: FrameType | None) -> bool:
    """True when the innermost frame of ours is one that calls, or waits for, user code."""
    while frame is not None:
        name = frame.f_code.co_filename
        if finalizes(frame):
            return False
        if name.startswith(_PACKAGE):
            return name.startswith(_INTERRUPTIBLE) and not takes_job(frame)
        frame = frame.f_back
    return not sys.is_finalizing()
