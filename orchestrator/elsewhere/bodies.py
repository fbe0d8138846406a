"""One call of a task's function, in a process that the run's life is not in."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from orchestrator.elsewhere import outcomes
from orchestrator.engine.drivers import drive
from orchestrator.engine.effects import Body, Settle
from orchestrator.engine.life import close_runners
from orchestrator.engine.outcomes import futures_in
from orchestrator.exceptions import TimedOut
from orchestrator.futures import Future

if TYPE_CHECKING:
    from orchestrator.engine.task_run import TaskRun
    from orchestrator.task_runners.base import End


def perform(run: TaskRun) -> bytes:
    """Call the function and say what came of it. Never raises."""
    try:
        run.enter()
        try:
            return outcomes.of_value(run, _value(run))
        finally:
            run.leave()
    except BaseException as error:
        return outcomes.of_failure(run, error)


def _value(run: TaskRun) -> Any:
    try:
        run.check_stop()
        value = _called(run)
        _close_runners(run, "wait")
        return _settled(value)
    except BaseException as error:
        _close_runners(run, "drop" if isinstance(error, Exception) and not isinstance(error, TimedOut) else "stop")
        raise


def _called(run: TaskRun) -> Any:
    body = Body(run)
    if run.definition.is_async:
        import asyncio

        return asyncio.run(body.arun())
    return body.run()


def _close_runners(run: TaskRun, end: End) -> None:
    """What the function submitted ran in threads of this process: it ends with the call."""
    drive(close_runners(run.flow_run, end))


def _settled(value: Any) -> Any:
    """Futures stay behind; their states say the same."""
    pending = futures_in(value)
    if not pending:
        return value
    Settle(pending).run()
    if isinstance(value, Future):
        return value.state
    return [item.state if isinstance(item, Future) else item for item in value]
