"""The agent's life: register, wait, claim, drain."""

from __future__ import annotations

import platform
import signal
import threading
import time
from collections.abc import Callable
from typing import Any

from orchestrator._version import __version__
from orchestrator.agent.adoption import Adoption
from orchestrator.agent.health import Contact, Health, read_address
from orchestrator.agent.holdings import Holdings
from orchestrator.agent.kind import Kind
from orchestrator.agent.launchers import Claimed, Launcher, Means
from orchestrator.agent.leases import Heart
from orchestrator.agent.log import Log
from orchestrator.agent.memory import Bounds
from orchestrator.agent.patience import pause
from orchestrator.agent.settings import Settings
from orchestrator.agent.signals import obeyed
from orchestrator.agent.watch import Watch
from orchestrator.chance import chance
from orchestrator.client import Client
from orchestrator.config import Api
from orchestrator.exceptions import ApiError, Forbidden, Invalid, NotFound, PoolTypeError, Unauthorized
from orchestrator.job_templates import PROCESS

ANSWER_WITHIN = 15.0  # seconds, beyond what a wait takes
LOOK_EVERY = 300.0  # claim at least this often, whatever the wake-ups say
KEY_REFUSALS = 3  # in a row: the key was revoked, and asking on would help nobody
ADOPT_WITHIN = 0.5  # seconds that runs of an agent before this one have to be found, before others are claimed


class Agent:
    """Executes runs of one pool, `settings.limit` at a time.

    `run()` returns when it has been told to stop, by SIGTERM, SIGINT or `stop()`, or when its key is refused for good
    (`key_refused`); it waits for its runs first. After SIGHUP or `leave()` it returns at once, and its runs go on: the
    next agent of this name adopts them.

    Args:
        launcher: Makes what executes the runs out of what would, the launcher of the pool's type.
        pool_type: Executes runs as agents of such pools do, whatever the type of this one.
    """

    def __init__(
        self,
        api: Api,
        settings: Settings | None = None,
        launcher: Callable[[Launcher], Launcher] | None = None,
        pool_type: str = "",
    ) -> None:
        self.settings = settings or Settings()
        self.client = Client(api)
        self.log = Log()
        self.watch = Watch()
        bounds = Bounds()
        self.adoption = Adoption(api.url, self.settings, self.watch, self.log, bounds)
        means = Means(api, self.settings, self.log, self.watch, self.adoption, bounds)
        self.kind = Kind(means, pool_type, launcher)
        self.holdings = Holdings(self.client, lambda claimed: self.launcher.launch(claimed), self.log, self.settings)
        self.holdings.changed = self._holdings_changed
        self.heart = Heart(self)
        self.id = ""
        self.heartbeat_seconds = self.lease_seconds = self.wait_seconds = 0.0
        self.key_refused = False
        self._unfit: PoolTypeError | None = None
        self._wake = threading.Event()
        self._slot_freed = threading.Event()
        self._stopping = self.holdings.giving_up
        self._leaving = False
        self._told_to_stop = 0
        self.gather_seconds = 0.0  # How long slots that come free together are waited for, where more is to be claimed.
        self._failures = 0
        self.contact = Contact()
        self.threads: list[threading.Thread] = []  # that have to live while the agent does
        self._due = True  # There may be something to claim.
        self._more = False  # The last claim was handed all it asked for.

    # From outside.

    def stop(self) -> None:
        """Claim no more and end when the runs are done; told twice: stop the runs too."""
        self._told_to_stop += 1
        self._stopping.set()
        self._wake.set()

    def leave(self) -> None:
        """End at once. The runs go on, and wait for the next agent of this name."""
        self._leaving = True
        self.stop()

    def run(self) -> None:
        """Work until told to stop.

        Raises:
            PoolTypeError: Runs of this pool can't be executed here: its type is not installed, or does not start.
            ApiError: The server does not take this agent.
        """
        health = Health(self, read_address(self.settings.health)) if self.settings.health else None
        with obeyed({signal.SIGTERM: self.stop, signal.SIGINT: self.stop, signal.SIGHUP: self.leave}):
            try:
                self._work()
            finally:
                if health is not None:
                    health.close()
                self._close()

    def _close(self) -> None:
        self.heart.stop()
        self.adoption.close(keep=self._leaving)
        self.launcher.close()
        self.watch.close()
        self.client.close()

    def _work(self) -> None:
        found = self.adoption.open(self.holdings.adopt)
        self.heart.watch_leases()
        if self._register():
            self.heart.start()
            if found:
                self._stopping.wait(ADOPT_WITHIN)
            self._claim_until_stopped()
        if self._unfit is not None:
            self.heart.tell()
            raise self._unfit
        if not self._leaving:
            self._drain()

    def _claim_until_stopped(self) -> None:
        self.begin(self._wait_for_work, "agent-wait")
        while not self._stopping.is_set():
            self._wake.clear()
            if self._due:
                if self._more and self.gather_seconds:
                    self._stopping.wait(self.gather_seconds)
                self._claim()
            if not self._wake.wait(LOOK_EVERY * (0.5 + chance.random())):
                self._due = True

    def begin(self, work: Callable[[], None], name: str) -> threading.Thread:
        """Have a thread do something for as long as the agent lives."""
        thread = threading.Thread(target=work, name=name, daemon=True)
        thread.start()
        self.threads.append(thread)
        return thread

    @property
    def is_stopping(self) -> bool:
        """Whether it was told to stop."""
        return self._stopping.is_set()

    # Register.

    def _register(self) -> bool:
        """Become known to the server, however long it is away; False when told to stop meanwhile, or unfit."""
        while not self._stopping.is_set():
            try:
                self.register()
            except (Unauthorized, Forbidden, NotFound, Invalid):
                raise
            except ApiError as error:
                self._pause(error)
            else:
                settings = self.settings
                if self._unfit is None:
                    self.log.info(f"{settings.name!r} works for the pool {settings.pool!r}, {settings.limit} at once")
                return self._unfit is None
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
        self.contact.heard()
        self.heartbeat_seconds = float(told["heartbeat_seconds"])
        self.lease_seconds = float(told["lease_seconds"])
        self.wait_seconds = float(told["wait_seconds"])
        try:
            self.kind.learn(str(told.get("pool_type") or PROCESS))  # Servers had no other type before they said so.
        except PoolTypeError as error:
            self._give_up(error)
        for queue in told.get("unknown_queues", ()):
            self.log.warning(f"the pool {settings.pool!r} has no queue {queue!r}; nothing comes from it until it has")
        self.id = str(told["id"])
        self.holdings.registered_as(self.id)

    @property
    def launcher(self) -> Launcher:
        """What starts the runs; which one, the server says when it takes the agent."""
        return self.kind.launcher

    def _give_up(self, error: PoolTypeError) -> None:
        """End, and leave the runs that were adopted to an agent that can see to what comes after them."""
        self.log.error(str(error))
        self._unfit = error
        self.leave()

    # Wait and claim.

    def _wait_for_work(self) -> None:
        """Sleep at the server until something is due, again and again, in a thread of its own."""
        since = -1
        with Client(self.client.api, timeout=self.wait_seconds + ANSWER_WITHIN) as client:
            while not self._stopping.is_set():
                if self.free <= 0:
                    self._slot_freed.wait(1.0)
                    self._slot_freed.clear()
                    continue
                try:
                    told = client.request("GET", f"/agents/{self.id}/wait", params={"since": since})
                except ApiError as error:
                    self._pause(error)
                    self._known_again(error)
                    continue
                self._failures = 0
                self.contact.heard()
                since = int(told["since"])
                if told["due"]:
                    self._look_for_work()

    def _known_again(self, error: ApiError) -> None:
        if isinstance(error, NotFound):
            try:
                self.register()
            except ApiError as again:
                self._pause(again)

    def _look_for_work(self) -> None:
        self._due = True
        self._wake.set()

    def _holdings_changed(self) -> None:
        self.heart.quicken()
        self._slot_freed.set()
        if self._more or self._stopping.is_set():
            self._look_for_work()

    @property
    def free(self) -> int:
        """How many more runs may be executed."""
        return self.settings.limit - len(self.holdings)

    def _claim(self) -> None:
        while (free := self.free) > 0 and not self._stopping.is_set():
            self._due = False
            asked_at = time.monotonic()
            try:
                runs = self.client.post(f"/agents/{self.id}/claim", {"slots": free})["runs"]
            except ApiError as error:
                self._pause(error)
                self._look_for_work()
                return
            self.contact.heard()
            for claim in runs:
                self.holdings.take(Claimed(claim, leased_until=asked_at + float(claim["lease_seconds"])))
            self._more = len(runs) >= free
            if len(runs) < free:
                return

    def _pause(self, error: ApiError) -> None:
        self._failures += 1
        self.contact.missed(error)
        if self._failures in (1, 10) and not self._stopping.is_set():
            self.log.warning(str(error))
        if isinstance(error, Unauthorized) and self._failures >= KEY_REFUSALS:
            self.key_refused = True
            self.stop()
        self._stopping.wait(pause(error, self._failures))

    # The end.

    def _drain(self) -> None:
        """Wait for the runs; stop them when that takes too long, or when told to stop once more."""
        until = time.monotonic() + self.settings.drain
        if self.holdings:
            seconds = f"{self.settings.drain:g} s at most"
            self.log.info(f"waiting for {len(self.holdings)} runs, {seconds}; a second signal stops them")
        self._wait_for_runs(until, lambda: self._told_to_stop < 2)
        if self._leaving:
            return
        self.holdings.terminate()
        self._wait_for_runs(time.monotonic() + self.settings.grace + 5.0, lambda: True)

    def _wait_for_runs(self, until: float, patient: Any) -> None:
        while self.holdings and patient() and (left := until - time.monotonic()) > 0:
            self._wake.wait(min(left, 1.0))
            self._wake.clear()
