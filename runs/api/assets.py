"""Assets: the list, one with its neighbours, its materializations."""

from __future__ import annotations

from typing import Any
from uuid import UUID

from django.http import HttpResponse
from rest_framework.request import Request

from orchestrator.storable import clean_text
from runs.api import paging
from runs.models import Asset, Materialization
from runs.reads import assets as reads
from tenants.api import TenantView
from tenants.messages import answer, page_size


class Assets(TenantView):
    """GET: a page of assets, by key; `key` narrows it to keys that hold a text."""

    verbs = {"GET": "runs.view"}

    def get(self, request: Request) -> HttpResponse:
        asked = request.query_params
        text, after = (clean_text(asked.get(name, ""), 512) for name in ("key", "cursor"))
        items, cursor = reads.page(self.actor.workspace_id, text=text, after=after, limit=page_size(request))
        return answer({"items": [describe(each) for each in items], "next": cursor or None})


class OneAsset(TenantView):
    """GET: one, with the keys of what it is made of and of what is made of it."""

    verbs = {"GET": "runs.view"}

    def get(self, request: Request, id: UUID) -> HttpResponse:
        asset = reads.find(self.actor.workspace_id, id)
        neighbours = {"upstream": reads.upstream(asset), "downstream": reads.downstream(asset)}
        keys = {name: [each.key for each in found] for name, found in neighbours.items()}
        return answer({**describe(asset), **keys})


class Materializations(TenantView):
    """GET: a page of an asset's materializations, newest first."""

    verbs = {"GET": "runs.view"}

    def get(self, request: Request, id: UUID) -> HttpResponse:
        rows = reads.materializations(reads.find(self.actor.workspace_id, id))
        items, cursor = paging.page(request, rows, "at")
        return answer({"items": [describe_making(each) for each in items], "next": cursor})


def describe(asset: Asset) -> dict[str, Any]:
    """An asset as JSON."""
    return {
        "id": asset.id,
        "key": asset.key,
        "name": asset.name,
        "description": asset.description,
        "url": asset.url,
        "owners": asset.owners,
    }


def describe_making(made: Materialization) -> dict[str, Any]:
    """A materialization as JSON."""
    return {
        "id": made.id,
        "at": made.at,
        "succeeded": made.succeeded,
        "flow_run": made.run_id,
        "task_run": made.task_id,
        "by": made.by,
        "metadata": made.metadata,
        "upstream": made.upstream,
    }
