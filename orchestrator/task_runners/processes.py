"""Tasks in child processes.

A thread lives through the task run here, with its states, retries and hooks, and has the body performed by a child of
its own. So a child that dies is a failed execution like any other, and what it told is in the journal of this process.
"""

from __future__ import annotations

import os
import threading
import time
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from orchestrator.engine import handover
from orchestrator.engine.effects import Body
from orchestrator.engine.interrupts import raise_in_thread
from orchestrator.engine.life import live
from orchestrator.engine.run import Run
from orchestrator.engine.task_run import TaskRun
from orchestrator.exceptions import RunCancelled
from orchestrator.futures import Future
from orchestrator.task_runners.base import End
from orchestrator.task_runners.threads import ThreadPoolTaskRunner

if TYPE_CHECKING:
    from orchestrator.elsewhere.process import Process
    from orchestrator.engine.drivers import Life

GRACE = 5.0


class ProcessPoolTaskRunner(ThreadPoolTaskRunner):
    """Run submitted tasks in child processes, `max_workers` at a time: for code that needs a core of its own, or that
    must be ended come what may.

    What tasks are given and return is pickled. Tasks that a task submits run in threads of the same child.

    Args:
        max_workers: How many tasks run at once; as many as there are cores by default. Processes are made when needed.
        grace_seconds: How long a task that is cancelled, or whose time is up, may take to end before its process is
            killed.

    >>> from orchestrator import flow, task
    >>> from orchestrator.task_runners import ProcessPoolTaskRunner
    >>> @task
    ... def square(x):
    ...     return x * x
    >>> @flow(task_runner=ProcessPoolTaskRunner(max_workers=2))
    ... def squares():
    ...     return square.map([1, 2, 3]).result()
    >>> squares()
    [1, 4, 9]
    """

    def __init__(self, max_workers: int | None = None, *, grace_seconds: float = GRACE) -> None:
        super().__init__(_cores() if max_workers is None else max_workers)
        if grace_seconds < 0:
            raise ValueError("grace_seconds must be 0 or more.")
        self.grace_seconds = float(grace_seconds)
        self.stop_grace = self.grace_seconds + super().stop_grace
        self._processes: dict[int, Process] = {}
        self._introduction: bytes | None = None

    def duplicate(self) -> ProcessPoolTaskRunner:
        return ProcessPoolTaskRunner(self.max_workers, grace_seconds=self.grace_seconds)

    def __reduce__(self) -> Any:
        return _remade, (self.max_workers, self.grace_seconds)

    def submit(self, run: Run, execute: Callable[[Run], Any]) -> Future[Any]:
        return super().submit(run, self._live)

    def close(self, end: End = "wait") -> int:
        left = super().close(end)
        until = time.monotonic() + self.stop_grace
        for thread in self._threads:
            thread.join(max(0.0, until - time.monotonic()))
        return left

    def _live(self, run: Run) -> None:
        handover.perform(run, _with_bodies_elsewhere(live(run), self._perform_body))

    # Each thread has a process of its own, made when it needs one.

    def _work(self) -> None:
        try:
            super()._work()
        finally:
            process = self._processes.pop(threading.get_ident(), None)
            if process is not None:
                process.end()

    def _perform_body(self, run: TaskRun) -> Any:
        return self._process(run).call(run)

    def _process(self, run: TaskRun) -> Process:
        from orchestrator.elsewhere.calls import introduction
        from orchestrator.elsewhere.process import Process

        ident = threading.get_ident()
        process = self._processes.get(ident)
        if process is None or not process.usable:
            if self._introduction is None:
                self._introduction = introduction(run.flow_run)
            process = self._processes[ident] = Process(self._introduction, run.stream, self.grace_seconds)
        return process

    def _interrupt_busy(self) -> None:
        for ident, job in list(self._busy.items()):
            process = self._processes.get(ident)
            if (process is None or not process.stop()) and not job.future.done():
                raise_in_thread(ident, RunCancelled)


class _BodyElsewhere:
    """Have the user's function called in another process."""

    __slots__ = ("_perform", "_run")

    def __init__(self, run: Any, perform: Callable[[TaskRun], Any]) -> None:
        self._run = run
        self._perform = perform

    def run(self) -> Any:
        return self._perform(self._run)

    async def arun(self) -> Any:
        raise NotImplementedError("threads drive this")


def _with_bodies_elsewhere(life: Life, perform: Callable[[TaskRun], Any]) -> Life:
    """The same life, but for the place where the function is called."""
    try:
        effect = next(life)
        while True:
            if isinstance(effect, Body):
                effect = _BodyElsewhere(effect.of, perform)
            try:
                outcome = yield effect
            except BaseException as error:
                effect = life.throw(error)
            else:
                effect = life.send(outcome)
    except StopIteration:
        return


def _cores() -> int:
    affinity = getattr(os, "sched_getaffinity", None)
    return len(affinity(0)) if affinity is not None else os.cpu_count() or 1


def _remade(max_workers: int, grace_seconds: float) -> ProcessPoolTaskRunner:
    return ProcessPoolTaskRunner(max_workers, grace_seconds=grace_seconds)
