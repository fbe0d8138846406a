"""A call of a task that `.delay` queued, or that a deployment of the task triggered, where it is executed."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING, Any

from orchestrator.engine.drivers import drive, drive_async
from orchestrator.engine.keeping import Keeping
from orchestrator.engine.life import live, perform_as_root
from orchestrator.engine.task_run import TaskRun
from orchestrator.exceptions import ResultNotStored

if TYPE_CHECKING:
    from collections.abc import Generator

    from orchestrator.engine.drivers import Effect
    from orchestrator.engine.flow_run import Execution, FlowRun
    from orchestrator.tasks import Task

CARRIED = (
    "retries",
    "retry_delay_seconds",
    "retry_jitter_factor",
    "timeout_seconds",
    "task_run_name",
    "log_prints",
)
"""Options of `with_options` that go along with a call. What is no JSON can't."""


class DelayedRun(TaskRun):
    """The only task of a run that the server made."""

    __slots__ = ("_execution",)

    def __init__(self, task: Task[..., Any], execution: Execution) -> None:
        super().__init__(_as_called(task, execution), (), {}, None, execution)
        self._execution = execution
        self.tags = self.tags | execution.tags
        if task.keeps is not False:
            self.keeping = _Kept(self, is_asked=bool(task.keeps))

    def prepare(self) -> None:
        self.args, self.kwargs = self.definition.call_arguments(self._parameters())
        super().prepare()

    def take_kept(self, found: Any, name: str) -> None:
        self.begin()  # Its run was only claimed, and ends as one that was seen to run.
        super().take_kept(found, name)

    def _parameters(self) -> dict[str, Any]:
        """What the task was called with; checked where it came from a form or another program, by its types."""
        task, execution = self.definition, self._execution
        given = {**task.defaults(), **execution.parameters}
        if execution.call is not None:
            stored = execution.call.get("stored")
            if stored:
                from orchestrator import references

                given |= references.get(task, stored)
            return given
        from orchestrator.parameters import coerce

        return coerce(task.fn, given, task.signature)


class _Kept(Keeping):
    """How the value of such a call is kept, for those who wait for it elsewhere: always, unless the task says no."""

    __slots__ = ("_is_asked",)

    def __init__(self, run: DelayedRun, *, is_asked: bool) -> None:
        super().__init__(run)
        self._is_asked = is_asked
        self.by_place = None  # It is the only call of its run, so its place tells all.

    def keep(self, value: Any) -> Generator[Effect, Any, None]:
        try:
            yield from super().keep(value)
        except ResultNotStored as error:
            if self._is_asked:
                raise
            self.run.log.warning("Nobody can have the value of this call: %s", error)


def _as_called(task: Task[..., Any], execution: Execution) -> Task[..., Any]:
    """The task with the options of this call."""
    options = (execution.call or {}).get("options") or {}
    return task.with_options(**{name: value for name, value in options.items() if name in CARRIED}) if options else task


def execute(task: Task[..., Any], execution: Execution) -> FlowRun:
    """Execute a task as the root of an execution that an agent was given. The returned run tells its final state."""
    run = DelayedRun(task, execution)
    return perform_as_root(run, partial(_perform, run))


def _perform(run: DelayedRun) -> None:
    if run.definition.is_async:
        import asyncio

        asyncio.run(drive_async(live(run)))
    else:
        drive(live(run))
