"""Tasks in threads.

A worker that waits for a future which nobody has begun runs it itself, so a pool of one thread can't deadlock,
however deep tasks submit tasks. A worker that waits with a timeout, or whose stack is deep by now, can't do that; for
as long as it waits, one more thread may run.
"""

from __future__ import annotations

import queue
import threading
from collections.abc import Callable, Generator
from contextlib import contextmanager, suppress
from functools import partial
from typing import Any

from orchestrator.context import in_event_loop
from orchestrator.engine import handover
from orchestrator.engine.failures import is_silent
from orchestrator.engine.interrupts import raise_in_thread
from orchestrator.engine.run import Run
from orchestrator.exceptions import RunCancelled, RunStopped
from orchestrator.futures import _SLICE, Future, _root_here
from orchestrator.task_runners.base import End, TaskRunner
from orchestrator.task_runners.jobs import Job

MAX_WORKERS = 32
STOP_GRACE = 5.0
"""Seconds that tasks which were told to stop are given before their threads are left behind."""


RELIEF = 2.0
"""Seconds that the runs of threads which were left behind may take to be told of."""

DEEPEST = 16
"""Runs that a thread performs within one another at most; more might not find room on its stack."""


class ThreadPoolTaskRunner(TaskRunner):
    """Run submitted tasks in threads of this process, `max_workers` at a time.

    Args:
        max_workers: How many tasks run at once; 32 by default. Threads are made when needed.

    >>> from orchestrator import flow, task
    >>> from orchestrator.task_runners import ThreadPoolTaskRunner
    >>> @task
    ... def square(x):
    ...     return x * x
    >>> @flow(task_runner=ThreadPoolTaskRunner(max_workers=2))
    ... def squares():
    ...     return square.map([1, 2, 3]).result()
    >>> squares()
    [1, 4, 9]
    """

    stop_grace = STOP_GRACE
    queue_size = 1_000
    """How many calls of a `.map` wait their turn at most; then `.map` waits."""

    def __init__(self, max_workers: int | None = None) -> None:
        if max_workers is not None and max_workers < 1:
            raise ValueError("max_workers must be 1 or more.")
        self.max_workers = max_workers or MAX_WORKERS
        self._jobs: queue.SimpleQueue[Job | None] = queue.SimpleQueue()
        self._changed = threading.Condition()
        self._threads: list[threading.Thread] = []
        self._unfinished = 0
        self._waiting = 0
        self._left_behind = 0  # threads that are stuck in what can't be interrupted
        self._crowded = 0  # threads that wait for room
        self._busy: dict[int, Job] = {}

    def duplicate(self) -> ThreadPoolTaskRunner:
        return ThreadPoolTaskRunner(self.max_workers)

    def __reduce__(self) -> Any:
        return ThreadPoolTaskRunner, (self.max_workers,)

    def submit(self, run: Run, execute: Callable[[Run], Any]) -> Future[Any]:
        run.check_stop()  # A signal that comes in the midst of `_take` has to wait for the next time.
        job = Job(self, run, execute)
        within = self._busy.get(threading.get_ident())
        if within is not None:
            within.latest = job
        self._take(job)
        return job.future

    def _take(self, job: Job) -> None:
        with self._changed:
            self._unfinished += 1
            self._ensure_thread()
        self._jobs.put(job)

    def make_room(self) -> None:
        if self._jobs.qsize() >= self.queue_size and not in_event_loop():
            self._wait_for_room()

    def close(self, end: End = "wait") -> int:
        if end != "wait":
            self._drop_waiting()
        if end == "stop":
            self._interrupt_busy()
        with self._changed:
            done = self._changed.wait_for(lambda: self._unfinished == 0, self.stop_grace if end == "stop" else None)
        if not done:
            self._leave_behind_busy()
        for _ in self._threads:
            self._jobs.put(None)
        return self._left_behind

    # Threads.

    def _ensure_thread(self) -> None:
        """Have as many threads as there are jobs, within the bound. Called with the lock held."""
        if len(self._threads) < min(self._unfinished, self.max_workers + self._waiting):
            thread = threading.Thread(target=self._work, name=f"task-runner-{len(self._threads)}", daemon=True)
            self._threads.append(thread)
            thread.start()

    def _work(self) -> None:
        with suppress(RunStopped):  # Meant for a run that has ended meanwhile.
            while (job := self._jobs.get()) is not None:
                if job.claim() and not self._perform(job, job.perform):
                    return
                del job

    def _perform(self, job: Job, perform: Callable[[], None]) -> bool:
        """False when another thread has taken the place of this one meanwhile."""
        ident = threading.get_ident()
        outer = self._busy.get(ident)
        job.depth = 0 if outer is None else outer.depth + 1
        self._busy[ident] = job
        relieved = False
        try:
            perform()
        except handover.LeftBehind:
            relieved = True
        except BaseException as error:
            # What ends a thread from outside; the run has taken note of it.
            if not job.future.done():
                job.drop(error)
            if not is_silent(error):
                job.run.log.error("Task run %r was ended: %r", job.run.name, error)
        finally:
            if outer is None:
                self._busy.pop(ident, None)
            else:
                self._busy[ident] = outer
            self._finished(relieved)
        return not (relieved and outer is None)

    def _finished(self, relieved: bool = False) -> None:
        with self._changed:
            self._left_behind -= relieved
            self._unfinished -= not relieved
            if self._unfinished == 0 or self._crowded:
                self._changed.notify_all()

    # Threads that wait.

    def help(self, job: Job, timeout: float | None) -> bool:
        """Called by a thread that is about to wait for `job`. False if it is none of ours."""
        within = self._busy.get(threading.get_ident())
        if within is None:
            return False
        is_async = job.run.definition.is_async and in_event_loop()
        if timeout is None and within.depth < DEEPEST and not is_async:
            if job.claim():
                self._perform(job, job.perform)
            return True
        with self.standing_in():
            job.future._wait(timeout)
        return True

    @contextmanager
    def standing_in(self) -> Generator[None]:
        """Let one more thread run while this one, if it is one of ours, waits."""
        if threading.get_ident() not in self._busy:
            yield
            return
        with self._changed:
            self._waiting += 1
            self._ensure_thread()
        try:
            yield
        finally:
            with self._changed:
                self._waiting -= 1

    def _wait_for_room(self) -> None:
        """Wait until half of the queue is through. One of our own threads does some of its own work instead."""
        within = self._busy.get(threading.get_ident())
        if within is not None:
            self._perform_latest(within)
            return
        root = _root_here()
        with self._changed:
            self._crowded += 1
            try:
                while self._jobs.qsize() > self.queue_size // 2:
                    self._changed.wait(_SLICE)
                    if root is not None:
                        root.check_stop()
            finally:
                self._crowded -= 1

    def _perform_latest(self, within: Job) -> None:
        """Perform what was submitted last, unless it has to wait. What others submitted may be waiting for `within`."""
        job = within.latest
        if job is None or within.depth >= DEEPEST or not all(future.done() for future in job.run.upstream):
            return
        if job.claim():
            self._perform(job, job.perform)

    # The end.

    def _drop_waiting(self) -> None:
        while True:
            try:
                job = self._jobs.get_nowait()
            except queue.Empty:
                return
            if job is not None and job.claim():
                job.drop(RunCancelled("The flow run ended before this task run began."))
                self._finished()

    def _interrupt_busy(self) -> None:
        for ident, job in list(self._busy.items()):
            if not job.future.done():
                raise_in_thread(ident, RunCancelled)

    def _leave_behind_busy(self) -> None:
        for job in list(self._busy.values()):
            life = job.life
            if life is not None:
                life.leave_behind(RunCancelled("It can't be interrupted, so its thread was left behind."))
        with self._changed:
            self._changed.wait_for(lambda: self._unfinished == 0, RELIEF)

    def relieve(self, job: Job, rest: Callable[[], None]) -> None:
        """Let another thread take the place of one that is stuck in a job."""
        with self._changed:
            self._left_behind += 1
            left = self._left_behind
            thread = threading.Thread(target=self._take_over, args=(job, rest), name="task-runner-relief", daemon=True)
            self._threads.append(thread)
        job.run.log.warning("Task run %r can't be interrupted. Threads left behind so far: %d.", job.run.name, left)
        thread.start()

    def _take_over(self, job: Job, rest: Callable[[], None]) -> None:
        self._perform(job, partial(job.carry_out, rest))
        self._work()


ConcurrentTaskRunner = ThreadPoolTaskRunner
"""The same under the name that it had before, for flows that come from elsewhere."""
