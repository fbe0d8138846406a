"""The cache as pages and the API show it: its entries by time, by task, by state, by how their keys begin."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any
from urllib.parse import urlencode
from uuid import UUID

from django.db.models import Q, QuerySet
from django.utils.timezone import now

from orchestrator.cleaned import MAX_CACHE_KEY
from orchestrator.storable import clean_text
from orchestrator.wire import MAX_NAME
from runs.hidden import hidden_deployments, of_seen_runs
from runs.models import CacheEntry, FlowRun
from runs.models.cache import STATES
from runs.transitions import from_micros
from tenants.errors import NotFound
from tenants.permissions import Actor

PAGE = 50


@dataclass(frozen=True, slots=True)
class CacheFilter:
    """Which entries are looked at. `prefix` is how their keys begin."""

    prefix: str = ""
    task: str = ""
    state: str = ""

    @classmethod
    def read(cls, query: Mapping[str, Any]) -> CacheFilter:
        """From the address of a page; what makes no sense is left out."""
        state = query.get("state", "")
        return cls(
            prefix=clean_text(query.get("prefix", "").strip(), MAX_CACHE_KEY),
            task=clean_text(query.get("task", "").strip(), MAX_NAME),
            state=state if state in STATES else "",
        )

    def query(self, **more: str) -> str:
        """The query string of this filter; `?…`, or nothing."""
        pairs = {"prefix": self.prefix, "task": self.task, "state": self.state, **more}
        kept = urlencode({name: value for name, value in pairs.items() if value})
        return f"?{kept}" if kept else ""

    def of(self, rows: QuerySet[CacheEntry]) -> QuerySet[CacheEntry]:
        """Those of the rows that are meant."""
        if self.prefix:
            rows = beginning_with(rows, self.prefix)
        if self.task:
            rows = rows.filter(task=self.task)
        return of_state(rows, self.state)

    @property
    def is_default(self) -> bool:
        """True when nothing was asked for: an empty list then means that there never were any."""
        return self == CacheFilter()


def in_workspace(by: Actor) -> QuerySet[CacheEntry]:
    """Those of a workspace that the actor may see."""
    return of_seen_runs(CacheEntry.objects.filter(workspace_id=by.workspace_id), hidden_deployments(by))


def beginning_with(rows: QuerySet[CacheEntry], prefix: str) -> QuerySet[CacheEntry]:
    """Those whose keys begin so. As a range: the wall keeps LIKE from the index."""
    return rows.filter(key__gte=prefix, key__lt=prefix + "\U0010ffff")


def of_state(rows: QuerySet[CacheEntry], state: str) -> QuerySet[CacheEntry]:
    """Those in one of the states; all, where none is named."""
    if state == "invalidated":
        return rows.exclude(invalidated_at=None)
    if state == "expired":
        return rows.filter(invalidated_at=None, expires_at__lte=now())
    if state == "live":
        return rows.filter(Q(expires_at=None) | Q(expires_at__gt=now()), invalidated_at=None)
    return rows


def find(by: Actor, *, id: UUID | None = None, key: str = "") -> CacheEntry:
    """One entry, by its id or its key.

    Raises:
        NotFound: There is none.
    """
    rows = in_workspace(by)
    found = (rows.filter(id=id) if id else rows.filter(key=clean_text(key))).first()
    if found is None:
        raise NotFound("There is no such entry in the cache.")
    return found


def last_invalidation(by: Actor) -> datetime | None:
    """When an entry of the workspace was invalidated last."""
    rows = CacheEntry.objects.filter(workspace_id=by.workspace_id, invalidated_at__isnull=False)
    return rows.order_by("-invalidated_at").values_list("invalidated_at", flat=True).first()


@dataclass(frozen=True, slots=True)
class Use:
    """A run that used an entry's value."""

    run_id: UUID
    task_id: UUID
    at: datetime
    run: FlowRun | None


def with_makers(entries: list[CacheEntry], by: Actor) -> list[tuple[CacheEntry, FlowRun | None]]:
    """Each with the run that made its value, where that is still there."""
    runs = _runs({entry.run_id for entry in entries}, by)
    return [(entry, runs.get(entry.run_id)) for entry in entries]


def uses_of(entry: CacheEntry, by: Actor) -> list[Use]:
    """The newest uses of an entry's value, by runs that may be seen or are gone."""
    told = [(UUID(run), UUID(task), from_micros(at)) for run, task, at in entry.used_by]
    ids = {run for run, *_ in told}
    runs = _runs(ids, by)
    hidden = set(FlowRun.objects.filter(workspace_id=by.workspace_id, id__in=ids).values_list("id", flat=True)) - {
        *runs
    }
    return [Use(run, task, at, runs.get(run)) for run, task, at in told if run not in hidden]


def _runs(ids: set[Any], by: Actor) -> dict[Any, FlowRun]:
    found = FlowRun.objects.filter(workspace_id=by.workspace_id, id__in=ids).without(hidden_deployments(by))
    return {run.id: run for run in found.defer("history", "error", "parameters").select_related("flow")}
