"""Runs as processes of this machine: forked from what is warm where that can be, else started afresh."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from orchestrator.agent import places
from orchestrator.agent.launchers import Claimed, Execution, Launcher, Means
from orchestrator.agent.process import FreshProcess, NewProcess
from orchestrator.agent.templates import Templates
from orchestrator.client import Client


class ProcessLauncher(Launcher):
    """Starts the process of each run, the way its deployment asks for.

    A launcher that starts processes of this machine in a way of its own is a subclass of it, whose `launch` answers
    `self.fresh(…)`.
    """

    def __init__(self, means: Means) -> None:
        self._bounds = means.bounds
        self._api = means.api
        self._client = Client(means.api)
        self._settings = means.settings
        self._watch = means.watch
        self._adoption = means.adoption
        self.templates = Templates(means.api.url, means.settings, means.watch, means.log)

    def start(self) -> None:
        """Have the base ready before the first run comes."""
        self.templates.base()

    def launch(self, claimed: Claimed) -> Execution:
        """Start a run's process.

        A deployment's first runs wait for its template: the import happens once, however many they are. Where it
        fails, the run's own process imports the code, and the run fails by saying why.
        """
        order = self._order(claimed)

        def make() -> NewProcess:
            return NewProcess(claimed, order, self._settings, self._watch)

        process = None
        if claimed.process != "fresh":
            process = self.templates.execution(claimed, make)
            if claimed.stop.is_set() and process is None:
                raise InterruptedError("The run was told to stop before it began.")
            process = process or self.templates.cold_execution(claimed, make)
        if process is None:
            return self._fresh(claimed, order, ())
        self._bounds.add(process)
        return process

    def fresh(self, claimed: Claimed, *, command: Sequence[str] = ()) -> Execution:
        """Start a run in an interpreter of its own, with the environment that its configuration asks for.

        Args:
            command: What the interpreter and its arguments are given to: a program that becomes what is named behind
                it, with its open files and its process group, like `("nice", "-n", "10")`.

        Raises:
            OSError: It can't be started.
            OrchestratorError: Its code can't be fetched.
        """
        return self._fresh(claimed, self._order(claimed), command)

    def _fresh(self, claimed: Claimed, order: dict[str, Any], command: Sequence[str]) -> FreshProcess:
        process = FreshProcess(claimed, order, self._settings, self._watch)
        process.start(claimed, self._settings, command)
        self._bounds.add(process)
        return process

    def _order(self, claimed: Claimed) -> dict[str, Any]:
        """What the process is told. Its code is here then."""
        place = places.place_of(claimed.claim["source"], self._client, claimed.token)
        claimed.directory, claimed.claim["commit"] = place
        if claimed.ended is not None:
            last = {"ended": claimed.ended, "hooks_seconds": self._settings.hooks, "adoption": None}
        else:
            last = {"adoption": self._adoption.order(claimed)}
        return {
            "claim": claimed.claim,
            "api_url": self._api.url,
            "directory": claimed.directory,
            "environment": claimed.environment,
            "grace": self._settings.grace,
            **last,
        }

    def groups(self) -> list[int]:
        """The process groups of what is warm."""
        return self.templates.groups()

    def counts(self) -> tuple[int, int]:
        """How many templates and how many spares there are."""
        return self.templates.counts()

    def tidy(self) -> None:
        """Let go of what was not needed for a while."""
        self.templates.tidy()

    def close(self) -> None:
        """End what is warm. Runs under way have been seen to."""
        self.templates.close()
        self._client.close()
