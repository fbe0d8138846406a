"""Moments at which user code is ended: by a signal, by an asynchronous exception, by cancelling a coroutine."""

from __future__ import annotations

import contextlib
import math
import signal
import threading
import time
from collections.abc import Callable
from typing import Any

from orchestrator.engine import handover, watch
from orchestrator.engine.interrupts import handles, keeps_books, raise_in_thread, take_back, thread_keeps_books

SOON = 0.002  # seconds until the next try, where the engine keeps its books at that moment
LEFT_AFTER = 5.0  # seconds until a thread that does not hear is left behind
AGAIN = 1.0  # seconds until what swallowed its end, or lost it where the interpreter ignores exceptions, is ended again


class Expired(BaseException):
    """Raised in user code when a deadline has passed."""

    deadline: Deadline | None = None


class Deadline:
    """The code after `start` is ended when so many seconds have passed, unless `end` comes first.

    Attributes:
        fired: True once that was tried.
        over: True after `end`.
    """

    def __init__(self, seconds: float) -> None:
        self.at = time.monotonic() + seconds
        self.fired = False
        self.over = False

    def start(self) -> None:
        """Begin to watch."""
        raise NotImplementedError

    def hold(self) -> None:
        """Let its time stand still."""
        self._left = self.at - time.monotonic()
        self.at = math.inf

    def release(self) -> None:
        """Let its time go on."""
        self.at = time.monotonic() + self._left
        if not self.over:
            self._watch_again()

    def _watch_again(self) -> None:
        watch.watch.add(self)

    def end(self) -> None:
        """Watch no more."""
        raise NotImplementedError

    def fire(self) -> None:
        """Its time has come. Not called where a timer of the system's own rings."""
        raise NotImplementedError

    def error(self) -> type[Expired]:
        """A class of its own for each deadline: asynchronous exceptions are raised by class."""
        return type("Expired", (Expired,), {"deadline": self})

    def has_arrived(self, ident: int) -> bool:
        """True while a thread deals with its end: it leaves its blocks, and what they do in the end may take long."""
        return handles(ident, lambda error: isinstance(error, Expired) and error.deadline is self)


class AlarmDeadline(Deadline):
    """By SIGALRM, in the main thread. Nested ones share the one timer of the process."""

    _stack: list[AlarmDeadline] = []
    _former: Any = None

    def start(self) -> None:
        if not self._stack:
            AlarmDeadline._former = signal.signal(signal.SIGALRM, self._ring)
        self._stack.append(self)
        self._set_timer()

    def end(self) -> None:
        self.over = True
        self._stack.remove(self)
        self._set_timer()
        if not self._stack:
            signal.signal(signal.SIGALRM, AlarmDeadline._former)

    def hold(self) -> None:
        super().hold()
        self._set_timer()

    def _watch_again(self) -> None:
        self._set_timer()

    @classmethod
    def _set_timer(cls) -> None:
        ahead = [deadline.at for deadline in cls._stack if deadline.at < math.inf]
        signal.setitimer(signal.ITIMER_REAL, max(1e-6, min(ahead) - time.monotonic()) if ahead else 0)

    @classmethod
    def _ring(cls, number: int, frame: Any) -> None:
        if keeps_books(frame):
            signal.setitimer(signal.ITIMER_REAL, SOON)
            return
        now = time.monotonic()
        for deadline in cls._stack:  # The outermost first: it ends the inner ones too.
            if deadline.at <= now:
                deadline.fired, deadline.at = True, now + AGAIN
                if not deadline.has_arrived(threading.get_ident()):
                    cls._set_timer()
                    raise deadline.error()
        cls._set_timer()


class ThreadDeadline(Deadline):
    """By an asynchronous exception. A thread that is deaf to it is left behind, where others can go on without it.

    Args:
        life: What others go on with then.
        left: Makes the exception that they go on with.
    """

    def __init__(
        self, seconds: float, life: handover.Handover | None = None, left: Callable[[], BaseException] = Expired
    ) -> None:
        super().__init__(seconds)
        self._life = life
        self._left = left
        self._left_at = math.inf
        self._thread = threading.get_ident()
        self._state = threading.Lock()

    def start(self) -> None:
        watch.watch.add(self)

    def end(self) -> None:
        with self._state:
            self.over = True
            if self.fired:
                take_back(self._thread)

    def fire(self) -> None:
        with self._state:
            if self.over or self.at > time.monotonic():  # It is held, or it was, and is watched anew.
                return
            if self.at >= self._left_at:
                self.over = self._life is not None and self._life.leave_behind(self._left())
                self._left_at = math.inf
            if self.over:
                return
            if thread_keeps_books(self._thread):
                self.at += SOON
            else:
                self._raise()
        watch.watch.add(self)

    def _raise(self) -> None:
        if not self.has_arrived(self._thread):
            raise_in_thread(self._thread, self.error())
        if not self.fired:
            self.fired, self._left_at = True, self.at + LEFT_AFTER
        self.at = min(self.at + AGAIN, self._left_at)


class CoroutineDeadline(Deadline):
    """By cancelling the asyncio task, again and again until it ends. Where the task never awaits, as in a thread."""

    def __init__(self, seconds: float) -> None:
        import asyncio

        super().__init__(seconds)
        self._thread = threading.get_ident()
        self._state = threading.Lock()
        self._loop = asyncio.get_running_loop()
        self._task: Any = asyncio.current_task()
        self._cancelling = self._task.cancelling()
        self._cancels = 0
        self._raised = False
        self._current_task = asyncio.current_task

    def start(self) -> None:
        watch.watch.add(self)

    def end(self) -> None:
        with self._state:
            self.over = True
            if self._raised:
                take_back(self._thread)
        while self._cancels:
            self._cancels -= 1
            self._task.uncancel()

    @property
    def alone(self) -> bool:
        """True, after `end`, when nobody else has cancelled the task."""
        return self._task.cancelling() <= self._cancelling

    def fire(self) -> None:
        with self._state:
            if self.over or self.at > time.monotonic():
                return
            if self.fired and self._is_blocked():
                self._raised = True
                raise_in_thread(self._thread, self.error())
            self.fired = True
            with contextlib.suppress(RuntimeError):  # The loop is closed.
                self._loop.call_soon_threadsafe(self._cancel)
            self.at += AGAIN
        watch.watch.add(self)

    def _is_blocked(self) -> bool:
        """True when the loop stands still since this very task holds it."""
        return self._current_task(self._loop) is self._task and not thread_keeps_books(self._thread)

    def _cancel(self) -> None:
        if not self.over:
            self._cancels += 1
            self._task.cancel()
