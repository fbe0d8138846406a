"""Backfills as pages and the API show them: counts by state, places with their runs, and why nothing is made now."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any
from zoneinfo import ZoneInfo

from django.db import connection
from django.utils.timezone import now

from runs.backfills import drip
from runs.backfills.operations import under_way
from runs.models import Backfill, BackfillPlace, FlowRun

MAX_PLACES = 500  # of a page
NAMED = 10  # runs that are waited for

_COUNTS = """
    SELECT p.outcome, r.state_type, count(*) FROM backfill_place p
    LEFT JOIN flow_run r ON r.organization_id = p.organization_id AND r.id = p.run_id
    WHERE p.backfill_id = %s GROUP BY 1, 2
"""


@dataclass(slots=True)
class Counts:
    """How many places of a backfill are how: of runs that it made by their state, `deleted` those that are gone."""

    states: dict[str, int] = field(default_factory=dict)
    deleted: int = 0


def counts(backfill: Backfill) -> Counts:
    """The runs of a backfill by state; of those that were retried the last one counts."""
    told = Counts()
    with connection.cursor() as cursor:
        cursor.execute(_COUNTS, [backfill.id])
        for outcome, state, number in cursor.fetchall():
            if outcome != BackfillPlace.Outcome.MADE:
                continue
            if state is None:
                told.deleted += number
            else:
                told.states[state] = told.states.get(state, 0) + number
    return told


@dataclass(frozen=True, slots=True)
class PlaceRow:
    """A place, and its run as far as there is one."""

    place: BackfillPlace
    run: FlowRun | None

    @property
    def state(self) -> str:
        """What its square shows: the state of its run, or what became of it instead."""
        if self.run is not None:
            return self.run.state_type
        return "DELETED" if self.place.run_id else self.place.outcome.upper()


def places(backfill: Backfill, *, after: int = -1, limit: int = MAX_PLACES) -> tuple[list[PlaceRow], int | None]:
    """Places in their order, those behind an ordinal; and behind which what follows begins, or None."""
    rows = BackfillPlace.objects.filter(backfill=backfill, ordinal__gt=after).order_by("ordinal")
    found = list(rows[: min(limit, MAX_PLACES) + 1])
    shown = found[: min(limit, MAX_PLACES)]
    return with_runs(shown), shown[-1].ordinal if len(found) > len(shown) else None


def with_runs(shown: Sequence[BackfillPlace]) -> list[PlaceRow]:
    """Places with their runs, by one query."""
    ids = [place.run_id for place in shown if place.run_id]
    wanted = ("id", "organization_id", "name", "state_type", "state_name", "state_message", "duration", "started_at")
    runs = {run.id: run for run in FlowRun.objects.filter(id__in=ids).only(*wanted)}
    return [PlaceRow(place, runs.get(place.run_id)) for place in shown]


# ── why nothing is made ──────────────────────────────────────────────────────────────────────────


@dataclass(frozen=True, slots=True)
class Why:
    """Why a backfill makes no run now: `runs` are those that it waits for, `at` when it goes on."""

    code: str
    sentence: str
    runs: Sequence[FlowRun] = ()
    at: datetime | None = None

    def told(self) -> dict[str, Any]:
        """As the API tells it."""
        runs = [str(run.id) for run in self.runs]
        return {"code": self.code, "sentence": self.sentence, "runs": runs, "at": self.at}


def why(backfill: Backfill) -> Why:
    """Why a backfill makes no run now, asked by the same conditions that the worker asks."""
    if not backfill.is_open:
        return Why(backfill.state, backfill.message or ("All its runs have ended." if backfill.count else ""))
    if backfill.state == Backfill.State.PAUSED:
        return Why("paused", backfill.message)
    if backfill.message:
        return Why("limit", backfill.message, at=backfill.look_at)
    if not backfill.left:
        return Why("finishing", "All its runs were made. It is over when they have ended.", _alive(backfill))
    return _dripping(backfill, now())


def _dripping(backfill: Backfill, at: datetime) -> Why:
    room = drip.room(backfill, at)
    if room.alive >= backfill.at_once:
        runs = "1 run has" if room.alive == 1 else f"{room.alive:,} runs have"
        return Why("at_once", f"{runs} not ended, and no more are made at once.", _alive(backfill))
    if room.paced and not room.runs:
        rate = f"{backfill.per_minute:,} run{'' if backfill.per_minute == 1 else 's'} a minute at most."
        return Why("per_minute", rate, at=drip.next_by_pace(backfill, at))
    return Why("soon", "A worker makes the next runs in a moment.")


def _alive(backfill: Backfill) -> list[FlowRun]:
    """Those that have not ended, the oldest first."""
    wanted = ("id", "organization_id", "name", "state_type", "state_name")
    return list(under_way(backfill).only(*wanted).order_by("created_at", "id")[:NAMED])


# ── for pages ────────────────────────────────────────────────────────────────────────────────────

MAX_ROWS = 100  # of a page of the table
BAR = ("COMPLETED", "FAILED", "CRASHED", "CANCELLED", "CANCELLING", "RUNNING", "PAUSED", "PENDING", "SCHEDULED")
STATES = {
    "running": ("RUNNING", "Running"), "paused": ("PAUSED", "Paused"), "completed": ("COMPLETED", "Completed"),
    "cancelled": ("CANCELLED", "Cancelled"),
}  # fmt: skip
DAYS = timedelta(days=3)  # A longer range is shown by months, a shorter one by days.


@dataclass(frozen=True, slots=True)
class Shown:
    """A backfill as lists show it, and with its counts as its own page does."""

    row: Backfill
    counts: Counts = field(default_factory=Counts)

    @property
    def state(self) -> tuple[str, str]:
        """Its state as a type and a name."""
        return STATES[self.row.state]

    @property
    def planned(self) -> int:
        """How many runs it is to make."""
        return self.row.count - self.row.skipped

    @property
    def shares(self) -> dict[str, int]:
        """How many of its runs are how, by the kind of their part of the bar."""
        return {state.lower(): self.counts.states[state] for state in BAR if state in self.counts.states}

    @property
    def of_made(self) -> dict[str, int]:
        """Without counts: how many were made, and could not be."""
        return {"ok" if not self.row.is_open else "run": self.row.made, "fail": self.row.refused}

    @property
    def failed(self) -> int:
        """How many could be retried."""
        return self.counts.states.get("FAILED", 0) + self.counts.states.get("CRASHED", 0)

    @property
    def zone(self) -> str:
        """By whose clock its times are shown."""
        return str(self.row.times["timezone"]) if self.row.times else "UTC"


@dataclass(frozen=True, slots=True)
class Square:
    """A place as a square: what it shows, and what it says when it is pointed at."""

    row: PlaceRow
    label: str

    @property
    def kind(self) -> str:
        """Which glyph and tone it has."""
        if self.row.run is not None:
            return self.row.run.state_type.lower()
        return {"REFUSED": "failed"}.get(self.row.state, "none")

    @property
    def word(self) -> str:
        """What became of it."""
        words = {"WAITING": "To come", "REFUSED": "Could not be made", "DELETED": "Deleted", "SKIPPED": "Left out"}
        state = self.row.run.state_name if self.row.run else words.get(self.row.state, self.row.state)
        return f"{state}, was there already" if self.row.run and self.row.place.outcome == "skipped" else state


def grouped(backfill: Backfill, rows: Sequence[PlaceRow]) -> list[tuple[str, list[Square]]]:
    """The squares by the days or months of their times; of sets all together."""
    zone = ZoneInfo(Shown(backfill).zone)
    long = not backfill.since or not backfill.until or backfill.until - backfill.since > DAYS
    groups: dict[str, list[Square]] = {}
    for row in rows:
        local = row.place.time.astimezone(zone) if row.place.time else None
        head = (f"{local:%b %Y}" if long else f"{local.day} {local:%b %Y}") if local else ""
        groups.setdefault(head, []).append(Square(row, _label(row, local)))
    return list(groups.items())


def _label(row: PlaceRow, local: datetime | None) -> str:
    if local is not None:
        return f"{local.day} {local:%b %Y %H:%M}"
    given = ", ".join(f"{name}={value}" for name, value in list(row.place.parameters.items())[:5])
    return f"{row.place.ordinal + 1}. {given[:120]}".rstrip()
