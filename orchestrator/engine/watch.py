"""One thread that knows what is to be done when."""

from __future__ import annotations

import heapq
import itertools
import os
import threading
import time
from typing import Protocol

IDLE = 10.0  # seconds without anything to do after which the thread ends
TIDY_FROM = 1_000  # entries; from then on those that are over are taken out before their time


class Watched(Protocol):
    """Something with a time. `over` says that nobody waits for it any more."""

    at: float
    over: bool

    def fire(self) -> None:
        """Its time has come. Called by the watching thread; must be quick."""
        ...


class Watch:
    """The thread, and its list."""

    def __init__(self) -> None:
        self._changed = threading.Condition()
        self._heap: list[tuple[float, int, Watched]] = []
        self._order = itertools.count()
        self._tidy_at = TIDY_FROM
        self._running = False

    def add(self, watched: Watched) -> None:
        """Have it fired at its time."""
        with self._changed:
            heapq.heappush(self._heap, (watched.at, next(self._order), watched))
            if len(self._heap) > self._tidy_at:
                self._tidy()
            if not self._running:
                self._running = True
                threading.Thread(target=self._run, name="orchestrator-timeouts", daemon=True).start()
            if self._heap[0][2] is watched:
                self._changed.notify()

    def _tidy(self) -> None:
        """Most runs end long before their time is up: their entries would pile up."""
        self._heap = [entry for entry in self._heap if not entry[2].over]
        heapq.heapify(self._heap)
        self._tidy_at = max(TIDY_FROM, 2 * len(self._heap))

    def _run(self) -> None:
        while True:
            with self._changed:
                due = self._due()
                if due is None and not self._heap:
                    self._running = False
                    return
            if due is not None and not due.over:
                due.fire()

    def _due(self) -> Watched | None:
        if not self._heap and not self._changed.wait(IDLE):
            return None
        if not self._heap:
            return None
        left = self._heap[0][0] - time.monotonic()
        if left > 0:
            self._changed.wait(left)
            return None
        return heapq.heappop(self._heap)[2]


watch = Watch()


def _begin_anew() -> None:
    """In a forked child there is no such thread."""
    global watch
    watch = Watch()


os.register_at_fork(after_in_child=_begin_anew)
