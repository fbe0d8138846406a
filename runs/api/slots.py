"""Slots of limits and locks: what processes ask, and the limits as people and programs set them."""

from __future__ import annotations

from datetime import datetime
from typing import Annotated
from uuid import UUID

import msgspec
from django.http import HttpResponse
from rest_framework.request import Request

from orchestrator.slot_bodies import LimitInput, SlotsAnswer, SlotsInput, TakeAwayInput
from runs.models import NamedLimit
from runs.reads import limits as reads
from runs.slots import named
from runs.slots.exchange import exchange
from tenants.api import TenantView
from tenants.declared import Page, PageQuery, operation
from tenants.errors import Conflict
from tenants.messages import answer


class LimitsAsked(PageQuery):
    """Which limits."""

    prefix: Annotated[str, msgspec.Meta(max_length=500, description="How their names begin.")] = ""


class LimitShown(msgspec.Struct):
    """A limit that code names. `rate` is how many slots come back by themselves, per second."""

    name: str
    slots: int
    rate: float
    active: bool
    held: int
    waiting: int
    created_at: datetime


class SomebodyShown(msgspec.Struct):
    """Who holds slots or waits for some, and since when."""

    id: UUID
    flow_run: UUID | None
    label: str
    occupy: int
    since: datetime


class LimitWithHolders(LimitShown):
    """A limit, with the first of those who hold its slots and of those who wait."""

    holders: list[SomebodyShown]
    queue: list[SomebodyShown]


class TakenAway(msgspec.Struct):
    """From how many slots were taken away."""

    taken_away: int


class Slots(TenantView):
    """POST: give slots back, keep some, take others; all in one. Never waits: `runs/slots/waiting.py` does."""

    verbs = {"POST": "slots.take"}

    @operation(SlotsAnswer, refuses=[Conflict])
    def post(self, request: Request, told: SlotsInput) -> HttpResponse:
        return answer(exchange(told, by=self.actor))


class Limits(TenantView):
    """GET: the limits by name; those whose names begin with `prefix`."""

    verbs = {"GET": "limits.view"}

    @operation(Page[LimitShown])
    def get(self, request: Request, asked: LimitsAsked) -> HttpResponse:
        rows = reads.in_workspace(self.actor, prefix=asked.prefix)
        found, more = reads.page(rows, after=asked.cursor, size=asked.limit)
        return answer(Page([describe(each) for each in found], more))


class OneLimit(TenantView):
    """GET: one, with who holds its slots and who waits. PUT: make it, or change what is told. DELETE: remove it."""

    verbs = {"GET": "limits.view", "PUT": "limits.edit", "DELETE": "limits.edit"}

    @operation(LimitWithHolders)
    def get(self, request: Request, name: str) -> HttpResponse:
        return answer(self.described(name))

    @operation(LimitWithHolders, 200, 201, refuses=[Conflict])
    def put(self, request: Request, name: str, told: LimitInput) -> HttpResponse:
        limit, is_new = named.set_limit(name=name, told=told, by=self.actor)
        return answer(self.described(limit.name), status=201 if is_new else 200)

    @operation(None, 204)
    def delete(self, request: Request, name: str) -> HttpResponse:
        named.delete(named.find(self.actor, name=name), by=self.actor)
        return HttpResponse(status=204)

    def described(self, name: str) -> LimitWithHolders:
        """It, as it is now."""
        limit = named.find(self.actor, name=name)
        holders, queue = reads.holders(limit, self.actor), reads.queue(limit, self.actor)
        counted = reads.in_workspace(self.actor).get(id=limit.id)
        return LimitWithHolders(
            **msgspec.structs.asdict(describe(counted)),
            holders=[_somebody(each, each.slot.held_at or each.slot.asked_at) for each in holders],
            queue=[_somebody(each, each.slot.asked_at) for each in queue],
        )


class Reset(TenantView):
    """POST: take slots away from one holder, by its `id`, or from all."""

    verbs = {"POST": "limits.edit"}

    @operation(TakenAway)
    def post(self, request: Request, name: str, told: TakeAwayInput) -> HttpResponse:
        limit = named.find(self.actor, name=name)
        if told.id is None:
            return answer(TakenAway(named.reset(limit, by=self.actor)))
        named.take_away(limit, ask=told.id, by=self.actor)
        return answer(TakenAway(1))


def describe(limit: NamedLimit) -> LimitShown:
    """A limit as the API shows it, without those who hold it."""
    return LimitShown(
        name=limit.name,
        slots=limit.slots,
        rate=limit.rate,
        active=limit.active,
        held=limit.held,
        waiting=limit.waiting,
        created_at=limit.created_at,
    )


def _somebody(each: reads.Shown, since: datetime) -> SomebodyShown:
    """Who holds or waits, as the API shows it."""
    return SomebodyShown(each.slot.ask, each.run.id if each.run else None, each.who, each.slot.occupy, since)
