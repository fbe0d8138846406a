"""What a new run of a deployment would be like: how long its last runs took, and when it would begin.

Pure, and shared by every server, so that they count and say the same.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from msgspec import Struct

from orchestrator.causes import Explanation, explained

LAST = 50  # runs that completed
LOOKED_AT = 500  # runs, whatever became of them


class History(Struct, frozen=True):
    """How long the last runs that completed took, waits between their executions included; seconds."""

    runs: int = 0
    median: float | None = None
    p95: float | None = None

    @property
    def words(self) -> str:
        """For people.

        >>> print(History(50, 192, 304.5).words)
        The median of the last 50 completed runs is 3 min 12 s; 95 of 100 took 5 min 4 s or less.
        >>> print(History(1, 1.5, 1.5).words)
        The last completed run took 1.5 s.
        >>> print(History().words)
        No run has completed yet.
        """
        if self.median is None or self.p95 is None:
            return "No run has completed yet."
        if self.runs == 1:
            return f"The last completed run took {lasted(self.median)}."
        median = f"The median of the last {self.runs} completed runs is {lasted(self.median)}"
        return f"{median}; 95 of 100 took {lasted(self.p95)} or less."


def history_of(seconds: Sequence[float]) -> History:
    """What durations come to, by linear interpolation, as PostgreSQL's `percentile_cont`.

    >>> history_of([4, 1, 3, 2])
    History(runs=4, median=2.5, p95=3.85)
    """
    if not seconds:
        return History()
    return History(len(seconds), _percentile(sorted(seconds), 0.5), _percentile(sorted(seconds), 0.95))


def _percentile(ordered: Sequence[float], share: float) -> float:
    place = share * (len(ordered) - 1)
    below = int(place)
    above = min(below + 1, len(ordered) - 1)
    return round(ordered[below] + (ordered[above] - ordered[below]) * (place - below), 6)


def lasted(seconds: float) -> str:
    """A duration as people say it.

    >>> lasted(0.25), lasted(59.97), lasted(192), lasted(7325)
    ('0.2 s', '1 min 0 s', '3 min 12 s', '2 h 2 min')
    """
    if seconds < 59.95:
        return f"{seconds:.1f} s" if seconds < 10 else f"{seconds:.0f} s"
    whole = round(seconds)
    if whole < 3600:
        return f"{whole // 60} min {whole % 60} s"
    return f"{whole // 3600} h {whole % 3600 // 60} min"


def shown(deployment: str, history: History, told: Explanation, *, portal: str) -> dict[str, Any]:
    """An estimate as the API shows it."""
    return {
        "deployment": deployment,
        "runs": history.runs,
        "median": history.median,
        "p95": history.p95,
        "history": history.words,
        **explained(told, portal),
    }
