"""The heartbeat: one request renews all leases of an agent and brings what its runs have to know."""

from __future__ import annotations

import threading
import time
from typing import TYPE_CHECKING

from orchestrator.agent import leftovers
from orchestrator.client import Client
from orchestrator.exceptions import ApiError, NotFound

if TYPE_CHECKING:
    from orchestrator.agent.agent import Agent

SWEEP_EVERY = 15.0
SIGNALS_WITHIN = 2.0  # seconds between two heartbeats while runs are held


class Heart:
    """Beats in a thread of its own, so that nothing the agent does can delay it."""

    def __init__(self, agent: Agent) -> None:
        self._agent = agent
        self._client = Client(agent.client.api, timeout=max(2.0, agent.lease_seconds / 2))
        self._end = threading.Event()
        self._sooner = threading.Event()

    def start(self) -> None:
        """Begin."""
        threading.Thread(target=self._beat, name="agent-heartbeat", daemon=True).start()
        threading.Thread(target=self._sweep, name="agent-leftovers", daemon=True).start()

    def stop(self) -> None:
        """End."""
        self._end.set()
        self._sooner.set()

    def quicken(self) -> None:
        """A run was claimed: from now on its signals are wanted soon."""
        self._sooner.set()

    def _pause(self) -> float:
        """A quarter of a lease keeps it; but who cancels a run does not want to wait that long."""
        beat = self._agent.heartbeat_seconds
        return min(beat, SIGNALS_WITHIN) if self._agent.held else beat

    def _beat(self) -> None:
        while not self._end.is_set():
            if self._sooner.wait(self._pause()):
                self._sooner.clear()
                continue
            try:
                self._once()
            except NotFound:
                self._register()
            except ApiError:
                # The next beat tries again; leases last four beats.
                self._end.wait(min(1.0, self._agent.heartbeat_seconds / 2))

    def _once(self) -> None:
        leases = self._agent.leases()
        told = self._client.post(f"/agents/{self._agent.id}/heartbeat", {"leases": leases, "running": len(leases)})
        for lost in told["lost"]:
            self._lose(str(lost["run"]), int(lost["attempt"]))
        for each in told["signals"]:
            self._agent.signal(str(each["run"]), str(each["signal"]))

    def _lose(self, run: str, attempt: int) -> None:
        held = self._agent.held.get(run)
        if held is not None and held.attempt == attempt:
            self._agent.signal(run, "superseded")

    def _register(self) -> None:
        try:
            self._agent.register()
        except ApiError:
            self._end.wait(1.0)

    def _sweep(self) -> None:
        """Now and then look for journals of processes that died with an agent before this one."""
        while not self._end.is_set():
            began = time.monotonic()
            self._agent.launcher.tidy()
            leftovers.sweep(self._agent.client, self._agent.id, self._agent.live_streams())
            self._end.wait(max(1.0, SWEEP_EVERY - (time.monotonic() - began)))
