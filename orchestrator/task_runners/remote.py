"""Runners that have the bodies of tasks performed elsewhere: the base of those on clusters."""

from __future__ import annotations

import threading
from collections.abc import Callable
from typing import Any, Self

from orchestrator.engine import handover
from orchestrator.engine.drivers import Life
from orchestrator.engine.effects import Body
from orchestrator.engine.failures import short
from orchestrator.engine.life import live
from orchestrator.engine.run import Run
from orchestrator.engine.task_run import TaskRun
from orchestrator.exceptions import CrashedRun
from orchestrator.futures import Future
from orchestrator.task_runners.threads import ThreadPoolTaskRunner


class RemoteTaskRunner(ThreadPoolTaskRunner):
    """Have the bodies of submitted tasks performed by processes of somebody else: a cluster, a pool, a queue.

    Subclass it with `call`, which takes bytes to such a process, has `orchestrator.task_runners.remote.work(bytes)`
    called there, and brings the answer back; and with `duplicate`. The processes must have the code of the flow.

    Retries, hooks and states of the tasks stay here, `max_workers` at a time. What the tasks log, and the tasks that
    they call, are told by the other process to the same API, as a writer of its own. Flows can't be called there.

    Args:
        max_workers: How many tasks are under way at once; 32 by default.

    >>> from orchestrator import flow, task
    >>> from orchestrator.task_runners.remote import RemoteTaskRunner, work
    >>> class HereTaskRunner(RemoteTaskRunner):
    ...     def duplicate(self):
    ...         return HereTaskRunner(self.max_workers)
    ...     def call(self, packed):
    ...         return work(packed)
    >>> @task
    ... def square(x):
    ...     return x * x
    >>> @flow(task_runner=HereTaskRunner(max_workers=1))
    ... def squares():
    ...     return square.map([1, 2]).result()
    >>> squares()
    [1, 4]
    """

    def __init__(self, max_workers: int | None = None) -> None:
        super().__init__(max_workers)
        self._introduced: bytes | None = None
        self._introducing = threading.Lock()

    def duplicate(self) -> Self:
        raise NotImplementedError(f"{type(self).__name__} says by duplicate() how another one like it is made.")

    def call(self, packed: bytes) -> bytes:
        """Have `work(packed)` called in another process, and return what it returned.

        Called in one of `max_workers` threads. An exception says that the process was lost: the task has crashed, and
        is tried again if it has retries. `RunCancelled` is raised in here when the task is cancelled.
        """
        raise NotImplementedError

    def submit(self, run: Run, execute: Callable[[Run], Any]) -> Future[Any]:
        return super().submit(run, self._live)

    def _live(self, run: Run) -> None:
        handover.perform(run, _with_bodies_elsewhere(live(run), self._perform_body))
        run.forget_value()

    def _perform_body(self, run: TaskRun) -> Any:
        from orchestrator.elsewhere.writers import pack, unpack

        packed = pack(self._introduction(run), run)
        try:
            answer = self.call(packed)
        except Exception as error:
            crash = CrashedRun(f"The place where task run {run.name!r} was under way was lost: {short(error)}")
            crash.run_id = run.id  # pyright: ignore[reportAttributeAccessIssue]
            raise crash from error
        return unpack(run, answer)

    def _introduction(self, run: TaskRun) -> bytes:
        """Who asks: the same for all that one flow run submits."""
        from orchestrator.elsewhere.calls import introduction

        with self._introducing:
            if self._introduced is None:
                self._introduced = introduction(run.flow_run)
            return self._introduced


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


def work(packed: bytes) -> bytes:
    """Perform what a `RemoteTaskRunner` packed, and return the answer to it."""
    from orchestrator.elsewhere import writers

    return writers.work(packed)
