"""States over time: runs counted by state in spans of equal length.

A span in the past in which every run has ended never changes again: its counts are remembered in Redis, so that a view
of 30 days counts little more than the newest span, whatever the workspace has run. Without Redis all are counted.
"""

from __future__ import annotations

import json
import logging
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from itertools import pairwise
from typing import Any
from uuid import UUID

from django.db import connection
from django.utils.timezone import now
from redis.exceptions import RedisError

from orchestrator.states import ALIVE
from runs.messenger import client, messenger

logger = logging.getLogger(__name__)

# How many spans a range has, and how long they are. One more is counted: the newest has only begun.
SPANS = {
    "1h": (60, timedelta(minutes=1)),
    "24h": (72, timedelta(minutes=20)),
    "7d": (84, timedelta(hours=2)),
    "30d": (90, timedelta(hours=8)),
}

KEY = "over_time:{workspace}:{step}:{start}"
SETTLED = timedelta(minutes=1)  # A transaction that began before a span's end has written its runs by then.
KEPT = 6 * 3_600  # seconds that a span is remembered in which nothing can change
KEPT_LARGE = 60  # seconds for a past one in which runs are still alive: counting it costs more than it may
KEPT_LARGE_NEWEST = 5  # seconds for the newest one
LARGE = 1_000  # runs

# As they are stacked, bad ends at the baseline.
ORDER = ("FAILED", "CRASHED", "CANCELLED", "CANCELLING", "PAUSED", "SCHEDULED", "PENDING", "RUNNING", "COMPLETED")

# Answered by `flow_run_list` alone, which holds state and origin beside its keys.
_COUNT = """
    SELECT s.start, r.state_type, r.number FROM unnest(%s::timestamptz[]) s (start)
    CROSS JOIN LATERAL (
        SELECT state_type, count(*) AS number FROM flow_run
        WHERE workspace_id = %s AND created_at >= s.start AND created_at < s.start + %s AND origin <> 'subflow'
        GROUP BY 1
    ) r
"""


@dataclass(frozen=True, slots=True)
class OverTime:
    """Spans from `start` on, each with its runs by state type. Subflows are their roots' business."""

    start: datetime
    step: timedelta
    bars: list[dict[str, int]]

    @property
    def totals(self) -> dict[str, int]:
        """The runs of the whole range by state type; states without any are left out."""
        counts = sum((Counter(bar) for bar in self.bars), Counter())
        return {state: counts[state] for state in ORDER if counts[state]}

    @property
    def chart(self) -> dict[str, object]:
        """What the chart draws: {"from": µs, "step": µs, "bars": [{"COMPLETED": 3, …}, …]}."""
        micros = timedelta(microseconds=1)
        first = (self.start - datetime.fromtimestamp(0, UTC)) // micros
        return {"from": first, "step": self.step // micros, "bars": self.bars}

    def only(self, states: tuple[str, ...]) -> OverTime:
        """The same with these states alone; with all, when none is given."""
        bars = [{state: bar[state] for state in states if state in bar} for bar in self.bars]
        return replace(self, bars=bars) if states else self

    def grouped(self, states: tuple[str, ...], number: int) -> list[int]:
        """The runs in these states in `number` groups of neighbouring spans: a sparkline's bars."""
        counts = [sum(bar.get(state, 0) for state in states) for bar in self.bars]
        edges = [round(index * len(counts) / number) for index in range(number + 1)]
        return [sum(counts[low:high]) for low, high in pairwise(edges)]


def over_time(workspace_id: UUID, range: str) -> OverTime:
    """The runs of a workspace in a range of SPANS, by the time at which they were made."""
    at, (number, step) = now(), SPANS[range]
    starts = _starts(at, step, number + 1)
    known = _recall(workspace_id, step, starts)
    counted = _count(workspace_id, step, [start for start in starts if start not in known])
    _remember(workspace_id, step, counted, at)
    bars = {**known, **counted}
    return OverTime(starts[0], step, [bars[start] for start in starts])


def _starts(at: datetime, step: timedelta, number: int) -> list[datetime]:
    """Whole multiples of the step, so that spans are the same for every view; the last one holds `at`."""
    seconds = int(step.total_seconds())
    last = int(at.timestamp()) // seconds * seconds
    return [datetime.fromtimestamp(last - seconds * back, UTC) for back in reversed(range(number))]


def _count(workspace_id: UUID, step: timedelta, starts: list[datetime]) -> dict[datetime, dict[str, int]]:
    bars: dict[datetime, dict[str, int]] = {start: {} for start in starts}
    with connection.cursor() as cursor:
        cursor.execute(_COUNT, [starts, workspace_id, step])
        for start, state_type, number in cursor.fetchall():
            bars[start][state_type] = number
    return bars


def _key(workspace_id: UUID, step: timedelta, start: datetime) -> str:
    return KEY.format(workspace=workspace_id, step=int(step.total_seconds()), start=int(start.timestamp()))


def _recall(workspace_id: UUID, step: timedelta, starts: list[datetime]) -> dict[datetime, dict[str, int]]:
    try:
        texts = client().mget([_key(workspace_id, step, start) for start in starts])
    except (RedisError, OSError) as error:
        logger.warning("states over time are counted anew: Redis is away (%s)", error)
        return {}
    return {start: json.loads(text) for start, text in zip(starts, texts, strict=True) if text}


def _remember(workspace_id: UUID, step: timedelta, counted: Mapping[datetime, dict[str, int]], at: datetime) -> None:
    lives = {start: _life(start + step, bar, at) for start, bar in counted.items()}

    def keep(redis: Any) -> None:
        for start, life in lives.items():
            if life:
                redis.set(_key(workspace_id, step, start), json.dumps(counted[start]), ex=life)

    if any(lives.values()):
        messenger.send(keep)


def _life(end: datetime, bar: Mapping[str, int], at: datetime) -> int:
    """For how many seconds a span's counts are good; 0: count it each time."""
    large = sum(bar.values()) > LARGE
    if end > at - SETTLED:
        return KEPT_LARGE_NEWEST if large else 0
    if ALIVE.isdisjoint(bar):
        return KEPT
    return KEPT_LARGE if large else 0
