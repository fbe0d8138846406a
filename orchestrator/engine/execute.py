"""The process of one run, however it came to be: `python -m orchestrator.engine.execute LINE OUTPUT` is a fresh one.

LINE is the descriptor of the line to the agent (`line.py`), which says what to run and brings the token of the
attempt; OUTPUT is the reading end of what the process prints into. Exit codes: 0 when the server was told how the run
ended, or that it is handed back; 70 when the process was ended before that.
"""

from __future__ import annotations

import atexit
import contextlib
import gc
import io
import os
import socket
import sys
import threading
import time
import traceback
from typing import TYPE_CHECKING, Any, NoReturn

from orchestrator import masking
from orchestrator.config import Api, use_api
from orchestrator.engine.flow_run import Execution
from orchestrator.engine.line import ENDED_EARLY, Line
from orchestrator.states import StateType

if TYPE_CHECKING:
    from orchestrator.engine.flow_run import FlowRun
    from orchestrator.flows import Flow
    from orchestrator.tasks import Task

LINGER = 30.0  # seconds that threads left by user code may keep the process


def main(argv: list[str]) -> int:
    """Run what the line says."""
    descriptor, output = int(argv[1]), int(argv[2])
    os.set_inheritable(descriptor, False)
    os.set_inheritable(output, False)
    line = Line(socket.socket(fileno=descriptor), output)
    try:
        order = line.order()
    except EOFError:
        return ENDED_EARLY
    code = ENDED_EARLY
    atexit.register(lambda: line.end(code))  # The first one registered is the last one called.
    code = call_hooks(order) if "ended" in order else exit_code(perform(line, order))
    return code


def perform(line: Line, order: dict[str, Any], loaded: Flow[..., Any] | Task[..., Any] | None = None) -> FlowRun:
    """Execute what an agent ordered, to its end.

    Args:
        loaded: The flow, where the process has it already.
    """
    line.listen()
    execution = _begin(order)
    execution.on_start = line.introduce
    if loaded is None:
        loaded, why_not = _load(order["claim"], order["directory"])
        if why_not is not None:
            execution.parameters = {}
    return loaded.execute(execution)


def call_hooks(order: dict[str, Any]) -> int:
    """Call the hooks of a run whose process is gone. Nobody has signals for it; it ends in time by itself."""
    from orchestrator.engine import last_hooks

    execution = _begin(order)
    flow, why_not = _load(order["claim"], order["directory"])
    last_hooks.call(flow, execution, order["ended"], within=float(order["hooks_seconds"]), why_not=why_not)
    return 0


def _begin(order: dict[str, Any]) -> Execution:
    for stream in (sys.stdout, sys.stderr):  # The agent reads them, and tells the server their last lines.
        masking.guard(stream)
    execution = Execution(order["claim"])
    use_api(Api(order["api_url"], execution.token))
    return execution


def exit_code(run: FlowRun) -> int:
    """What the process of a run says by its end."""
    return ENDED_EARLY if run.state_type is StateType.CRASHED else 0


def _load(claim: dict[str, Any], directory: str) -> tuple[Flow[..., Any] | Task[..., Any], Exception | None]:
    """The flow or task; or, if it can't be loaded, one that fails by saying why, so that the run's page does."""
    from orchestrator.flows import Flow

    try:
        from orchestrator.loading import load

        return load(claim["entrypoint"], directory), None
    except Exception as error:
        reason = error

        def refuse() -> None:
            raise reason

        return Flow(refuse, name="(could not be loaded)"), reason


def perform_and_exit(
    line: Line, order: dict[str, Any], loaded: Flow[..., Any] | Task[..., Any] | None = None
) -> NoReturn:
    """Execute what an agent ordered, and end this process as an interpreter would."""
    try:
        code = exit_code(perform(line, order, loaded))
    except SystemExit as error:
        code = error.code if isinstance(error.code, int) else int(error.code is not None)
    except BaseException:
        traceback.print_exc()
        code = 1
    end_process(code, line)


def end_process(code: int, line: Line | None = None) -> NoReturn:
    """Do what an interpreter does at its end, but for taking down its modules.

    In a warm process that costs more than a short run does, and helps nobody.
    """
    leave_in_the_end(code)
    with contextlib.suppress(BaseException):
        threading._shutdown()  # type: ignore[attr-defined]
    with contextlib.suppress(BaseException):
        atexit._run_exitfuncs()
    _flush_files()
    if line is not None:
        line.end(code)
    os._exit(code)


def _flush_files() -> None:
    """Write what is buffered in files that were left open. What a template had opened is not this process's."""
    gc.collect()
    for each in [sys.stdout, sys.stderr, *gc.get_objects()]:
        if isinstance(each, io.TextIOWrapper | io.BufferedWriter | io.BufferedRandom):
            with contextlib.suppress(Exception):
                each.flush()


def leave_in_the_end(code: int) -> None:
    """Threads that user code left running must not hold the agent's slot for ever."""

    def watch() -> None:
        time.sleep(LINGER)
        os._exit(code)

    threading.Thread(target=watch, name="orchestrator-exit", daemon=True).start()


if __name__ == "__main__":
    exit_with = main(sys.argv)
    leave_in_the_end(exit_with)
    sys.exit(exit_with)
