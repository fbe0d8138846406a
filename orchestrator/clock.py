"""What time it is, and how to let time pass: the one source for all that runs tell, and for what they wait.

Tests take it into their own hands (`orchestrator.testing.time_control`). So callers look names up here each time,
`clock.time_ns()`, which costs a task nothing.
"""

from __future__ import annotations

import time
from functools import cache, partial
from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    import threading


class Source(Protocol):
    """Somebody who says what time it is."""

    def time_ns(self) -> int:
        """Nanoseconds UTC."""
        ...

    def sleep(self, seconds: float) -> None:
        """Let time pass, because a run waits for it."""
        ...


# A clock that nobody sets, and that goes on while the machine sleeps: Linux stops its monotonic one for that time.
_STEADY: int | None = getattr(time, "CLOCK_BOOTTIME", getattr(time, "CLOCK_MONOTONIC", None))
_steady_ns = time.monotonic_ns if _STEADY is None else partial(time.clock_gettime_ns, _STEADY)
_began = time.time_ns() - _steady_ns()


def set_anew() -> None:
    """Take the system's time again, at the beginning of an execution.

    In between it is counted on: a clock that is set under a run, by an hour or by a second, would disorder what the
    run tells, and the server decides once per stream how far its writer's clock is off.
    """
    global _began
    _began = time.time_ns() - _steady_ns()


def reading() -> str:
    """How this process counts time, for another one on this machine that may have to speak for it."""
    return f"{_boot()} {_began}"


def count_as(told: str) -> None:
    """Count time from now on as the process does that told its `reading`, if it is one of this machine."""
    global _began
    boot, _, began = told.rpartition(" ")
    if boot and boot == _boot():
        _began = int(began)


def now_by(told: str) -> int:
    """What `now()` would be in the process that told its `reading`; our own, if the machine has started anew since."""
    boot, _, began = told.rpartition(" ")
    return (int(began) + _steady_ns()) // 1000 if boot and boot == _boot() else now()


@cache
def _boot() -> str:
    """The name that Linux gives to the time since the machine was started; empty elsewhere."""
    try:
        with open("/proc/sys/kernel/random/boot_id") as file:
            return file.read().strip()
    except OSError:
        return ""


def _counted_ns() -> int:
    return _began + _steady_ns()


time_ns = _counted_ns
_source: Source | None = None


def now() -> int:
    """Microseconds UTC."""
    return time_ns() // 1000


def sleep(seconds: float, until: threading.Event | None = None) -> None:
    """Let time pass in this thread; not longer than until an event is set."""
    if _source is not None:
        _source.sleep(seconds)
    elif until is not None:
        until.wait(seconds)
    else:
        time.sleep(seconds)


async def sleep_async(seconds: float) -> None:
    """Let time pass in this coroutine."""
    import asyncio

    if _source is not None:
        await asyncio.to_thread(_source.sleep, seconds)
    else:
        await asyncio.sleep(seconds)


def pause(seconds: float) -> None:
    """Wait for others before the next look at them: time that somebody controls does not pass by that."""
    time.sleep(seconds if _source is None else min(seconds, 0.01))


def take_over(source: Source | None) -> Source | None:
    """Let somebody else say what time it is; None gives it back to the system. Returns who said so before."""
    global time_ns, _source
    before, _source = _source, source
    time_ns = _counted_ns if source is None else source.time_ns
    return before
