"""The process of one run: `python -m orchestrator.engine.execute FD`, started by an agent.

The pipe FD brings one line of JSON that says what to run, with the token of the attempt, then a line for each signal.
Its end means that the agent is gone: the run stops. Exit codes: 0 when the server was told how the run ended, or that
it is handed back; 70 when the process was ended before that.
"""

from __future__ import annotations

import json
import os
import sys
import threading
import time
from typing import TYPE_CHECKING, Any, BinaryIO

from orchestrator.config import Api, use_api
from orchestrator.engine.flow_run import Execution, FlowRun
from orchestrator.exceptions import RunTerminated
from orchestrator.states import StateType

if TYPE_CHECKING:
    from orchestrator.flows import Flow

ENDED_EARLY = 70
LINGER = 30.0  # seconds that threads left by user code may keep the process


class Agent:
    """What the run's process hears of its agent."""

    def __init__(self, pipe: BinaryIO, grace: float) -> None:
        self._pipe = pipe
        self._grace = grace
        self._run: FlowRun | None = None
        self._early: list[str] = []
        self._lock = threading.Lock()

    def listen(self) -> None:
        """Hear signals from now on."""
        threading.Thread(target=self._listen, name="orchestrator-agent", daemon=True).start()

    def introduce(self, run: FlowRun) -> None:
        """From now on signals go to this run."""
        with self._lock:
            self._run = run
            early, self._early = self._early, []
        for word in early:
            self._pass_on(word)

    def _listen(self) -> None:
        for line in self._pipe:
            self._pass_on(str(json.loads(line).get("signal")))
        self._pass_on("gone")
        time.sleep(self._grace)
        os._exit(ENDED_EARLY)

    def _pass_on(self, word: str) -> None:
        with self._lock:
            run = self._run
            if run is None:
                self._early.append(word)
                return
        if word == "gone":
            run.stopping_state.stop(RunTerminated("The agent that started this run is gone."))
        else:
            run.stopping_state.signalled(word)


def main(argv: list[str]) -> int:
    """Run what the pipe says."""
    descriptor = int(argv[1])
    os.set_inheritable(descriptor, False)
    pipe = os.fdopen(descriptor, "rb")
    order = json.loads(pipe.readline())
    agent = Agent(pipe, float(order.get("grace", 10.0)))
    agent.listen()
    execution = Execution(order["claim"])
    execution.on_start = agent.introduce
    use_api(Api(order["api_url"], execution.token))
    flow = _load(order["claim"], order["directory"])
    parameters = order["claim"]["parameters"] if flow.name != _REFUSING else {}
    run = flow.execute(parameters, execution)
    return ENDED_EARLY if run.state_type is StateType.CRASHED else 0


_REFUSING = "(could not be loaded)"


def _load(claim: dict[str, Any], directory: str) -> Flow[..., Any]:
    """The flow; or, if it can't be loaded, one that fails by saying why, so that the run's page does."""
    from orchestrator.flows import Flow

    try:
        from orchestrator.loading import load_flow

        return load_flow(claim["entrypoint"], directory)
    except Exception as error:
        reason = error

        def refuse() -> None:
            raise reason

        return Flow(refuse, name=_REFUSING)


def _exit_in_the_end(code: int) -> None:
    """Threads that user code left running must not hold the agent's slot for ever."""

    def watch() -> None:
        time.sleep(LINGER)
        os._exit(code)

    threading.Thread(target=watch, name="orchestrator-exit", daemon=True).start()


if __name__ == "__main__":
    exit_code = main(sys.argv)
    _exit_in_the_end(exit_code)
    sys.exit(exit_code)
