"""Events: the feed, one of them, and a new one by a program that is no run."""

from __future__ import annotations

from datetime import datetime
from typing import Annotated, Any
from uuid import UUID

import msgspec
from django.http import HttpResponse
from rest_framework.request import Request

from orchestrator.bodies import EventInput
from orchestrator.storable import clean_text
from runs import events
from runs.ingest.budget import spend
from runs.models import EventRow
from runs.reads import events as reads
from tenants.api import TenantView
from tenants.declared import Page, PageQuery, operation
from tenants.errors import Conflict, RateLimited
from tenants.messages import Moment, answer


class EventsAsked(PageQuery):
    """Which events."""

    event: Annotated[str, msgspec.Meta(max_length=200, description="A name, or how names begin.")] = ""
    resource: Annotated[str, msgspec.Meta(max_length=1_000, description="The id of what it happened to.")] = ""
    flow_run: Annotated[UUID | None, msgspec.Meta(description="Of one run.")] = None
    since: Annotated[Moment | None, msgspec.Meta(description="From then on.")] = None
    until: Annotated[Moment | None, msgspec.Meta(description="Before then.")] = None


class EventShown(msgspec.Struct):
    """An event."""

    id: UUID
    event: str
    occurred: datetime
    resource: dict[str, Any]
    related: list[dict[str, Any]]
    payload: Any
    flow_run: UUID | None


class Emitted(msgspec.Struct):
    """The id of an event that was told of."""

    id: UUID


class Events(TenantView):
    """GET: a page of events, newest first. POST: tell of one."""

    verbs = {"GET": "runs.view", "POST": "events.write"}

    @operation(Page[EventShown])
    def get(self, request: Request, asked: EventsAsked) -> HttpResponse:
        wanted = reads.EventFilter(
            event=clean_text(asked.event).removesuffix("*"), resource=clean_text(asked.resource), run=asked.flow_run,
            since=asked.since, until=asked.until, cursor=asked.cursor,
        )  # fmt: skip
        items, cursor = reads.page(self.actor, wanted, asked.limit)
        return answer(Page([describe(each) for each in items], cursor or None))

    @operation(Emitted, 201, refuses=[Conflict, RateLimited])
    def post(self, request: Request, told: EventInput) -> HttpResponse:
        spend(self.actor.organization_id, len(request.body))
        return answer(Emitted(events.emit(told, by=self.actor)), status=201)


class OneEvent(TenantView):
    """GET: one event."""

    verbs = {"GET": "runs.view"}

    @operation(EventShown)
    def get(self, request: Request, id: UUID) -> HttpResponse:
        return answer(describe(reads.find(self.actor, id)))


def describe(event: EventRow) -> EventShown:
    """An event as JSON."""
    return EventShown(
        id=event.id,
        event=event.event,
        occurred=event.t,
        resource=event.resource | {"id": event.resource_id or ""},
        related=event.related or [],
        payload=event.payload,
        flow_run=event.run_id,
    )
