"""What an execution waits for from outside: the server is asked once, and again when it rings.

One thread for each execution that waits for something, as long as it does. Each `Waiter` looks for one thing. Whoever
waits, waits here for an event: the answer sets it, and so does the end of the execution.
"""

from __future__ import annotations

import contextlib
import threading
from collections.abc import Callable, Generator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any
from uuid import UUID

from orchestrator.exceptions import ApiError, Forbidden, Unauthorized

if TYPE_CHECKING:
    from orchestrator.client import Client

RING_WITHIN = 60.0  # seconds that the server may hold a request
SOONEST, SLOWEST = 0.1, 5.0  # seconds until the next try, where the server is away or does not know the run yet

Look = Callable[["Client"], Any]
"""Asks the server whether something is there; None while it is not."""


class Waiter:
    """One who waits for one thing.

    Attributes:
        found: What was there; None as long as nothing was.
        error: Why there will be nothing.
    """

    def __init__(self, look: Look) -> None:
        self.look = look
        self.found: Any = None
        self.error: BaseException | None = None
        self.is_new = False
        self.woken: Callable[[], None] = lambda: None

    @property
    def is_done(self) -> bool:
        """True once there is something, or a reason why not."""
        return self.found is not None or self.error is not None

    def outcome(self) -> Any:
        """What was found; None, if nothing was.

        Raises:
            ApiError: The server refused for good to say.
        """
        if self.error is not None:
            raise self.error
        return self.found

    def look_first(self) -> None:
        """Look by oneself, where the doorbell may not do so before it rings."""
        from orchestrator.client import Client

        if self.is_new:
            with contextlib.suppress(ApiError), Client() as client:
                self.ask(client)

    def ask(self, client: Client) -> None:
        """Look once. What the server refuses for good ends the wait."""
        try:
            self.found = self.look(client)
        except (Unauthorized, Forbidden) as error:
            self.error = error
        if self.is_done:
            self.woken()

    def give_up(self, error: BaseException) -> None:
        """There will be nothing."""
        self.error = error
        self.woken()


class Doorbell:
    """Hears for one execution that something has come for it."""

    def __init__(self, root: UUID) -> None:
        self._root = root
        self._lock = threading.Lock()
        self._waiters: list[Waiter] = []
        self._listens = False
        self._news = threading.Event()

    @contextmanager
    def listening(self, waiter: Waiter) -> Generator[None]:
        """Look for what somebody waits for, from now on, as long as this lasts."""
        with self._lock:
            self._waiters.append(waiter)
            waiter.is_new = self._listens  # The thread may be asleep at the server, and know nothing of it.
            if not self._listens:
                threading.Thread(target=self._listen, name="orchestrator-doorbell", daemon=True).start()
                self._listens = True
        self._news.set()
        try:
            yield
        finally:
            with self._lock:
                self._waiters.remove(waiter)

    def _listen(self) -> None:
        try:
            self._hear()
        except Exception as error:  # Nobody else would tell those who wait.
            with self._lock:
                self._listens = False
                waiting = [waiter for waiter in self._waiters if not waiter.is_done]
            for waiter in waiting:
                waiter.give_up(error)

    def _hear(self) -> None:
        from orchestrator.client import Client

        since, failures = -1, 0
        with Client(timeout=RING_WITHIN) as client:
            while waiters := self._who_waits():
                try:
                    for waiter in waiters:
                        waiter.ask(client)
                    since = self._next_ring(client, since)
                    failures = 0
                except ApiError:
                    failures += 1
                    self._news.wait(min(SLOWEST, SOONEST * 2 ** min(failures, 6)))

    def _who_waits(self) -> list[Waiter]:
        with self._lock:
            self._news.clear()
            waiting = [waiter for waiter in self._waiters if not waiter.is_done]
            self._listens = bool(waiting)
            return waiting

    def _next_ring(self, client: Client, since: int) -> int:
        return int(client.request("GET", f"/flow-runs/{self._root}/wait", params={"since": since})["since"])
