"""Slots of limits and locks: what processes ask, and the limits as people and programs set them."""

from __future__ import annotations

from typing import Any

from django.http import HttpResponse
from rest_framework.request import Request

from orchestrator.slot_bodies import LimitInput, SlotsInput, TakeAwayInput
from runs.models import NamedLimit
from runs.reads import limits as reads
from runs.slots import named
from runs.slots.exchange import exchange
from tenants.api import TenantView
from tenants.messages import answer, page_size, read


class Slots(TenantView):
    """POST: give slots back, keep some, take others; all in one. Never waits: `runs/slots/waiting.py` does."""

    verbs = {"POST": "slots.take"}

    def post(self, request: Request) -> HttpResponse:
        return answer(exchange(read(request, SlotsInput), by=self.actor))


class Limits(TenantView):
    """GET: the limits by name; those whose names begin with `prefix`."""

    verbs = {"GET": "limits.view"}

    def get(self, request: Request) -> HttpResponse:
        rows = reads.in_workspace(self.actor, prefix=request.query_params.get("prefix", ""))
        found, more = reads.page(rows, after=request.query_params.get("cursor", ""), size=page_size(request))
        return answer({"items": [describe(each) for each in found], "next": more})


class OneLimit(TenantView):
    """GET: one, with who holds its slots and who waits. PUT: make it, or change what is told. DELETE: remove it."""

    verbs = {"GET": "limits.view", "PUT": "limits.edit", "DELETE": "limits.edit"}

    def get(self, request: Request, name: str) -> HttpResponse:
        return answer(self.described(name))

    def put(self, request: Request, name: str) -> HttpResponse:
        limit, is_new = named.set_limit(name=name, told=read(request, LimitInput), by=self.actor)
        return answer(self.described(limit.name), status=201 if is_new else 200)

    def delete(self, request: Request, name: str) -> HttpResponse:
        named.delete(named.find(self.actor, name=name), by=self.actor)
        return HttpResponse(status=204)

    def described(self, name: str) -> dict[str, Any]:
        """It, as it is now."""
        limit = named.find(self.actor, name=name)
        holders, queue = reads.holders(limit, self.actor), reads.queue(limit, self.actor)
        counted = reads.in_workspace(self.actor).get(id=limit.id)
        return {
            **describe(counted),
            "holders": [{**_somebody(each), "since": each.slot.held_at} for each in holders],
            "queue": [{**_somebody(each), "since": each.slot.asked_at} for each in queue],
        }


class Reset(TenantView):
    """POST: take slots away from one holder, by its `id`, or from all."""

    verbs = {"POST": "limits.edit"}

    def post(self, request: Request, name: str) -> HttpResponse:
        limit, told = named.find(self.actor, name=name), read(request, TakeAwayInput)
        if told.id is None:
            return answer({"taken_away": named.reset(limit, by=self.actor)})
        named.take_away(limit, ask=told.id, by=self.actor)
        return answer({"taken_away": 1})


def describe(limit: NamedLimit) -> dict[str, Any]:
    """A limit as JSON, without those who hold it."""
    return {
        "name": limit.name,
        "slots": limit.slots,
        "rate": limit.rate,
        "active": limit.active,
        "held": limit.held,
        "waiting": limit.waiting,
        "created_at": limit.created_at,
    }


def _somebody(each: reads.Shown) -> dict[str, Any]:
    """Who holds or waits, as JSON."""
    run = each.run.id if each.run else None
    return {"id": each.slot.ask, "flow_run": run, "label": each.who, "occupy": each.slot.occupy}
