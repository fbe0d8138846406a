"""Tasks without a flow: a task that is called outside of any flow is the only task of a run of its own, and so is one
that was queued by `.delay`, where the server has made the run.

A journal belongs to the execution of a flow run, so such a call brings one along: a root that begins and ends with the
task, in the task's state, under the task's names. User code sees nothing of it (`runtime.flow_run` is empty there);
the portal shows a flow of the task's name. Without an API it tells nobody anything.
"""

from __future__ import annotations

import itertools
import os
import threading
from typing import TYPE_CHECKING

from orchestrator.engine.flow_run import FlowRun
from orchestrator.exceptions import ParameterBindError

if TYPE_CHECKING:
    from orchestrator.engine.flow_run import Execution
    from orchestrator.engine.task_run import TaskRun
    from orchestrator.flows import Flow
    from orchestrator.task_runners.base import TaskRunner
    from orchestrator.tasks import Task

_numbers = itertools.count()


class LoneRoot(FlowRun):
    """The root of an execution that consists of one task, and of what that calls."""

    __slots__ = ("_task_run",)

    is_alone = True

    def __init__(self, task_run: TaskRun, execution: Execution | None = None) -> None:
        super().__init__(_flow_of(task_run.definition), {}, execution=execution)
        self._task_run = task_run

    def count(self, task_name: str) -> int:
        return next(_numbers) if self.execution is None else super().count(task_name)

    def task_runner(self) -> TaskRunner:
        """For what the task submits; the task waits for all of it at its end."""
        self.runner = self._task_run.runner
        self._task_run.runner = runner = super().task_runner()
        return runner

    def subflow_runner(self) -> TaskRunner:
        """For the flows that it submits."""
        self.flow_runner = self._task_run.flow_runner
        self._task_run.flow_runner = runner = super().subflow_runner()
        return runner

    def enter(self) -> None:
        super().enter()
        if self.stream is not None and self.execution is None:
            from orchestrator.logging import set_up

            set_up()
            try:
                self.parameters = self._task_run.definition.bind(self._task_run.args, self._task_run.kwargs)
            except ParameterBindError:
                return  # The call itself will say so.

    def begin(self) -> None:
        """Begin with the task. Its retries are its own, but for a run of the server's, which counts executions."""
        if self.execution is not None:
            if self._task_run.definition.run_name is not None:
                self.name = self._task_run.name
            if self._task_run.run_count > self.run_count:
                super().begin()
        elif self.state_type is None:
            self.name = self._task_run.name
            super().begin()

    def end(self) -> bool:
        """End as the task did."""
        task_run = self._task_run
        self.keeping = task_run.keeping
        self.duration, self.told, self.error = task_run.duration, task_run.told, task_run.error
        if self.execution is None:
            self.name = task_run.name
        self._clock = 0
        assert task_run.state_type is not None
        self._finish(task_run.state_type, task_run.state_name, task_run.message)
        return super().end()

    def hand_back(self, delay: float) -> bool:
        """Leave the task's next execution to the server."""
        task_run = self._task_run
        self.duration, self.told, self.message, self.t = (
            task_run.duration,
            task_run.told,
            task_run.message,
            task_run.t,
        )
        return super().hand_back(delay)

    def _log_begin(self) -> None:
        return

    def _log_end(self) -> None:
        return


def _flow_of(task: Task[..., object]) -> Flow[..., object]:
    """What the root is a run of."""
    flow = task.flow_alone
    if flow is None:
        from orchestrator.flows import Flow

        flow = task.flow_alone = Flow(
            task.fn,
            name=task.name,
            description=task.description,
            tags=task.tags,
            version=task.version,
            flow_run_name=task.run_name,
            validate_parameters=False,
        )
    return flow


# Where they run when they are submitted.

_lock = threading.Lock()
_runner: TaskRunner | None = None


def runner() -> TaskRunner:
    """The threads for what is submitted outside of any flow. The process ends when all of it has."""
    global _runner
    with _lock:
        if _runner is None:
            from orchestrator.task_runners.threads import ThreadPoolTaskRunner

            _runner = ThreadPoolTaskRunner()
            # Before the journal's own end, which is an exit function, and sends what is told until then.
            threading._register_atexit(_runner.close)  # type: ignore[attr-defined]
    return _runner


def _forget_after_fork() -> None:
    global _lock, _runner
    _lock, _runner = threading.Lock(), None


os.register_at_fork(after_in_child=_forget_after_fork)
