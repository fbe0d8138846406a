"""The heartbeat: one request renews all leases, brings what the runs have to know, and takes the agent's news along."""

from __future__ import annotations

import contextlib
import threading
import time
from collections.abc import Callable
from typing import TYPE_CHECKING, Any, TypeVar

from orchestrator.agent import leftovers
from orchestrator.agent.load import Loads
from orchestrator.agent.settings import SIGNALS_WITHIN
from orchestrator.client import Client
from orchestrator.exceptions import ApiError, NotFound

if TYPE_CHECKING:
    from orchestrator.agent.agent import Agent

Answer = TypeVar("Answer")

SWEEP_EVERY = 15.0
NEWS_EVERY = 15.0  # seconds between two heartbeats of an agent that holds nothing but has something to tell
LOAD_EVERY = 10.0
END_WITHIN = 5.0


class Heart:
    """Beats in a thread of its own, so that nothing the agent does can delay it.

    An agent that holds no run is seen to live by its waiting for work. It has no heartbeat but for news of itself.
    """

    def __init__(self, agent: Agent) -> None:
        self._agent = agent
        self._end = threading.Event()
        self._sooner = threading.Event()
        self._leases_changed = threading.Event()
        self._loads = Loads(LOAD_EVERY)
        self._failed = ""
        self._sweeper: threading.Thread | None = None

    def start(self) -> None:
        """Begin, once the agent is registered."""
        self._agent.begin(self._beat, "agent-heartbeat")
        self._sweeper = self._agent.begin(self._sweep, "agent-leftovers")

    def watch_leases(self) -> None:
        """Stop runs whose leases can't be renewed, from now on."""
        self._agent.begin(self._watch_leases, "agent-leases")

    def stop(self) -> None:
        """End."""
        self._end.set()
        self.quicken()
        if self._sweeper is not None:
            self._sweeper.join(END_WITHIN)

    def quicken(self) -> None:
        """A run was claimed, or is over: from now on its signals are wanted soon."""
        self._sooner.set()
        self._leases_changed.set()

    def tell(self) -> None:
        """Beat once more, for the last lines of the log. They may be lost."""
        with contextlib.suppress(ApiError):
            self._once(self._agent.client, None)

    # The heartbeat.

    def _pause(self) -> float:
        return min(self._agent.heartbeat_seconds, SIGNALS_WITHIN) if self._agent.holdings else NEWS_EVERY

    def _beat(self) -> None:
        with Client(self._agent.client.api, timeout=max(2.0, self._agent.lease_seconds / 2)) as client:
            soon = bool(self._agent.holdings)  # What was adopted before we were registered has no time to lose.
            while not self._end.is_set():
                if not soon and self._sooner.wait(self._pause()):
                    self._sooner.clear()
                    continue
                soon = False
                self._tell(client)

    def _tell(self, client: Client) -> None:
        load = self._ask(lambda: self._loads.news(self._agent))
        if not self._agent.holdings and not self._agent.log and load is None:
            return
        try:
            self._once(client, load)
        except NotFound:
            self._register()
        except ApiError:
            # The next beat tries again; leases last four beats.
            self._end.wait(min(1.0, self._agent.heartbeat_seconds / 2))

    def _once(self, client: Client, load: dict[str, Any] | None) -> None:
        agent = self._agent
        leases, lines = agent.holdings.leases(), agent.log.take()
        asked_at = time.monotonic()
        body = {"leases": leases, "log": lines, **({"load": load} if load is not None else {})}
        try:
            told = client.post(f"/agents/{agent.id}/heartbeat", body)
        except ApiError as error:
            agent.contact.missed(error)
            agent.log.give_back(lines)
            raise
        agent.contact.heard()
        if load is not None:
            self._loads.told(load)
        lost = {(str(each["run"]), int(each["attempt"])) for each in told["lost"]}
        kept = [lease for lease in leases if (lease["run"], lease["attempt"]) not in lost]
        agent.holdings.renewed(kept, asked_at, agent.lease_seconds, {str(run) for run in told["replaceable"]})
        for run, attempt in lost:
            agent.holdings.lose(run, attempt)
        for each in told["signals"]:
            agent.holdings.signal(str(each["run"]), str(each["signal"]))

    def _register(self) -> None:
        try:
            self._agent.register()
        except ApiError:
            self._end.wait(1.0)

    def _ask(self, launcher: Callable[[], Answer]) -> Answer | None:
        """Ask a launcher, which may be anybody's: what it raises must end neither leases nor what is left behind."""
        try:
            return launcher()
        except Exception as error:
            told = f"the launcher of this agent's pool type fails: {type(error).__name__}: {error}"
            if told != self._failed:
                self._failed = told
                self._agent.log.error(told)
            return None

    # Leases that can't be renewed.

    def _watch_leases(self) -> None:
        while not self._end.is_set():
            soonest = self._agent.holdings.stop_unrenewed()
            self._leases_changed.wait(soonest if soonest is None else max(soonest, 0.01))
            self._leases_changed.clear()

    # What is left behind.

    def _sweep(self) -> None:
        """Now and then look for journals of processes that died with an agent before this one."""
        while not self._end.is_set():
            began = time.monotonic()
            self._ask(self._agent.launcher.tidy)
            holdings = self._agent.holdings
            leftovers.sweep(self._agent.client, self._agent.id, holdings.live_streams(), holdings.call_hooks)
            self._end.wait(max(1.0, SWEEP_EVERY - (time.monotonic() - began)))
