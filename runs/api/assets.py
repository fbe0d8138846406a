"""Assets: the list, one with its neighbours, its materializations."""

from __future__ import annotations

from datetime import datetime
from typing import Annotated, Any
from uuid import UUID

import msgspec
from django.http import HttpResponse
from rest_framework.request import Request

from orchestrator.storable import clean_text
from runs.api import paging
from runs.models import Asset, Materialization
from runs.reads import assets as reads
from tenants.api import TenantView
from tenants.declared import Page, PageQuery, operation
from tenants.messages import answer


class AssetsAsked(PageQuery):
    """Which assets."""

    key: Annotated[str, msgspec.Meta(max_length=512, description="A text in their keys.")] = ""


class AssetShown(msgspec.Struct):
    """An asset."""

    id: UUID
    key: str
    name: str
    description: str
    url: str
    owners: list[str]


class AssetWithNeighbours(AssetShown):
    """An asset, with the keys of what it is made of and of what is made of it."""

    upstream: list[str]
    downstream: list[str]


class MaterializationShown(msgspec.Struct):
    """A making of an asset by a task run. `upstream` are the keys of what it was made of."""

    id: UUID
    at: datetime
    succeeded: bool
    flow_run: UUID
    task_run: UUID | None
    by: str
    metadata: Any
    upstream: list[str]


class Assets(TenantView):
    """GET: a page of assets, by key; `key` narrows it to keys that hold a text."""

    verbs = {"GET": "runs.view"}

    @operation(Page[AssetShown])
    def get(self, request: Request, asked: AssetsAsked) -> HttpResponse:
        text, after = clean_text(asked.key), clean_text(asked.cursor)
        items, cursor = reads.page(self.actor.workspace_id, text=text, after=after, limit=asked.limit)
        return answer(Page([describe(each) for each in items], cursor or None))


class OneAsset(TenantView):
    """GET: one, with the keys of what it is made of and of what is made of it."""

    verbs = {"GET": "runs.view"}

    @operation(AssetWithNeighbours)
    def get(self, request: Request, id: UUID) -> HttpResponse:
        asset = reads.find(self.actor.workspace_id, id)
        neighbours = {"upstream": reads.upstream(asset), "downstream": reads.downstream(asset)}
        keys = {name: [each.key for each in found] for name, found in neighbours.items()}
        return answer(AssetWithNeighbours(**msgspec.structs.asdict(describe(asset)), **keys))


class Materializations(TenantView):
    """GET: a page of an asset's materializations, newest first."""

    verbs = {"GET": "runs.view"}

    @operation(Page[MaterializationShown])
    def get(self, request: Request, id: UUID, asked: PageQuery) -> HttpResponse:
        rows = reads.materializations(reads.find(self.actor.workspace_id, id))
        items, cursor = paging.page(asked, rows, "at")
        return answer(Page([describe_making(each) for each in items], cursor))


def describe(asset: Asset) -> AssetShown:
    """An asset as the API shows it."""
    return AssetShown(
        id=asset.id,
        key=asset.key,
        name=asset.name,
        description=asset.description,
        url=asset.url,
        owners=asset.owners,
    )


def describe_making(made: Materialization) -> MaterializationShown:
    """A materialization as the API shows it."""
    return MaterializationShown(
        id=made.id,
        at=made.at,
        succeeded=made.succeeded,
        flow_run=made.run_id,
        task_run=made.task_id,
        by=made.by,
        metadata=made.metadata,
        upstream=made.upstream,
    )
