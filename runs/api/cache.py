"""The cache: its entries, one of them, those that are to be computed anew."""

from __future__ import annotations

from typing import Any
from uuid import UUID

from django.http import HttpResponse
from rest_framework.request import Request

from orchestrator.bodies import InvalidateInput
from runs.api import paging
from runs.cache import invalidate
from runs.models import CacheEntry
from runs.models.cache import STATES
from runs.reads import cache as reads
from tenants.api import TenantView
from tenants.errors import Invalid
from tenants.messages import answer, read


class Entries(TenantView):
    """GET: a page of entries, newest value first; of one `task`, in one `state`, or whose keys begin with `prefix`."""

    verbs = {"GET": "runs.view"}

    def get(self, request: Request) -> HttpResponse:
        if (state := request.query_params.get("state", "")) and state not in STATES:
            raise Invalid("There is no such state.", fields={"state": f"One of {', '.join(STATES)}."})
        rows = reads.CacheFilter.read(request.query_params).of(reads.in_workspace(self.actor))
        items, cursor = paging.page(request, rows, "made_at")
        return answer({"items": [describe(each) for each in items], "next": cursor})


class OneEntry(TenantView):
    """GET: one, with its newest uses."""

    verbs = {"GET": "runs.view"}

    def get(self, request: Request, id: UUID) -> HttpResponse:
        entry = reads.find(self.actor, id=id)
        uses = [
            {"flow_run": use.run_id, "task_run": use.task_id, "at": use.at} for use in reads.uses_of(entry, self.actor)
        ]
        return answer({**describe(entry), "used_by": uses})


class EntryOfKey(TenantView):
    """GET: the one of a key."""

    verbs = {"GET": "runs.view"}

    def get(self, request: Request, key: str) -> HttpResponse:
        return answer(describe(reads.find(self.actor, key=key)))


class Invalidate(TenantView):
    """POST: let no call use these values any more: those of a `key`, of a `prefix` of keys, of a `task`, or `all`.

    GET: when that was done last, of any value.
    """

    verbs = {"GET": "runs.view", "POST": "cache.edit"}

    def get(self, request: Request) -> HttpResponse:
        return answer({"last": reads.last_invalidation(self.actor)})

    def post(self, request: Request) -> HttpResponse:
        done, more = invalidate(wanted=read(request, InvalidateInput), by=self.actor)
        return answer({"invalidated": done, "more": more})


def describe(entry: CacheEntry) -> dict[str, Any]:
    """An entry as JSON, without its users."""
    return {
        "id": entry.id,
        "key": entry.key,
        "task": entry.task,
        "state": entry.state,
        "url": entry.url,
        "serializer": entry.serializer,
        "size": entry.size,
        "flow_run": entry.run_id,
        "task_run": entry.task_id,
        "made_at": entry.made_at,
        "expires_at": entry.expires_at,
        "invalidated_at": entry.invalidated_at,
        "hits": entry.hits,
        "used_at": entry.used_at,
    }
