"""What one piece of code asks for, and what became of it."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Sequence
from uuid import UUID

from orchestrator.ids import uuid7


class Ask:
    """Slots of some names that somebody wants, holds, or has held.

    Attributes:
        state: `new`, `sent` (the server knows of it, or will), `held`, or `over`.
        error: What kept it from being held.
        told: The server may know of it.
        unguarded: It goes on without: the server was away, or there are no such limits.
        lost: Its slots were held, and are no more.
        seconds: Of a rate: for how long its turn was still ahead when it was granted.
    """

    __slots__ = (
        "_callbacks", "_lock", "_settled", "asked_at", "error", "id", "kind", "label", "lost", "names", "occupy",
        "on_lost", "run", "seconds", "state", "strict", "told", "unguarded", "unknown", "within",
    )  # fmt: skip

    def __init__(
        self, names: Sequence[str], *, kind: str, occupy: int = 1, within: float | None = None, strict: bool = False
    ) -> None:
        self.id: UUID = uuid7()
        self.names = list(names)
        self.kind = kind
        self.occupy = occupy
        self.within = within
        self.strict = strict
        self.label = ""
        self.run: UUID | None = None
        self.state = "new"
        self.error: Exception | None = None
        self.told = False
        self.unguarded = False
        self.unknown: list[str] = []
        self.lost = False
        self.seconds = 0.0
        self.on_lost: Callable[[], None] | None = None
        self.asked_at = time.monotonic()
        self._settled = threading.Event()
        self._lock = threading.Lock()
        self._callbacks: list[Callable[[], None]] = []

    @property
    def settled(self) -> bool:
        """True once it is known what became of it."""
        return self._settled.is_set()

    def wait(self, seconds: float) -> bool:
        """Wait until it is settled; False when that took longer."""
        return self._settled.wait(seconds)

    def when_settled(self, call: Callable[[], None]) -> None:
        """Have something called, in whatever thread, once it is settled; at once if it is."""
        with self._lock:
            if not self.settled:
                self._callbacks.append(call)
                return
        call()

    def settle(self, state: str, error: Exception | None = None) -> None:
        """It is `held`, or `over`. The first word counts."""
        with self._lock:
            if self.settled:
                return
            self.state, self.error = state, error
            self._settled.set()
            calls, self._callbacks = self._callbacks, []
        for call in calls:
            call()

    def lose(self) -> None:
        """Its slots are gone."""
        if self.state == "held" and not self.lost:
            self.lost = True
            if self.on_lost is not None:
                self.on_lost()
