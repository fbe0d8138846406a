"""The cache: its entries, one of them, those that are to be computed anew."""

from __future__ import annotations

from datetime import datetime
from typing import Annotated, Literal
from uuid import UUID

import msgspec
from django.http import HttpResponse
from rest_framework.request import Request

from orchestrator.bodies import InvalidateInput
from orchestrator.storable import clean_text
from runs.api import paging
from runs.cache import invalidate
from runs.models import CacheEntry
from runs.reads import cache as reads
from tenants.api import TenantView
from tenants.declared import Page, PageQuery, operation
from tenants.messages import answer


class EntriesAsked(PageQuery):
    """Which entries."""

    task: Annotated[str, msgspec.Meta(max_length=500, description="Of one task.")] = ""
    prefix: Annotated[str, msgspec.Meta(max_length=1_000, description="How their keys begin.")] = ""
    state: Annotated[Literal["", "live", "expired", "invalidated"], msgspec.Meta(description="In one state.")] = ""


class EntryShown(msgspec.Struct):
    """An entry of the cache, without its users. `url` says where its value is; null: a use is known so far, no more."""

    id: UUID
    key: str
    task: str
    state: str
    url: str
    serializer: str
    size: int | None
    flow_run: UUID | None
    task_run: UUID | None
    made_at: datetime
    expires_at: datetime | None
    invalidated_at: datetime | None
    hits: int
    used_at: datetime | None


class UseShown(msgspec.Struct):
    """A use of an entry's value."""

    flow_run: UUID
    task_run: UUID
    at: datetime


class EntryWithUses(EntryShown):
    """An entry of the cache, with its newest uses."""

    used_by: list[UseShown]


class LastInvalidation(msgspec.Struct):
    """When any value was invalidated last."""

    last: datetime | None


class Invalidated(msgspec.Struct):
    """How many entries no call uses any more, and whether there are more to be invalidated by asking again."""

    invalidated: int
    more: bool


class Entries(TenantView):
    """GET: a page of entries, newest value first; of one `task`, in one `state`, or whose keys begin with `prefix`."""

    verbs = {"GET": "runs.view"}

    @operation(Page[EntryShown])
    def get(self, request: Request, asked: EntriesAsked) -> HttpResponse:
        wanted = reads.CacheFilter(clean_text(asked.prefix.strip()), clean_text(asked.task.strip()), asked.state)
        items, cursor = paging.page(asked, wanted.of(reads.in_workspace(self.actor)), "made_at")
        return answer(Page([describe(each) for each in items], cursor))


class OneEntry(TenantView):
    """GET: one, with its newest uses."""

    verbs = {"GET": "runs.view"}

    @operation(EntryWithUses)
    def get(self, request: Request, id: UUID) -> HttpResponse:
        entry = reads.find(self.actor, id=id)
        uses = [UseShown(use.run_id, use.task_id, use.at) for use in reads.uses_of(entry, self.actor)]
        return answer(EntryWithUses(**msgspec.structs.asdict(describe(entry)), used_by=uses))


class EntryOfKey(TenantView):
    """GET: the one of a key."""

    verbs = {"GET": "runs.view"}

    @operation(EntryShown)
    def get(self, request: Request, key: str) -> HttpResponse:
        return answer(describe(reads.find(self.actor, key=key)))


class Invalidate(TenantView):
    """POST: let no call use these values any more: those of a `key`, of a `prefix` of keys, of a `task`, or `all`.

    GET: when that was done last, of any value.
    """

    verbs = {"GET": "runs.view", "POST": "cache.edit"}

    @operation(LastInvalidation)
    def get(self, request: Request) -> HttpResponse:
        return answer(LastInvalidation(reads.last_invalidation(self.actor)))

    @operation(Invalidated)
    def post(self, request: Request, told: InvalidateInput) -> HttpResponse:
        return answer(Invalidated(*invalidate(wanted=told, by=self.actor)))


def describe(entry: CacheEntry) -> EntryShown:
    """An entry as the API shows it, without its users."""
    return EntryShown(
        id=entry.id,
        key=entry.key,
        task=entry.task,
        state=entry.state,
        url=entry.url,
        serializer=entry.serializer,
        size=entry.size,
        flow_run=entry.run_id,
        task_run=entry.task_id,
        made_at=entry.made_at,
        expires_at=entry.expires_at,
        invalidated_at=entry.invalidated_at,
        hits=entry.hits,
        used_at=entry.used_at,
    )
