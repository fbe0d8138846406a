"""The value of a run that may still be under way."""

from __future__ import annotations

import threading
import time
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from contextlib import AbstractContextManager, nullcontext, suppress
from typing import TYPE_CHECKING, Any, Generic, NamedTuple, Protocol, TypeVar

from orchestrator.counterparts import missing
from orchestrator.states import Pending, State

if TYPE_CHECKING:
    from uuid import UUID

    from orchestrator.engine.run import Run

R = TypeVar("R")

_SLICE = 0.5  # seconds; a thread that waits this long looks whether its run was told to stop
_callbacks_lock = threading.Lock()


class Helper(Protocol):
    """What a thread may do instead of waiting idly for a run, if it is one of those that runs are waiting for."""

    def help(self, timeout: float | None) -> bool:
        """Execute the run here, if nobody has begun it, or have somebody else do so. False in other threads."""
        ...

    def standing_in(self) -> AbstractContextManager[None]:
        """Let one more thread run while this one waits."""
        ...


class Future(Generic[R]):
    """What `.submit()` returns at once.

    Hand it to another task, anywhere inside its arguments: that task waits for it and is given its value.
    """

    __slots__ = ("__weakref__", "_callbacks", "_done", "_gate", "_helper", "_run")

    made = False  # True once any future exists in this process; until then nobody needs to look for one.

    def __init__(self, run: Run, helper: Helper | None = None) -> None:
        Future.made = True
        self._run = run
        self._gate = threading.Lock()
        self._gate.acquire()
        self._done = False
        self._callbacks: list[Callable[[Future[R]], Any]] | None = None
        self._helper = helper

    @property
    def task_run_id(self) -> UUID | None:
        """The id of the task run behind it; None when it is a flow run."""
        return self._run.id if self._run.definition.kind_of_run == "task" else None

    @property
    def flow_run_id(self) -> UUID | None:
        """The id of the flow run behind it; None when it is a task run."""
        return self._run.id if self._run.definition.kind_of_run == "flow" else None

    @property
    def kind_of_run(self) -> str:
        """`task` or `flow`."""
        return self._run.definition.kind_of_run

    @property
    def name(self) -> str:
        """The name of the run behind it."""
        return self._run.name

    @property
    def state(self) -> State:
        """The run's present state."""
        return self._run.state if self._run.state_type is not None else Pending()

    def done(self) -> bool:
        """True when the run has ended."""
        return self._done

    def wait(self, timeout: float | None = None) -> None:
        """Wait until the run has ended, or `timeout` seconds have passed. Look at `state` to know which."""
        if self._done:
            return
        if self._helper is not None:
            self._helper.help(timeout)
        if not self._done:
            self._wait(timeout)

    def _wait(self, timeout: float | None) -> None:
        deadline = None if timeout is None else time.monotonic() + timeout
        root = _root_here()
        while not self._done:
            left = _SLICE if deadline is None else min(_SLICE, deadline - time.monotonic())
            if left <= 0:
                return
            if self._gate.acquire(timeout=left):
                self._gate.release()
                return
            if root is not None:
                root.check_stop()

    async def wait_async(self, timeout: float | None = None) -> None:
        """Wait as `wait` does, without blocking the event loop."""
        if self._done:
            return
        import asyncio

        loop = asyncio.get_running_loop()
        ended: asyncio.Future[None] = loop.create_future()

        def wake(_: Any) -> None:
            if not ended.done():
                ended.set_result(None)

        def settled(future: Future[R]) -> None:
            with suppress(RuntimeError):  # The loop is closed: nobody waits any more.
                loop.call_soon_threadsafe(wake, future)

        self.add_done_callback(settled)
        helper = self._helper
        with helper.standing_in() if helper is not None else nullcontext():
            await asyncio.wait([ended], timeout=timeout)

    def final_state(self) -> State:
        """Wait, and return the state in which the run has ended."""
        self.wait()
        return self.state

    def result(self, timeout: float | None = None, raise_on_failure: bool = True) -> R:
        """Wait, and return the run's value.

        Args:
            timeout: Seconds to wait at most.
            raise_on_failure: With False an exception of the run is returned instead of raised.

        Raises:
            TimeoutError: The run has not ended in time.

        >>> from orchestrator import flow, task
        >>> @task
        ... def double(x: int) -> int:
        ...     return 2 * x
        >>> @flow
        ... def doubled() -> int:
        ...     return double.submit(21).result(timeout=10)
        >>> doubled()
        42
        """
        self.wait(timeout)
        return self._result_now(timeout, raise_on_failure)

    async def result_async(self, timeout: float | None = None, raise_on_failure: bool = True) -> R:
        """Return the value as `result` does, without blocking the event loop."""
        await self.wait_async(timeout)
        return self._result_now(timeout, raise_on_failure)

    def _result_now(self, timeout: float | None, raise_on_failure: bool) -> R:
        if not self._done:
            raise TimeoutError(
                f"{self.kind_of_run.capitalize()} run {self._run.name!r} did not end within {timeout} seconds."
            )
        return self._run.state.result(raise_on_failure=raise_on_failure)

    def add_done_callback(self, fn: Callable[[Future[R]], Any]) -> None:
        """Call `fn(future)` when the run has ended; at once if it has already."""
        with _callbacks_lock:
            if not self._done:
                if self._callbacks is None:
                    self._callbacks = []
                self._callbacks.append(fn)
                return
        fn(self)

    def settle(self) -> None:
        """Tell everybody that the run has ended. Called once, by the task runner."""
        with _callbacks_lock:
            self._done = True
            callbacks, self._callbacks = self._callbacks, None
        self._helper = None
        self._gate.release()
        for callback in callbacks or ():
            try:
                callback(self)
            except Exception:
                self._run.log.exception("A done callback of %s run %r failed.", self.kind_of_run, self._run.name)

    def __reduce__(self) -> Any:
        raise TypeError("a future belongs to its process; send its .result()")

    def __repr__(self) -> str:
        return f"<Future of {self._run.name!r}: {self.state.name}>"


def _root_here() -> Any:
    from orchestrator.context import current_flow_run

    run = current_flow_run()
    return run.root if run is not None else None


class FutureList(list[Future[R]]):
    """What `.map()` returns: futures in the order of the items."""

    def wait(self, timeout: float | None = None) -> None:
        """Wait for all of them, `timeout` seconds altogether."""
        wait(self, timeout)

    def result(self, timeout: float | None = None, raise_on_failure: bool = True) -> list[R]:
        """Return all values in order. `timeout` is in seconds, for all of them together.

        Raises:
            TimeoutError: Not all have ended in time.
        """
        deadline = None if timeout is None else time.monotonic() + timeout
        return [
            future.result(None if deadline is None else max(0.0, deadline - time.monotonic()), raise_on_failure)
            for future in self
        ]


class DoneAndNotDone(NamedTuple):
    """The answer of `wait`."""

    done: set[Future[Any]]
    not_done: set[Future[Any]]


def wait(futures: Iterable[Future[Any]], timeout: float | None = None) -> DoneAndNotDone:
    """Wait until all futures are done or `timeout` seconds have passed, and sort them.

    >>> from orchestrator import flow, task
    >>> from orchestrator.futures import wait
    >>> @task
    ... def noop(x):
    ...     return x
    >>> @flow
    ... def waits():
    ...     return len(wait(noop.map([1, 2, 3]), timeout=10).done)
    >>> waits()
    3
    """
    futures = list(futures)
    deadline = None if timeout is None else time.monotonic() + timeout
    for future in futures:
        future.wait(None if deadline is None else max(0.0, deadline - time.monotonic()))
    done = {future for future in futures if future.done()}
    return DoneAndNotDone(done, set(futures) - done)


def as_completed(futures: Iterable[Future[R]], timeout: float | None = None) -> Iterator[Future[R]]:
    """Yield futures in the order in which they end.

    Args:
        futures: What `.submit()` and `.map()` returned.
        timeout: Seconds for all of them together.

    Raises:
        TimeoutError: Some have not ended in time.
    """
    import queue

    ended: queue.SimpleQueue[Future[R]] = queue.SimpleQueue()
    pending = deque(dict.fromkeys(futures))
    count = len(pending)
    for future in pending:
        future.add_done_callback(ended.put)
    deadline = None if timeout is None else time.monotonic() + timeout
    for left in range(count, 0, -1):
        yield _next_ended(ended, deadline, pending, (left, count))


def _next_ended(ended: Any, deadline: float | None, pending: deque[Future[R]], left: tuple[int, int]) -> Future[R]:
    import queue

    root = _root_here()
    while True:
        slice_ = _SLICE if deadline is None else min(_SLICE, max(0.0, deadline - time.monotonic()))
        try:
            if ended.empty():
                _help_one(pending)
            return ended.get(timeout=slice_)
        except queue.Empty:
            if root is not None:
                root.check_stop()
            if deadline is not None and time.monotonic() >= deadline:
                raise TimeoutError(f"{left[0]} of {left[1]} futures did not end in time.") from None


def _help_one(pending: deque[Future[Any]]) -> None:
    """A worker that waits for any of these runs one of them itself, if nobody has begun it."""
    while pending and pending[0]._done:
        pending.popleft()
    for future in pending:
        helper = future._helper
        if helper is not None and (not helper.help(None) or future._done):
            return


__getattr__ = missing(__name__)
