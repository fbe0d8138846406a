"""A run that waits for a thread, and its way through it."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import AbstractContextManager
from contextvars import Context, copy_context
from functools import partial
from typing import TYPE_CHECKING, Any

from orchestrator.engine import handover
from orchestrator.engine.run import Run
from orchestrator.futures import Future
from orchestrator.states import TERMINAL

if TYPE_CHECKING:
    from orchestrator.task_runners.threads import ThreadPoolTaskRunner


class Job:
    """One of them. Whoever claims it runs it."""

    __slots__ = ("_claims", "_context", "_execute", "_runner", "depth", "future", "latest", "life", "run")

    def __init__(self, runner: ThreadPoolTaskRunner, run: Run, execute: Callable[[Run], Any]) -> None:
        self.run = run
        self.future: Future[Any] = Future(run, self)
        self._runner = runner
        self._context: Context | None = copy_context()
        self._execute = execute
        self._claims = [True]
        self.life: handover.Handover | None = None
        self.latest: Job | None = None  # What was submitted last in the course of this one.
        self.depth = 0  # How many others the thread that performs it is in the midst of.

    def claim(self) -> bool:
        try:
            self._claims.pop()  # Atomic: two threads can't both get it.
        except IndexError:
            return False
        return True

    def perform(self) -> None:
        assert self._context is not None
        before = handover.offer(self)
        try:
            self.carry_out(partial(self._context.run, partial(self._execute, self.run)))
        finally:
            handover.restore(before)

    def carry_out(self, call: Callable[[], Any]) -> None:
        """Do all, or the rest, of what is to be done, and tell the future."""
        try:
            call()
        except handover.LeftBehind:
            raise
        except BaseException as error:
            try:
                if self.run.state_type not in TERMINAL:  # What ended the thread came between two steps of the run.
                    self.run.fail(error)
                    self.run.end()
            finally:
                self._settle()
            raise
        self._settle()

    def _settle(self) -> None:
        self._context = self.life = self.latest = None
        self.future.settle()

    def go_on(self, rest: Callable[[], None]) -> None:
        """Have another thread do the rest: this one is stuck."""
        assert self._context is not None
        self._runner.relieve(self, partial(self._context.copy().run, rest))

    def drop(self, reason: BaseException) -> None:
        self.run.fail(reason)
        self._settle()

    # What its future does while somebody waits for it.

    def help(self, timeout: float | None) -> bool:
        return self._runner.help(self, timeout)

    def standing_in(self) -> AbstractContextManager[None]:
        return self._runner.standing_in()
