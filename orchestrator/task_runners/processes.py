"""Tasks in child processes.

A thread lives through the task run here, with its states, retries and hooks, and has the body performed by a child of
its own. So a child that dies is a failed execution like any other, and what it told is in the journal of this process.
"""

from __future__ import annotations

import os
import threading
import time
from typing import TYPE_CHECKING, Any

from orchestrator.engine.interrupts import raise_in_thread
from orchestrator.engine.task_run import TaskRun
from orchestrator.exceptions import RunCancelled
from orchestrator.task_runners.base import End
from orchestrator.task_runners.remote import RemoteTaskRunner

if TYPE_CHECKING:
    from orchestrator.elsewhere.process import Process

GRACE = 5.0


class ProcessPoolTaskRunner(RemoteTaskRunner):
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

    def duplicate(self) -> ProcessPoolTaskRunner:
        return ProcessPoolTaskRunner(self.max_workers, grace_seconds=self.grace_seconds)

    def __reduce__(self) -> Any:
        return _remade, (self.max_workers, self.grace_seconds)

    def close(self, end: End = "wait") -> int:
        left = super().close(end)
        until = time.monotonic() + self.stop_grace
        for thread in self._threads:
            thread.join(max(0.0, until - time.monotonic()))
        return left

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
        from orchestrator.elsewhere.process import Process

        ident = threading.get_ident()
        process = self._processes.get(ident)
        if process is not None and not process.usable:
            process.end()
            process = None
        if process is None:
            process = self._processes[ident] = Process(self._introduction(run), run.stream, self.grace_seconds)
        return process

    def _interrupt_busy(self) -> None:
        for ident, job in list(self._busy.items()):
            process = self._processes.get(ident)
            if (process is None or not process.stop()) and not job.future.done():
                raise_in_thread(ident, RunCancelled)


def _cores() -> int:
    affinity = getattr(os, "sched_getaffinity", None)
    return len(affinity(0)) if affinity is not None else os.cpu_count() or 1


def _remade(max_workers: int, grace_seconds: float) -> ProcessPoolTaskRunner:
    return ProcessPoolTaskRunner(max_workers, grace_seconds=grace_seconds)
