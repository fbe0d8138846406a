"""How many runs of a backfill may be made now. Asked by the worker, and by the page that says why no more are."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, timedelta

from runs.backfills.operations import under_way
from runs.models import Backfill, FlowRun

BATCH = 100  # runs of one transaction
CREDIT = timedelta(seconds=2)  # of the pace: a worker that comes so much later makes up for it
MINUTE = timedelta(minutes=1)


@dataclass(frozen=True, slots=True)
class Room:
    """How many runs may be made, how many have not ended, and whether it is the pace that allows no more."""

    runs: int
    alive: int
    paced: bool = False


def room(backfill: Backfill, at: datetime) -> Room:
    """What the drip leaves room for at a moment."""
    alive = under_way(backfill)[: backfill.at_once].count()
    free = min(backfill.at_once - alive, BATCH)
    if free <= 0 or backfill.per_minute is None:
        return Room(max(free, 0), alive)
    paced = _paced(backfill, at)
    return Room(min(free, paced), alive, paced < free)


def interval(backfill: Backfill) -> timedelta:
    """From one run to the next one, by the pace."""
    return MINUTE / (backfill.per_minute or 1)


def _paced(backfill: Backfill, at: datetime) -> int:
    """How many the pace allows: one after the other, evenly, and in no minute more than there may be."""
    begin = max(backfill.paced_to or at, at - CREDIT)
    evenly = int((at - begin) / interval(backfill)) + 1 if begin <= at else 0
    of_last_minute = FlowRun.objects.filter(backfill_id=backfill.id, created_at__gt=at - MINUTE)
    return max(min(evenly, (backfill.per_minute or 0) - of_last_minute[: backfill.per_minute].count()), 0)


def next_by_pace(backfill: Backfill, at: datetime) -> datetime:
    """When to look again whether the pace allows a run; faster ones are made several at a time."""
    return max(backfill.paced_to or at, at + timedelta(seconds=1))


def note_made(backfill: Backfill, number: int, at: datetime) -> None:
    """Move the pace on behind so many runs."""
    if number and backfill.per_minute:
        begin = max(backfill.paced_to or at, at - CREDIT)
        backfill.paced_to = begin + number * interval(backfill)


def failed_in_a_row(backfill: Backfill) -> bool:
    """Whether the last runs that have ended, in the order in which they were made, have all failed."""
    number = backfill.pause_after_failures
    if number is None:
        return False
    ended = FlowRun.objects.filter(backfill_id=backfill.id, ended_at__gte=backfill.counts_from)
    last = list(ended.order_by("-created_at", "-id").values_list("state_type", flat=True)[:number])
    return len(last) == number and all(state in {"FAILED", "CRASHED"} for state in last)
