"""The agent's life: register, wait, claim, launch, drain."""

from __future__ import annotations

import platform
import random
import signal
import threading
import time
from typing import Any

from orchestrator._version import __version__
from orchestrator.agent import bundles, leftovers
from orchestrator.agent.launchers import Claimed, Ending, Execution, Launcher
from orchestrator.agent.leases import Heart
from orchestrator.agent.local import ProcessLauncher
from orchestrator.agent.log import Log
from orchestrator.agent.settings import Settings
from orchestrator.client import Client
from orchestrator.config import Api
from orchestrator.exceptions import ApiError, Forbidden, NotFound, OrchestratorError, Unauthorized, Unavailable

WAIT_TIMEOUT = 40.0  # of the request that waits up to 25 s
LOOK_EVERY = 30.0  # claim at least this often, whatever the wake-ups say
SLOWEST = 15.0
KEY_REFUSALS = 3  # in a row: the key was revoked, and asking on would help nobody


class Agent:
    """Executes runs of one pool, `settings.limit` at a time.

    `run()` returns when it has been told to stop, by SIGTERM, SIGINT or `stop()`, or when its key is refused for good
    (`key_refused`); it waits for its runs first.
    """

    def __init__(self, api: Api, settings: Settings | None = None, launcher: Launcher | None = None) -> None:
        self.settings = settings or Settings()
        self.client = Client(api)
        self.log = Log()
        self.launcher: Launcher = launcher or ProcessLauncher(api, self.settings, self.log)
        self.id = ""
        self.heartbeat_seconds = self.lease_seconds = 0.0
        self.held: dict[str, Claimed] = {}  # run id → what we hold a lease on
        self.executions: dict[str, Execution] = {}
        self._lock = threading.Lock()
        self._wake = threading.Event()
        self._stopping = threading.Event()
        self._told_to_stop = 0
        self._failures = 0
        self._heart: Heart | None = None
        self.key_refused = False

    # From outside.

    def stop(self) -> None:
        """Claim no more and end when the runs are done; told twice: stop the runs too."""
        self._told_to_stop += 1
        self._stopping.set()
        self._wake.set()

    def run(self) -> None:
        """Work until told to stop."""
        former = self._listen_to_signals()
        try:
            if not self._register():
                return
            self.launcher.start()
            self._heart = heart = Heart(self)
            heart.start()
            threading.Thread(target=self._wait_for_work, name="agent-wait", daemon=True).start()
            while not self._stopping.is_set():
                self._wake.clear()
                self._claim()
                self._wake.wait(LOOK_EVERY)
            self._drain()
            heart.stop()
        finally:
            self.launcher.close()
            for number, handler in former.items():
                signal.signal(number, handler)

    def _listen_to_signals(self) -> dict[int, Any]:
        if threading.current_thread() is not threading.main_thread():
            return {}
        return {number: signal.signal(number, lambda *_: self.stop()) for number in (signal.SIGTERM, signal.SIGINT)}

    # Register.

    def _register(self) -> bool:
        """Become known to the server, however long it is away; False when told to stop meanwhile."""
        while not self._stopping.is_set():
            try:
                self.register()
            except (Unauthorized, Forbidden, NotFound):
                raise
            except ApiError as error:
                self._pause(error)
            else:
                self.log.info(
                    f"{self.settings.name!r} works for the pool {self.settings.pool!r}, {self.settings.limit} at once"
                )
                return True
        return False

    def register(self) -> None:
        """Say what this agent is. The same name in the same pool keeps its id."""
        settings = self.settings
        told = self.client.post(
            "/agents",
            {
                "pool": settings.pool,
                "name": settings.name,
                "slots": settings.limit,
                "queues": settings.queues,
                "version": __version__,
                "host": platform.node(),
                "python": platform.python_version(),
            },
            again=True,
        )
        self.id = str(told["id"])
        self.heartbeat_seconds = float(told["heartbeat_seconds"])
        self.lease_seconds = float(told["lease_seconds"])

    # Wait and claim.

    def _wait_for_work(self) -> None:
        """Sleep at the server until something is due, again and again, in a thread of its own."""
        since = -1
        while not self._stopping.is_set():
            if self.free <= 0:
                self._stopping.wait(0.2)
                continue
            try:
                told = self.client.request(
                    "GET", f"/agents/{self.id}/wait", params={"since": since}, timeout=WAIT_TIMEOUT
                )
            except ApiError as error:
                self._pause(error)
                self._known_again(error)
            else:
                self._failures = 0
                since = int(told["since"])
                self._stopping.wait(0.01)
            self._wake.set()

    def _known_again(self, error: ApiError) -> None:
        if isinstance(error, NotFound):
            try:
                self.register()
            except ApiError as again:
                self._pause(again)

    @property
    def free(self) -> int:
        """How many more runs may be executed."""
        return self.settings.limit - len(self.held)

    def _claim(self) -> None:
        while (free := self.free) > 0 and not self._stopping.is_set():
            try:
                runs = self.client.post(f"/agents/{self.id}/claim", {"slots": free})["runs"]
            except ApiError as error:
                self._pause(error)
                return
            for claim in runs:
                self._take(Claimed(claim))
            if len(runs) < free:
                return

    def _take(self, claimed: Claimed) -> None:
        with self._lock:
            self.held[claimed.run] = claimed
        if self._heart is not None:
            self._heart.quicken()
        threading.Thread(target=self._see_through, args=(claimed,), name=f"run-{claimed.name}", daemon=True).start()

    def _pause(self, error: ApiError) -> None:
        self._failures += 1
        if self._failures in (1, 10):
            self.log.info(f"{error}")
        if isinstance(error, Unauthorized) and self._failures >= KEY_REFUSALS:
            self.key_refused = True
            self.stop()
        delay = min(SLOWEST, 0.2 * 2 ** min(self._failures, 8)) * (0.5 + random.random())  # noqa: S311
        self._stopping.wait(max(delay, min(error.retry_after or 0.0, 60.0)))

    # One run, from claim to end.

    def _see_through(self, claimed: Claimed) -> None:
        """Launch a run, wait for its end, send what it left, tell how it ended."""
        ending, started = self._execute(claimed)
        with self._lock:
            self.executions.pop(claimed.run, None)
        self._wake.set()
        try:
            self._report(claimed, ending, started)
        finally:
            with self._lock:
                if self.held.get(claimed.run) is claimed:
                    del self.held[claimed.run]
            self._wake.set()

    def _execute(self, claimed: Claimed) -> tuple[Ending, bool]:
        try:
            claimed.directory = bundles.directory_of(claimed.claim["source"], self.client)
            execution = self.launcher.launch(claimed)
        except (OSError, OrchestratorError) as error:
            self.log.error(f"{claimed.name} could not be started: {error}")
            return Ending(None, [str(error)]), False
        with self._lock:
            self.executions[claimed.run] = execution
            words, claimed.words = claimed.words, []
        for word in words:
            execution.signal(word)
        return execution.wait(), True

    def _report(self, claimed: Claimed, ending: Ending, started: bool) -> None:
        while True:
            try:
                if not leftovers.ship_journal(self.client, claimed.run, claimed.attempt):
                    raise Unavailable("The journal is being sent by another thread.")
                if ending.exit != 0:
                    leftovers.tell_end(self.client, self.id, claimed.run, claimed.attempt, ending, started)
                return
            except NotFound:
                return
            except ApiError as error:
                if self._give_up():
                    return
                self._pause(error)

    def _give_up(self) -> bool:
        """An agent that stops leaves the rest to the next one; until then it tries on."""
        return self._stopping.is_set()

    # What leases.py asks.

    def leases(self) -> list[dict[str, Any]]:
        """The leases to renew."""
        with self._lock:
            return [claimed.lease for claimed in self.held.values()]

    def live_streams(self) -> set[str]:
        """Executions whose journals are not left behind."""
        with self._lock:
            return {f"{claimed.run}.{claimed.attempt}" for claimed in self.held.values()}

    def signal(self, run: str, word: str) -> None:
        """Pass a signal on to the execution of a run."""
        with self._lock:
            execution, claimed = self.executions.get(run), self.held.get(run)
            if execution is None and claimed is not None:
                claimed.words.append(word)
                claimed.stop.set()
        if execution is not None:
            execution.signal(word)

    # The end.

    def _drain(self) -> None:
        """Wait for the runs; stop them when that takes too long, or when told to stop once more."""
        until = time.monotonic() + self.settings.drain
        if self.held:
            self.log.info(
                f"waiting for {len(self.held)} runs, {self.settings.drain:g} s at most; a second signal stops them"
            )
        while self.held and self._told_to_stop < 2 and time.monotonic() < until:
            self._wake.wait(0.2)
            self._wake.clear()
        for execution in list(self.executions.values()):
            execution.terminate()
        until = time.monotonic() + self.settings.grace + 5.0
        while self.held and time.monotonic() < until:
            time.sleep(0.05)
