"""Events: the feed, one of them, and a new one by a program that is no run."""

from __future__ import annotations

from datetime import datetime
from typing import Any
from uuid import UUID

from django.http import HttpResponse
from rest_framework.request import Request

from orchestrator.bodies import EventInput
from orchestrator.storable import clean_text
from runs import events
from runs.ingest.budget import spend
from runs.models import EventRow
from runs.reads import events as reads
from tenants.api import TenantView
from tenants.errors import Invalid
from tenants.messages import answer, identifier, page_size, read


class Events(TenantView):
    """GET: a page of events, newest first. POST: tell of one."""

    verbs = {"GET": "runs.view", "POST": "events.write"}

    def get(self, request: Request) -> HttpResponse:
        query = request.query_params
        asked = reads.EventFilter(
            event=clean_text(query.get("event", ""), 200).removesuffix("*"),
            resource=clean_text(query.get("resource", ""), 1_000), run=identifier(request, "flow_run"),
            since=_time("since", query.get("since", "")), until=_time("until", query.get("until", "")),
            cursor=query.get("cursor", ""),
        )  # fmt: skip
        items, cursor = reads.page(self.actor, asked, page_size(request))
        return answer({"items": [describe(each) for each in items], "next": cursor or None})

    def post(self, request: Request) -> HttpResponse:
        spend(self.actor.organization_id, len(request.body))
        return answer({"id": events.emit(read(request, EventInput), by=self.actor)}, status=201)


class OneEvent(TenantView):
    """GET: one event."""

    verbs = {"GET": "runs.view"}

    def get(self, request: Request, id: UUID) -> HttpResponse:
        return answer(describe(reads.find(self.actor, id)))


def _time(name: str, text: str) -> datetime | None:
    try:
        at = datetime.fromisoformat(text) if text else None
    except ValueError:
        at = None
    if text and (at is None or at.tzinfo is None or not 1970 <= at.year < 2200):
        raise Invalid(f"{name} is no time.", fields={name: "ISO 8601 with a zone."})
    return at


def describe(event: EventRow) -> dict[str, Any]:
    """An event as JSON."""
    return {
        "id": event.id,
        "event": event.event,
        "occurred": event.t,
        "resource": event.resource | {"id": event.resource_id or ""},
        "related": event.related or [],
        "payload": event.payload,
        "flow_run": event.run_id,
    }
