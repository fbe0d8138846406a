"""Executes runs of deployments in this process, as an agent would: claim, execute, tell the end."""

from __future__ import annotations

import threading
from typing import Any
from uuid import UUID

from orchestrator import journal
from orchestrator.client import Client
from orchestrator.config import Api
from orchestrator.engine import last_hooks
from orchestrator.engine.flow_run import Execution
from orchestrator.exceptions import OrchestratorError
from orchestrator.states import StateType
from orchestrator.testing.memory.api import Memory

MAX_RUNS = 10_000  # of one `work()`: a flow that triggers itself would have no end
FLUSH_SECONDS = 10.0


class Worker:
    """Claims runs of every pool, one at a time."""

    def __init__(self, api: Api, memory: Memory) -> None:
        self._api = api
        self._memory = memory
        self._working = threading.Lock()

    def work_until(self, over: threading.Event) -> None:
        """Work whenever something is due."""
        while not over.is_set():
            self.work()
            with self._memory.store.changed:
                self._memory.store.changed.wait(0.05)

    def work(self) -> int:
        """Execute runs until none is due; how many they were."""
        done = 0
        with self._working, Client(self._api) as client:
            while done < MAX_RUNS and (found := self._claim(client)) is not None:
                agent, claim = found
                self._execute(client, agent, claim)
                done += 1
        return done

    def _claim(self, client: Client) -> tuple[str, dict[str, Any]] | None:
        import platform

        for pool in list(self._memory.store.pools):
            facts: dict[str, Any] = {"pool": pool, "name": "in-process", "queues": self._queues(pool)}
            facts |= {"python": platform.python_version(), "host": platform.node()}
            agent = client.post("/agents", facts)["id"]
            for claim in client.post(f"/agents/{agent}/claim", {"slots": 1})["runs"]:
                return agent, claim
        return None

    def _queues(self, pool: str) -> list[str]:
        """Those in which runs wait: also those of which nobody else takes them."""
        waiting = list(self._memory.store.runs.values())
        due = (run for run in waiting if run.state_type == StateType.SCHEDULED)
        own = (run.queue for run in due if run.deployment is not None and run.deployment.pool == pool)
        return list(dict.fromkeys(own))[:100]

    def _execute(self, client: Client, agent: str, claim: dict[str, Any]) -> None:
        gone: dict[str, Any] = {"run": claim["run"], "attempt": claim["attempt"]}
        try:
            flow = self._flow(client, claim)
        except OrchestratorError as error:
            client.post(f"/agents/{agent}/ended", {**gone, "reason": "never_started", "message": str(error)})
            return
        execution = Execution(claim)
        execution.alone = False
        run = flow.execute(execution)
        journal.hub_of(self._api).flush(FLUSH_SECONDS)
        if run.state_type is StateType.CRASHED:
            told = {**gone, "reason": "exited", "message": run.message or "It crashed."}
            hooks = client.post(f"/agents/{agent}/ended", told)["hooks"]
            if hooks is not None:
                last_hooks.call(flow, Execution(claim), hooks["state"])

    def _flow(self, client: Client, claim: dict[str, Any]) -> Any:
        """The very object that was deployed in this process; else its code, loaded as an agent does."""
        known = self._memory.flows.get(UUID(claim["deployment_id"]))
        if known is not None:
            return known
        from orchestrator.agent.places import place_of
        from orchestrator.loading import load

        return load(claim["entrypoint"], place_of(claim["source"], client, claim["token"]).directory)
