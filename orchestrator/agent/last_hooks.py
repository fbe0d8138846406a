"""Hooks of runs whose process was killed: the agent calls them, each run's in a fresh process, with a time limit."""

from __future__ import annotations

import threading
from collections.abc import Callable
from typing import Any

from orchestrator.agent.launchers import Claimed, Execution
from orchestrator.agent.log import Log

MARGIN = 15.0  # seconds, for the start, and to send what was logged


class LastHooks:
    """Runs that have ended, and whose hooks are being called."""

    def __init__(self, launch: Callable[[Claimed], Execution], log: Log, seconds: float) -> None:
        self._launch = launch
        self._log = log
        self._seconds = seconds
        self._lock = threading.Lock()
        self._under_way: dict[str, Execution | None] = {}

    def __len__(self) -> int:
        return len(self._under_way)

    def expect(self, told: dict[str, Any]) -> None:
        """Count a run in, whose hooks are to be called in a moment."""
        with self._lock:
            self._under_way[str(told["run"]["run"])] = None

    def call(self, told: dict[str, Any], token: str) -> None:
        """Call the hooks of a run that was counted in, and wait for them.

        Args:
            told: The server's word: the state in which the run ended, and the run as in its claim.
            token: That of the attempt.
        """
        claimed = Claimed({**told["run"], "token": token}, ended=told["state"])
        try:
            execution = self._launch(claimed)
            with self._lock:
                self._under_way[claimed.run] = execution
            self._see_to(claimed, execution)
        except Exception as error:  # Launchers may be anybody's.
            self._log.error(f"the hooks of {claimed.name} could not be called: {error}")
        finally:
            with self._lock:
                self._under_way.pop(claimed.run, None)

    def _see_to(self, claimed: Claimed, execution: Execution) -> None:
        """Their process ends by itself in time; one that doesn't is killed."""
        killer = threading.Timer(self._seconds + MARGIN, execution.kill)
        killer.daemon = True
        killer.start()
        ending = execution.wait()
        killer.cancel()
        if ending.exit != 0:
            last = "\n".join(ending.last_lines[-5:])
            self._log.warning(f"the hooks of {claimed.name} did not come to their end, exit code {ending.exit}\n{last}")

    def terminate(self) -> None:
        """End all of them."""
        with self._lock:
            executions = [each for each in self._under_way.values() if each is not None]
        for execution in executions:
            execution.terminate()
