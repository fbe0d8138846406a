"""The list of runs: a filter that lives in the address, keyset pages, and the states over time above it."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from typing import Any
from urllib.parse import urlencode
from uuid import UUID

from django.db import connection
from django.db.models import Q, QuerySet
from django.utils.timezone import now

from orchestrator.states import StateType
from runs.models import FlowRun
from runs.reads import over_time as remembered
from tenants.cursors import newest

PAGE = 50
RANGES = {
    "1h": timedelta(hours=1),
    "24h": timedelta(days=1),
    "7d": timedelta(days=7),
    "30d": timedelta(days=30),
    "all": None,
}
DEFAULT_RANGE = "7d"
ORIGINS = {
    FlowRun.Origin.BACKGROUND.value: "Background tasks",
    FlowRun.Origin.SCHEDULE.value: "By schedule",
    FlowRun.Origin.FORM.value: "By form",
    FlowRun.Origin.API.value: "By API",
    FlowRun.Origin.RETRY.value: "Retries",
    FlowRun.Origin.LOCAL.value: "Called by hand",
}
BARS = 48
MAX_TEXT = 200


@dataclass(frozen=True, slots=True)
class RunFilter:
    """Which runs a list shows. Everything in it came by the address and goes back into it."""

    states: tuple[str, ...] = ()
    flow: str = ""
    deployment: str = ""
    tag: str = ""
    text: str = ""
    range: str = DEFAULT_RANGE
    subflows: bool = False
    origin: str = ""
    cursor: str = ""

    @classmethod
    def read(cls, query: Mapping[str, Any]) -> RunFilter:
        """From a query string; what makes no sense is left out."""
        states = [state.upper() for state in getattr(query, "getlist", query.get)("state") or []]
        return cls(
            states=tuple(state for state in dict.fromkeys(states) if state in set(StateType)),
            flow=query.get("flow", "")[:500],
            deployment=query.get("deployment", "") if _is_id(query.get("deployment", "")) else "",
            tag=query.get("tag", "")[:MAX_TEXT],
            text=query.get("q", "").strip()[:MAX_TEXT],
            range=query.get("range", "") if query.get("range", "") in RANGES else DEFAULT_RANGE,
            subflows=query.get("subflows", "") == "1",
            origin=query.get("origin", "") if query.get("origin", "") in ORIGINS else "",
            cursor=query.get("cursor", "")[:200],
        )

    def query(self, **changes: Any) -> str:
        """The query string of this filter, or of one with these changes; `?…`, or nothing."""
        wanted = replace(self, **changes) if changes else self
        pairs: list[tuple[str, str]] = [("state", state) for state in wanted.states]
        pairs += [("flow", wanted.flow), ("deployment", wanted.deployment), ("tag", wanted.tag), ("q", wanted.text)]
        pairs += [("range", "" if wanted.range == DEFAULT_RANGE else wanted.range)]
        pairs += [("subflows", "1" if wanted.subflows else ""), ("origin", wanted.origin), ("cursor", wanted.cursor)]
        kept = urlencode([(name, value) for name, value in pairs if value])
        return f"?{kept}" if kept else ""

    @property
    def is_default(self) -> bool:
        """True when nothing was asked for: an empty list then means that there never were any."""
        return replace(self, cursor="", range=DEFAULT_RANGE) == RunFilter()

    @property
    def takes_all(self) -> bool:
        """True when nothing but states and range narrows it: what is counted then is remembered, see `over_time.py`."""
        return replace(self, states=(), cursor="", range=DEFAULT_RANGE) == RunFilter()

    @property
    def since(self) -> datetime | None:
        """From when on."""
        span = RANGES[self.range]
        return now() - span if span else None

    def apply(self, rows: QuerySet[FlowRun], *, states: bool = True) -> QuerySet[FlowRun]:
        """Narrow a set of runs. Time and equality come first: RLS keeps text searches from using an index."""
        if self.since:
            rows = rows.filter(created_at__gte=self.since)
        if states and self.states:
            rows = rows.filter(state_type__in=self.states)
        if not self.subflows:
            rows = rows.exclude(origin=FlowRun.Origin.SUBFLOW)
        if self.origin:
            rows = rows.filter(origin=self.origin)
        if self.flow:
            rows = rows.filter(flow__name=self.flow)
        if self.deployment:
            rows = rows.filter(deployment_id=self.deployment)
        if self.tag:
            rows = rows.filter(tags__contains=[self.tag])
        if self.text:
            rows = rows.filter(Q(name__icontains=self.text) | Q(flow__name__icontains=self.text))
        return rows


@dataclass(frozen=True, slots=True)
class RunPage:
    """One page of runs, and where the next one begins."""

    runs: list[FlowRun]
    next_cursor: str


def page(workspace_id: UUID, asked: RunFilter, *, hidden: Collection[UUID]) -> RunPage:
    """The newest runs of a filter from its cursor on, without those of hidden deployments."""
    rows = asked.apply(_in_workspace(workspace_id)).without(hidden)
    found, more = newest(rows, by="created_at", cursor=asked.cursor, limit=PAGE)
    return RunPage(found, more or "")


def _in_workspace(workspace_id: UUID) -> QuerySet[FlowRun]:
    heavy = ("history", "error", "parameters")
    rows = FlowRun.objects.filter(workspace_id=workspace_id).defer(*heavy)
    # Not joined: of flows too few to have statistics PostgreSQL would take all the runs, and sort them.
    return rows.prefetch_related("flow", "deployment", "pool")


def ever_ran(workspace_id: UUID) -> bool:
    """Whether the workspace has any run at all."""
    return FlowRun.objects.filter(workspace_id=workspace_id).exists()


def counts(workspace_id: UUID, asked: RunFilter, *, hidden: Collection[UUID] = ()) -> dict[str, int]:
    """How many runs of the filter are in each state, whatever states it asks for.

    Where all are asked for, hidden ones count: what is remembered is the same for everybody.
    """
    if asked.takes_all and asked.range in remembered.SPANS:
        return remembered.over_time(workspace_id, asked.range).totals
    rows = asked.apply(FlowRun.objects.filter(workspace_id=workspace_id), states=False).without(hidden)
    with connection.cursor() as cursor:
        sql, values = rows.order_by().values("state_type").query.sql_with_params()
        cursor.execute(f"SELECT state_type, count(*) FROM ({sql}) r GROUP BY 1", values)
        return dict(cursor.fetchall())


def over_time(workspace_id: UUID, asked: RunFilter, *, hidden: Collection[UUID] = ()) -> dict[str, Any]:
    """States over time: spans of equal length, each with its runs counted by state type.

    {"from": µs, "step": µs, "bars": [{"COMPLETED": 3, …}, …]}
    """
    if asked.takes_all:
        span = asked.range if asked.range in remembered.SPANS else "30d"
        return remembered.over_time(workspace_id, span).only(asked.states).chart
    until = now()
    since = asked.since or until - timedelta(days=30)
    step = (until - since) / BARS
    rows = asked.apply(FlowRun.objects.filter(workspace_id=workspace_id, created_at__gte=since)).without(hidden)
    sql, values = rows.order_by().values("state_type", "created_at").query.sql_with_params()
    bars: list[dict[str, int]] = [{} for _ in range(BARS)]
    with connection.cursor() as cursor:
        cursor.execute(
            "SELECT least(floor(extract(epoch FROM created_at - %s) / %s), %s)::int AS bar, state_type, count(*)"
            f" FROM ({sql}) r GROUP BY 1, 2",
            [since, step.total_seconds(), BARS - 1, *values],
        )
        for bar, state_type, number in cursor.fetchall():
            bars[max(bar, 0)][state_type] = number
    return {"from": int(since.timestamp() * 1e6), "step": int(step.total_seconds() * 1e6), "bars": bars}


def _is_id(text: str) -> bool:
    try:
        return bool(UUID(text))
    except ValueError:
        return False
