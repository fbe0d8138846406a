"""`timeout_seconds`: how user code is ended when its time is up.

| where the code runs | how | what can't be ended |
|---|---|---|
| coroutine | its asyncio task is cancelled, each second anew | what swallows each cancellation, a call into C |
| main thread | SIGALRM, each second anew: also ends `time.sleep`, sockets, locks | a call into C, until it returns |
| worker thread | an asynchronous exception, each second anew | a blocking call: its thread is left behind |
| child process | as in a main thread, then it is killed | nothing |

Inside user code the end is a BaseException, so that `except Exception` does not swallow it; outside it becomes
FlowRunTimeout or TaskRunTimeout, which are ordinary exceptions. Code that swallows it and returns has timed out too.
Code that goes on is ended anew each second, and so is code that never saw it: what is raised in a finalizer or in a
callback of a weak reference or of the garbage collector is ignored by the interpreter. What code does in the end, in
`finally` and `with`, is not disturbed.
"""

from __future__ import annotations

import inspect
import threading
from typing import TYPE_CHECKING, Any, cast

from orchestrator.engine import handover
from orchestrator.engine.deadlines import AlarmDeadline, CoroutineDeadline, Deadline, Expired, ThreadDeadline
from orchestrator.exceptions import FlowRunTimeout, TaskRunTimeout, TimedOut

if TYPE_CHECKING:
    from orchestrator.engine.flow_run import FlowRun
    from orchestrator.engine.run import Run


_DEAF = "It can't be interrupted, so its thread was left behind."
_LATE = "It did not let itself be ended, and returned after that."


def limited(run: Run) -> Any:
    """Call the run's function; end it after its timeout."""
    seconds = run.definition.timeout_seconds
    assert seconds is not None
    deadline: Deadline
    if threading.current_thread() is threading.main_thread():
        deadline = AlarmDeadline(seconds)
    else:
        deadline = ThreadDeadline(seconds, handover.of(run), lambda: timed_out(run, _DEAF))
    _holdable(run, deadline)
    deadline.start()
    try:
        value = run.definition.fn(*run.args, **run.kwargs)
    except Expired as expired:
        if expired.deadline is not deadline:
            raise
        raise timed_out(run) from None
    finally:
        deadline.end()
    if deadline.fired:
        raise timed_out(run, _LATE)
    return value


async def limited_async(run: Run) -> Any:
    """Await the run's function; cancel it after its timeout."""
    import asyncio

    seconds = run.definition.timeout_seconds
    assert seconds is not None
    deadline = CoroutineDeadline(seconds)
    _holdable(run, deadline)
    deadline.start()
    try:
        outcome = run.definition.fn(*run.args, **run.kwargs)
        value = await outcome if inspect.isawaitable(outcome) else outcome
    except (asyncio.CancelledError, Expired) as error:
        deadline.end()
        own = error.deadline is deadline if isinstance(error, Expired) else deadline.fired and deadline.alone
        if not own:
            raise
        raise timed_out(run) from None
    finally:
        deadline.end()
    if deadline.fired:
        raise timed_out(run, _LATE)
    return value


def _holdable(run: Run, deadline: Deadline) -> None:
    """While a flow waits for people, its time stands still."""
    if run.definition.kind_of_run == "flow":
        cast("FlowRun", run).deadline = deadline


def timed_out(run: Run, more: str = "") -> TimedOut:
    """The exception for a run that took too long, and what else is to be said of it."""
    kind = FlowRunTimeout if run.definition.kind_of_run == "flow" else TaskRunTimeout
    error = kind(
        f"{run.name!r} took longer than its timeout_seconds={run.definition.timeout_seconds:g}. {more}".strip()
    )
    error.run_id = run.id  # pyright: ignore[reportAttributeAccessIssue]
    return error
