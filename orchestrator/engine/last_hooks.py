"""Hooks of a run whose process is gone, in a new process: on_crashed, and on_cancellation of what had to be killed.

The server has ended the run, since nobody else would; the agent that told it so starts this. The token is that of the
lost attempt. Its journal is closed, so what hooks log goes through a writer of its own. Hooks of the subflows and tasks
that were under way died with the process.
"""

from __future__ import annotations

import contextlib
import os
import random
import threading
from typing import TYPE_CHECKING, Any

from orchestrator import journal
from orchestrator.engine import hooks, undo
from orchestrator.engine.drivers import drive
from orchestrator.engine.flow_run import Execution, FlowRun
from orchestrator.states import StateType

if TYPE_CHECKING:
    from orchestrator.engine.drivers import Life
    from orchestrator.engine.task_run import TaskRun
    from orchestrator.flows import Flow
    from orchestrator.tasks import Task

FLUSH_SECONDS = 5.0
TOO_LATE = 75  # the exit code of a process whose hooks took too long


def call(
    flow: Flow[..., Any] | Task[..., Any],
    execution: Execution,
    state: dict[str, Any],
    *,
    within: float | None = None,
    why_not: Exception | None = None,
) -> None:
    """Call the hooks that hang on a state, each with the flow, the run and the state, as the engine would have.

    Args:
        within: Seconds after which this process is ended.
        why_not: What kept the flow from being loaded: said in the run's log, where its hooks can't be known.
    """
    execution.writer = random.randrange(1, 2**31)  # noqa: S311 - writer 0 is the process that is gone
    run = flow.run_for(execution)
    run.take_end(StateType(state["type"]), state["name"], state["message"], state["t"])
    if why_not is None and not hooks.hang_on(run) and not undo.any_left(run.root):
        return
    drive(_calling(run, within, why_not))


def _calling(run: FlowRun | TaskRun, within: float | None, why_not: Exception | None) -> Life:
    run.enter()
    if within is not None:
        _end_in(within, run)  # Not before it has a journal, which says so.
    try:
        with contextlib.suppress(Exception):  # It may be what the run failed by, too.
            run.prepare()
        if why_not is not None:
            run.log.error("Hooks can't be called, since the code can't be loaded: %s", why_not)
        else:
            run.log.info("The process of this run is gone: hooks of its end are called in a new one.")
            undo.leftovers(run.root)  # No attempt follows that would.
            yield from hooks.after(run)
    finally:
        run.leave()


def _end_in(seconds: float, run: FlowRun | TaskRun) -> None:
    def end() -> None:
        run.log.error("The hooks took longer than %g s and were ended.", seconds)
        journal.flush(FLUSH_SECONDS)
        os._exit(TOO_LATE)

    timer = threading.Timer(seconds, end)
    timer.daemon = True
    timer.start()
