"""Runs as processes of this machine: forked from what is warm where that can be, else started afresh."""

from __future__ import annotations

from typing import Any

from orchestrator.agent import places
from orchestrator.agent.adoption import Adoption
from orchestrator.agent.launchers import Claimed
from orchestrator.agent.log import Log
from orchestrator.agent.memory import Bounds
from orchestrator.agent.process import FreshProcess, NewProcess
from orchestrator.agent.settings import Settings
from orchestrator.agent.templates import Templates
from orchestrator.agent.watch import Watch
from orchestrator.client import Client
from orchestrator.config import Api


class ProcessLauncher:
    """Starts the process of each run, the way its deployment asks for."""

    def __init__(
        self, api: Api, settings: Settings, watch: Watch, log: Log, adoption: Adoption, bounds: Bounds
    ) -> None:
        self._bounds = bounds
        self._api = api
        self._client = Client(api)
        self._settings = settings
        self._watch = watch
        self._adoption = adoption
        self.templates = Templates(api.url, settings, watch, log)

    def start(self) -> None:
        """Have the base ready before the first run comes."""
        self.templates.base()

    def launch(self, claimed: Claimed) -> NewProcess:
        """Start a run's process.

        A deployment's first runs wait for its template: the import happens once, however many they are. Where it
        fails, the run's own process imports the code, and the run fails by saying why.
        """
        place = places.place_of(claimed.claim["source"], self._client, claimed.token)
        claimed.directory, claimed.claim["commit"] = place
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
            process = fresh = FreshProcess(claimed, order, self._settings, self._watch)
            fresh.start(claimed, self._settings)
        self._bounds.add(process)
        return process

    def _order(self, claimed: Claimed) -> dict[str, Any]:
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
