"""A clock that stands still until it is moved."""

from __future__ import annotations

import threading
from collections.abc import Generator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from typing import Protocol

from orchestrator import clock

_EPOCH = datetime.fromtimestamp(0, UTC)


class Follower(Protocol):
    """Something that the clock takes along: it says when it has to act next, and acts."""

    def next_event(self) -> int | None:
        """Microseconds UTC, or None."""
        ...

    def before_time_passes(self) -> None:
        """The clock is about to be moved."""
        ...

    def time_passed(self) -> None:
        """The clock has been moved."""
        ...


followers: list[Follower] = []


class Clock:
    """What `time_control()` gives. It stands still but for `advance`, `move_to`, and waits of runs.

    A run that waits for its retry moves the clock by that much instead of waiting.

    Attributes:
        waits: Seconds of each wait that runs were spared, in order.
    """

    def __init__(self, start: datetime | None = None) -> None:
        self.waits: list[float] = []
        self._lock = threading.RLock()
        self._ns = clock.time_ns() if start is None else _nanoseconds(start)

    @property
    def now(self) -> datetime:
        """The time, UTC."""
        return _EPOCH + timedelta(microseconds=self._ns // 1000)

    def advance(self, by: float | timedelta) -> None:
        """Move the clock on. What was to happen meanwhile happens, each thing at its time.

        Args:
            by: Seconds, or a timedelta.

        Raises:
            ValueError: It would go backwards.
        """
        delta = by if isinstance(by, timedelta) else timedelta(seconds=by)
        self.move_to(self.now + delta)

    def move_to(self, moment: datetime) -> None:
        """Move the clock on to a time.

        Raises:
            ValueError: It lies behind, or has no timezone.
        """
        target = _nanoseconds(moment)
        if target < self._ns:
            raise ValueError(
                f"The clock stands at {self.now.isoformat()}; it does not go back to {moment.isoformat()}."
            )
        for follower in list(followers):
            follower.before_time_passes()
        with self._lock:
            while True:
                ahead = [at for follower in followers if (at := follower.next_event()) is not None]
                step = min([at * 1000 for at in ahead if self._ns < at * 1000 < target], default=target)
                self._ns = max(self._ns, step)
                for follower in list(followers):
                    follower.time_passed()
                if step == target:
                    return

    # What `orchestrator.clock` asks.

    def time_ns(self) -> int:
        """Nanoseconds UTC."""
        return self._ns

    def sleep(self, seconds: float) -> None:
        """Pass over a wait of a run."""
        until = self.now + timedelta(seconds=seconds)
        self.waits.append(seconds)
        with self._lock:
            if until > self.now:  # Else another run that waits at the same time has moved it already.
                self.move_to(until)


def _nanoseconds(moment: datetime) -> int:
    if moment.tzinfo is None:
        raise ValueError(f"{moment.isoformat()} has no timezone: add tzinfo=UTC.")
    return (moment - _EPOCH) // timedelta(microseconds=1) * 1000


@contextmanager
def time_control(start: datetime | None = None) -> Generator[Clock]:
    """Take the time of runs into your own hands: retries don't wait, and what is told carries this clock's times.

    Leases, due times and schedules of a `server()` follow it too. User code's own `time.sleep` and `datetime.now` are
    not touched, and neither is `timeout_seconds`.

    Args:
        start: The time at which the clock stands at first; now by default.

    >>> from datetime import UTC, datetime
    >>> with time_control(datetime(2026, 1, 1, tzinfo=UTC)) as clock:
    ...     clock.advance(90)
    ...     clock.now.isoformat()
    '2026-01-01T00:01:30+00:00'
    """
    taken = Clock(start)
    before = clock.take_over(taken)
    try:
        yield taken
    finally:
        clock.take_over(before)
