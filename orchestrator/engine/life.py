"""The life of a call, from its first state to its last: for flows and tasks, in sync and async code alike."""

from __future__ import annotations

from collections.abc import Callable, Generator
from functools import partial
from typing import TYPE_CHECKING, Any

from orchestrator.context import adopt_strays
from orchestrator.engine import handover, hooks, retries
from orchestrator.engine.drivers import Call, drive_async
from orchestrator.engine.effects import Body, CloseRunner, Gate, Settle, Sleep

if TYPE_CHECKING:
    from orchestrator.concurrency.tags import Held
    from orchestrator.engine.drivers import Effect
    from orchestrator.engine.flow_run import FlowRun
    from orchestrator.engine.run import Run
    from orchestrator.task_runners.base import End


def live(run: Run) -> Generator[Effect, Any, None]:
    """Wait for what the arguments depend on, execute as often as retries allow, report, call the hooks."""
    run.enter()
    try:
        try:
            run.check_stop()
            if run.root.stopping_state.wish is not None:
                yield Gate(run.root)
            if run.upstream:
                yield Settle(run.upstream)
            run.prepare()
            is_known = run.keeping is not None and (yield from run.keeping.recalled())
        except BaseException as error:
            run.fail(error)
        else:
            if not is_known:
                if run.takes_over:
                    from orchestrator.engine.undo import leftovers

                    yield Call(partial(leftovers, run.root))
                yield from _executions(run)
        if run.keeping is not None:
            yield from run.keeping.let_go()
        if run.transaction is not None:
            yield from _settle(run)
        if run.end() and run.definition.has_hooks:
            yield from hooks.after(run)
    finally:
        run.leave()


def _settle(run: Run) -> Generator[Effect, Any, None]:
    """Let a task count, or wait for the transaction around it, or have undone what it called."""
    assert run.transaction is not None
    try:
        yield from run.transaction.settle()
    except BaseException as error:
        run.fail(error)


def perform_elsewhere(run: Run) -> None:
    """Live a submitted run in a worker thread. What it raised is told by its future, except what stops the thread."""
    if run.definition.is_async:
        import asyncio

        asyncio.run(drive_async(live(run)))
    else:
        handover.perform(run, live(run))
    run.forget_value()


def perform_as_root(run: Run, perform: Callable[[], object]) -> FlowRun:
    """Perform the run of an execution that an agent was given. The returned root tells its final state."""
    root: FlowRun = run.root
    execution = root.execution
    assert execution is not None
    if execution.alone:
        adopt_strays(root)
    if execution.on_start is not None:
        execution.on_start(root)
    try:
        perform()
    except BaseException:
        # The run has taken note. What ended the process from outside is known by its state.
        if run.error is None:
            raise
    return root


def _executions(run: Run) -> Generator[Effect, Any, None]:
    while True:
        try:
            slots = (yield from _slots(run)) if run.tags else None
        except BaseException as error:
            run.fail(error)
            return
        run.begin()
        try:
            yield from _execution(run)
        finally:
            if slots is not None:
                slots.give_back()
        if not run.failed:
            return
        delay = yield from retries.next_delay(run)
        if delay is None or run.hand_back(delay):
            return
        if run.transaction is not None:
            yield from run.transaction.afresh()
        run.await_retry(delay)
        if delay:
            try:
                yield Sleep(run, delay)
            except BaseException as error:
                run.fail(error)
                return


def _slots(run: Run) -> Generator[Effect, Any, Held | None]:
    """Wait for slots of the tags that are limited, where there is a server that knows of limits."""
    if run.stream is None:
        return None
    from orchestrator.concurrency.tags import taken

    return (yield from taken(run))


def _execution(run: Run) -> Generator[Effect, Any, None]:
    """Once through the user's function, and through everything that it left to a task runner."""
    try:
        if run.definition.has_hooks:
            yield from hooks.running(run)
        value = yield Body(run)
        left = yield from close_runners(run, "wait")
        pending = run.unsettled(value)
        if pending:
            yield Settle(pending)
        if run.keeping is not None:
            yield from run.keeping.keep(value)
        run.conclude(value)
    except BaseException as error:
        run.fail(error)
        left = yield from close_runners(run, "drop" if run.went_wrong_by_itself else "stop")
    if left:
        run.tell_left_behind(left)


def close_runners(run: Run, end: End) -> Generator[Effect, Any, int]:
    """Wait for what was submitted, or bring it to its end: tasks first, since they may still submit flows.

    Returns how many threads are left behind.
    """
    left = 0
    if run.runner is not None:
        left += yield CloseRunner(run.runner, end)
    if run.flow_runner is not None:
        left += yield CloseRunner(run.flow_runner, end)
    run.runner = run.flow_runner = None
    return left
