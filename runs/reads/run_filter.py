"""Which runs the list shows: a filter that lives in the address, and means the same to the API's list."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from typing import Any
from urllib.parse import urlencode
from uuid import UUID

from django.db.models import Q, QuerySet
from django.http import QueryDict
from django.utils.timezone import now

from orchestrator.bulk import words_of
from orchestrator.states import StateType
from runs.models import FlowRun

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
    FlowRun.Origin.BACKFILL.value: "By backfill",
    FlowRun.Origin.WEBHOOK.value: "By webhook",
    FlowRun.Origin.AUTOMATION.value: "By automation",
    FlowRun.Origin.RETRY.value: "Retries",
    FlowRun.Origin.LOCAL.value: "Called by hand",
}
MAX_TEXT = 200
_WORDS = {name: name for name in ("state", "flow", "tag", "origin", "backfill", "since", "until")} | {"text": "q"}
"""What words of the API's list are called in the address of this one."""


@dataclass(frozen=True, slots=True)
class RunFilter:
    """Which runs a list shows. Everything in it came by the address and goes back into it.

    Where `after` or `before` say when they were made, the range says nothing.
    """

    states: tuple[str, ...] = ()
    flow: str = ""
    deployment: str = ""
    tag: str = ""
    text: str = ""
    range: str = DEFAULT_RANGE
    subflows: bool = False
    origin: str = ""
    backfill: str = ""
    after: datetime | None = None
    before: datetime | None = None
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
            backfill=query.get("backfill", "") if _is_id(query.get("backfill", "")) else "",
            after=_moment(query.get("since", "")),
            before=_moment(query.get("until", "")),
            cursor=query.get("cursor", "")[:200],
        )

    @classmethod
    def of_words(cls, words: Mapping[str, Any], *, deployment: UUID | None) -> RunFilter | None:
        """What words of the API's list mean here, without subflows; None where this list has none for one of them."""
        told = {name: words_of(value) for name, value in words.items() if name not in {"deployment", "subflows"}}
        if told.keys() - _WORDS.keys() or len(told.get("tag", [])) > 1:
            return None
        query = QueryDict(mutable=True)
        query.setlist("state", ",".join(told.pop("state", [])).split(","))
        query.update({_WORDS[name]: values[-1] for name, values in told.items()})
        query.update({"deployment": str(deployment or ""), "range": "all"})
        found = cls.read(query)
        return None if told.get("origin") and not found.origin else found

    def words(self) -> dict[str, Any]:
        """The same as words of the API's list, which knows no ranges."""
        found = {
            "state": list(self.states), "flow": self.flow, "deployment": self.deployment, "tag": self.tag,
            "text": self.text, "origin": self.origin, "backfill": self.backfill,
            "since": _written(self.since), "until": _written(self.before),
        }  # fmt: skip
        known = {name: value for name, value in found.items() if value}
        return known if self.subflows else known | {"subflows": False}

    def query(self, **changes: Any) -> str:
        """The query string of this filter, or of one with these changes; `?…`, or nothing."""
        wanted = replace(self, **changes) if changes else self
        pairs: list[tuple[str, str]] = [("state", state) for state in wanted.states]
        pairs += [("flow", wanted.flow), ("deployment", wanted.deployment), ("tag", wanted.tag), ("q", wanted.text)]
        pairs += [("range", "" if wanted.range == DEFAULT_RANGE else wanted.range)]
        pairs += [("since", _written(wanted.after)), ("until", _written(wanted.before))]
        pairs += [("subflows", "1" if wanted.subflows else ""), ("origin", wanted.origin)]
        pairs += [("backfill", wanted.backfill), ("cursor", wanted.cursor)]
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
        if self.after or self.before:
            return self.after
        return now() - span if span else None

    def apply(self, rows: QuerySet[FlowRun], *, states: bool = True) -> QuerySet[FlowRun]:
        """Narrow a set of runs. Time and equality come first: RLS keeps text searches from using an index."""
        if self.since:
            rows = rows.filter(created_at__gte=self.since)
        if self.before:
            rows = rows.filter(created_at__lt=self.before)
        if states and self.states:
            rows = rows.filter(state_type__in=self.states)
        if not self.subflows:
            rows = rows.exclude(origin=FlowRun.Origin.SUBFLOW)
        if self.origin:
            rows = rows.filter(origin=self.origin)
        if self.backfill:
            rows = rows.filter(backfill_id=self.backfill)
        if self.flow:
            rows = rows.filter(flow__name=self.flow)
        if self.deployment:
            rows = rows.filter(deployment_id=self.deployment)
        if self.tag:
            rows = rows.filter(tags__contains=[self.tag])
        if self.text:
            rows = rows.filter(Q(name__icontains=self.text) | Q(flow__name__icontains=self.text))
        return rows


def _is_id(text: str) -> bool:
    try:
        return bool(UUID(text))
    except ValueError:
        return False


def _moment(text: str) -> datetime | None:
    """A time of the address; what has no zone is none."""
    try:
        at = datetime.fromisoformat(text)
    except ValueError:
        return None
    return at if at.tzinfo is not None and 1970 <= at.year < 2200 else None


def _written(at: datetime | None) -> str:
    return at.isoformat() if at else ""
