"""`timeout_seconds`: how user code is ended when its time is up.

| where the code runs | how | what can't be ended |
|---|---|---|
| coroutine | asyncio's own timeout, at the next await | code that never awaits |
| main thread, sync | SIGALRM: also ends `time.sleep`, sockets and locks | C code that holds on to the interpreter |
| worker thread, sync | an asynchronous exception at the next bytecode | a blocking call, until it returns |

Inside user code the end is a BaseException, so that `except Exception` does not swallow it; outside it becomes
FlowRunTimeout or TaskRunTimeout, which are ordinary exceptions.
"""

from __future__ import annotations

import heapq
import inspect
import itertools
import signal
import threading
import time
from typing import TYPE_CHECKING, Any

from orchestrator.engine.interrupts import raise_in_thread, take_back
from orchestrator.exceptions import FlowRunTimeout, TaskRunTimeout, TimedOut

if TYPE_CHECKING:
    from orchestrator.engine.run import Run


class _Expired(BaseException):
    """Raised in user code when a deadline has passed."""

    deadline: Deadline | None = None


def limited(run: Run) -> Any:
    """Call the run's function; end it after its timeout."""
    seconds = run.definition.timeout_seconds
    assert seconds is not None
    main = threading.current_thread() is threading.main_thread()
    deadline: Deadline = _AlarmDeadline(seconds) if main else _ThreadDeadline(seconds)
    deadline.start()
    try:
        value = run.definition.fn(*run.args, **run.kwargs)
    except _Expired as expired:
        if expired.deadline is not deadline:
            raise
        raise timed_out(run) from None
    finally:
        deadline.end()
    return value


async def limited_async(run: Run) -> Any:
    """Await the run's function; cancel it after its timeout."""
    import asyncio

    scope = asyncio.timeout(run.definition.timeout_seconds)
    try:
        async with scope:
            outcome = run.definition.fn(*run.args, **run.kwargs)
            return await outcome if inspect.isawaitable(outcome) else outcome
    except TimeoutError:
        if not scope.expired():
            raise
    raise timed_out(run)


def timed_out(run: Run, more: str = "") -> TimedOut:
    """The exception for a run that took too long, and what else is to be said of it."""
    kind = FlowRunTimeout if run.definition.kind_of_run == "flow" else TaskRunTimeout
    error = kind(
        f"{run.name!r} took longer than its timeout_seconds={run.definition.timeout_seconds:g}. {more}".strip()
    )
    error.run_id = run.id  # pyright: ignore[reportAttributeAccessIssue]
    return error


class Deadline:
    """A moment at which the code after `start` is ended, unless `end` comes first."""

    def __init__(self, seconds: float) -> None:
        self.at = time.monotonic() + seconds

    def start(self) -> None:
        """Begin to watch."""
        raise NotImplementedError

    def end(self) -> None:
        """Watch no more."""
        raise NotImplementedError

    def error(self) -> type[_Expired]:
        """A class of its own for each deadline: asynchronous exceptions are raised by class."""
        return type("_Expired", (_Expired,), {"deadline": self})


class _AlarmDeadline(Deadline):
    """By SIGALRM, in the main thread. Nested ones share the one timer of the process."""

    rung = False
    _stack: list[_AlarmDeadline] = []
    _former: Any = None

    def start(self) -> None:
        if not self._stack:
            _AlarmDeadline._former = signal.signal(signal.SIGALRM, self._ring)
        self._stack.append(self)
        self._set_timer()

    def end(self) -> None:
        self._stack.remove(self)
        self._set_timer()
        if not self._stack:
            signal.signal(signal.SIGALRM, _AlarmDeadline._former)

    @classmethod
    def _set_timer(cls) -> None:
        ahead = [deadline.at for deadline in cls._stack if not deadline.rung]
        signal.setitimer(signal.ITIMER_REAL, max(1e-6, min(ahead) - time.monotonic()) if ahead else 0)

    @classmethod
    def _ring(cls, number: int, frame: Any) -> None:
        now = time.monotonic()
        for deadline in cls._stack:  # The outermost first: it ends the inner ones too.
            if deadline.at <= now and not deadline.rung:
                deadline.rung = True
                cls._set_timer()
                raise deadline.error()
        cls._set_timer()


class _ThreadDeadline(Deadline):
    """By an asynchronous exception, sent by one watching thread for all."""

    _order = itertools.count()

    def __init__(self, seconds: float) -> None:
        super().__init__(seconds)
        self._thread = threading.get_ident()
        self._state = threading.Lock()
        self._over = False
        self._fired = False

    def start(self) -> None:
        _watch.add(self)

    def end(self) -> None:
        with self._state:
            self._over = True
            if self._fired:
                take_back(self._thread)

    def fire(self) -> None:
        """End the code, called by the watching thread."""
        with self._state:
            if not self._over:
                self._fired = True
                raise_in_thread(self._thread, self.error())


class _Watch:
    """One thread that sleeps until the next deadline. It ends when there has been none for a while."""

    _IDLE = 10.0

    def __init__(self) -> None:
        self._changed = threading.Condition()
        self._heap: list[tuple[float, int, _ThreadDeadline]] = []
        self._order = itertools.count()
        self._running = False

    def add(self, deadline: _ThreadDeadline) -> None:
        with self._changed:
            heapq.heappush(self._heap, (deadline.at, next(self._order), deadline))
            if not self._running:
                self._running = True
                threading.Thread(target=self._run, name="orchestrator-timeouts", daemon=True).start()
            self._changed.notify()

    def _run(self) -> None:
        while True:
            with self._changed:
                due = self._due()
                if due is None and not self._heap:
                    self._running = False
                    return
            if due is not None:
                due.fire()

    def _due(self) -> _ThreadDeadline | None:
        if not self._heap and not self._changed.wait(self._IDLE):
            return None
        if not self._heap:
            return None
        left = self._heap[0][0] - time.monotonic()
        if left > 0:
            self._changed.wait(left)
            return None
        return heapq.heappop(self._heap)[2]


_watch = _Watch()
