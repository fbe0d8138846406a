"""The life of a call, from its first state to its last: for flows and tasks, in sync and async code alike."""

from __future__ import annotations

from collections.abc import Generator
from typing import TYPE_CHECKING, Any

from orchestrator.engine import hooks, retries
from orchestrator.engine.effects import Body, CloseRunner, Settle, Sleep

if TYPE_CHECKING:
    from orchestrator.engine.drivers import Effect
    from orchestrator.engine.run import Run


def live(run: Run) -> Generator[Effect, Any, None]:
    """Wait for what the arguments depend on, execute as often as retries allow, report, call the hooks."""
    run.enter()
    try:
        try:
            run.check_stop()
            if run.upstream:
                yield Settle(run.upstream)
            run.prepare()
        except BaseException as error:
            run.fail(error)
        else:
            yield from _executions(run)
        run.end()
        if run.definition.has_hooks:
            yield from hooks.after(run)
    finally:
        run.leave()


def _executions(run: Run) -> Generator[Effect, Any, None]:
    while True:
        run.begin()
        if run.definition.has_hooks:
            yield from hooks.running(run)
        yield from _execution(run)
        if not run.failed:
            return
        delay = retries.next_delay(run)
        if delay is None or run.hand_back(delay):
            return
        run.await_retry(delay)
        if delay:
            try:
                yield Sleep(run, delay)
            except BaseException as error:
                run.fail(error)
                return


def _execution(run: Run) -> Generator[Effect, Any, None]:
    """Once through the user's function, and through everything that it left to a task runner."""
    try:
        value = yield Body(run)
        if run.runner is not None:
            yield CloseRunner(run.runner, "wait")
        pending = run.unsettled(value)
        if pending:
            yield Settle(pending)
        run.conclude(value)
    except BaseException as error:
        run.fail(error)
        if run.runner is not None:
            yield CloseRunner(run.runner, "drop" if run.went_wrong_by_itself else "stop")
