"""The feed of events: newest first, by name, by what they happened to, by run. Each way has an index of its own.

The table is parted by the day on which a run was first seen, which says little about when something happened: so the
feed looks into every partition, once in each index, and stops where its page is full.
"""

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

from orchestrator.ids import as_id
from orchestrator.storable import clean_text
from orchestrator.wire import OWN_EVENTS
from runs.hidden import hidden_deployments, of_seen_runs
from runs.models import EventRow, FlowRun
from tenants.cursors import newest, read_cursor, write_cursor
from tenants.database import ORGANIZATION
from tenants.errors import NotFound
from tenants.permissions import Actor

PAGE = 50
MOST_NAMES = 200
RANGES = {"1h": timedelta(hours=1), "24h": timedelta(days=1), "7d": timedelta(days=7), "30d": timedelta(days=30)}


@dataclass(frozen=True, slots=True)
class EventFilter:
    """Which events are looked at. `event` is a name, or how names begin."""

    event: str = ""
    resource: str = ""
    run: UUID | None = None
    since: datetime | None = None
    until: datetime | None = None
    range: str = ""
    cursor: str = ""

    @classmethod
    def read(cls, query: Mapping[str, Any]) -> EventFilter:
        """From the address of a page; what makes no sense is left out."""
        range = query.get("range", "") if query.get("range", "") in RANGES else ""
        return cls(
            event=clean_text(query.get("event", "").strip(), 200).removesuffix("*"),
            resource=clean_text(query.get("resource", "").strip(), 1_000),
            run=as_id(query.get("run", "")),
            since=now() - RANGES[range] if range else None,
            range=range,
            cursor=query.get("cursor", "")[:200],
        )

    def query(self, **changes: Any) -> str:
        """The query string of this filter, or of one with these changes; `?…`, or nothing."""
        wanted = replace(self, **changes) if changes else self
        pairs = {"event": wanted.event, "resource": wanted.resource, "run": str(wanted.run or "")}
        pairs |= {"range": wanted.range, "cursor": wanted.cursor}
        kept = urlencode({name: value for name, value in pairs.items() if value})
        return f"?{kept}" if kept else ""

    @property
    def is_default(self) -> bool:
        """True when nothing was asked for: an empty list then means that there never were any."""
        return replace(self, cursor="") == EventFilter()


def page(by: Actor, asked: EventFilter, limit: int = PAGE) -> tuple[list[EventRow], str]:
    """The newest events of a filter from its cursor on, and the cursor of what follows."""
    hidden = hidden_deployments(by)
    if asked.event and not asked.resource and asked.run is None:
        return _by_name(by.workspace_id, asked, limit, hidden)
    rows = _seen(_narrowed(by.workspace_id, asked), hidden)
    found, more = newest(rows, by="t", cursor=asked.cursor, limit=limit)
    return found, more or ""


def _seen(rows: QuerySet[EventRow], hidden: Collection[UUID]) -> QuerySet[EventRow]:
    """Without what happened to deployments that are hidden, and in their runs."""
    if not hidden:
        return rows
    own = Q(resource_id__isnull=False, resource_id__in=[f"deployment.{id}" for id in hidden])
    return of_seen_runs(rows.exclude(own), hidden)


def _narrowed(workspace_id: UUID, asked: EventFilter) -> QuerySet[EventRow]:
    rows = EventRow.objects.filter(workspace_id=workspace_id)
    if asked.run is not None:
        run = FlowRun.objects.filter(workspace_id=workspace_id, id=asked.run).first()
        rows = EventRow.objects.of_run(run) if run else rows.none()
    if asked.resource:
        rows = rows.filter(resource_id=asked.resource)
    if asked.event:
        rows = rows.filter(Q(event=asked.event) | Q(event__startswith=asked.event))
    return _within(rows, asked)


def _within(rows: QuerySet[EventRow], asked: EventFilter) -> QuerySet[EventRow]:
    if asked.since:
        rows = rows.filter(t__gte=asked.since)
    return rows.filter(t__lt=asked.until) if asked.until else rows


# A few of each name, from the index by name and time; then the newest of them all. Without the names one would have to
# read whatever else happened in between.
_OF_NAMES = f"""
    SELECT e.id, e.t FROM unnest(%(names)s::text[]) n (name) CROSS JOIN LATERAL (
        SELECT id, t FROM event WHERE organization_id = {ORGANIZATION} AND workspace_id = %(workspace)s
            AND event = n.name AND t >= %(since)s AND t < %(until)s AND (t, id) < (%(at)s, %(after)s)
        ORDER BY t DESC, id DESC LIMIT %(limit)s
    ) e ORDER BY e.t DESC, e.id DESC LIMIT %(limit)s
"""
_EVER, _NEVER = datetime.fromisoformat("1970-01-01T00:00:00+00:00"), datetime.fromisoformat("2100-01-01T00:00:00+00:00")


def _by_name(
    workspace_id: UUID, asked: EventFilter, limit: int, hidden: Collection[UUID]
) -> tuple[list[EventRow], str]:
    fitting = [name for name in names(workspace_id) if name.startswith(asked.event)]
    at, after = read_cursor(asked.cursor) if asked.cursor else (_NEVER, UUID(int=0))
    bounds = {"since": asked.since or _EVER, "until": asked.until or _NEVER, "at": at, "after": after}
    place = {"workspace": workspace_id, "names": list({*fitting, asked.event}), "limit": limit + 1}
    with connection.cursor() as cursor:
        cursor.execute(_OF_NAMES, bounds | place)
        found = cursor.fetchall()
    rows = _seen(EventRow.objects.filter(id__in=[id for id, _ in found[:limit]]), hidden)
    known = {(row.id, row.t): row for row in rows}
    items = [known[place] for place in found[:limit] if place in known]
    last = found[limit - 1] if len(found) > limit else None
    return items, write_cursor(last[1], last[0]) if last else ""


_NAMES = f"""
    WITH RECURSIVE found AS (
        (SELECT event FROM event WHERE organization_id = {ORGANIZATION} AND workspace_id = %(workspace)s
            ORDER BY event LIMIT 1)
        UNION ALL
        SELECT (SELECT e.event FROM event e WHERE e.organization_id = {ORGANIZATION}
            AND e.workspace_id = %(workspace)s AND e.event > found.event ORDER BY e.event LIMIT 1)
        FROM found WHERE found.event IS NOT NULL
    )
    SELECT event FROM found WHERE event IS NOT NULL LIMIT %(limit)s
"""


def names(workspace_id: UUID) -> list[str]:
    """The names of events that there are, 200 at most: one look into the index for each."""
    with connection.cursor() as cursor:
        cursor.execute(_NAMES, {"workspace": workspace_id, "limit": MOST_NAMES})
        return [name for (name,) in cursor.fetchall()]


def find(by: Actor, id: UUID) -> EventRow:
    """One event.

    Raises:
        NotFound: There is none.
    """
    own = EventRow.objects.filter(workspace_id=by.workspace_id, id=id)
    found = _seen(own, hidden_deployments(by)).first()
    if found is None:
        raise NotFound("There is no such event here.")
    return found


def payload(workspace_id: UUID, id: UUID) -> Any:
    """The whole payload of an event, whoever asks; None where it has none, or is gone."""
    rows = EventRow.objects.filter(workspace_id=workspace_id, id=id)
    return rows.values_list("payload", flat=True).first()


@dataclass(frozen=True, slots=True)
class Named:
    """What an event happened to, and the page of it where there is one."""

    text: str
    route: str = ""
    id: str = ""


ROUTES = {"flow-run": "run", "deployment": "deployment", "agent": "agent", "automation": "automation"}


def named(event: EventRow) -> Named:
    """What an event happened to. Only the platform's own words are taken for ids of its things."""
    kind, _, id = (event.resource_id or "").partition(".")
    text = str(event.resource.get("name") or event.resource_id or "")
    if text == event.resource_id and as_id(id):
        text = f"{kind} {id[:12]}"
    if kind in ROUTES and event.event.startswith(OWN_EVENTS) and as_id(id):
        return Named(text, ROUTES[kind], id)
    return Named(text)
