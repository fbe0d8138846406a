"""Assets: the list, and one with its neighbours and its materializations."""

from __future__ import annotations

from typing import Any
from uuid import UUID

from django.http import HttpRequest, HttpResponse
from django.template.response import TemplateResponse

from orchestrator.storable import clean_text
from runs.reads import assets as reads
from runs.reads.addresses import followed
from tenants.access import workspace_page
from tenants.cursors import newest


@workspace_page("runs.view")
def index(request: HttpRequest) -> HttpResponse:
    """The list, by key."""
    return TemplateResponse(request, "runs/assets/index.html", _list(request))


@workspace_page("runs.view")
def rows(request: HttpRequest) -> HttpResponse:
    """The part of the list that lives."""
    return TemplateResponse(request, "runs/assets/_list.html", _list(request))


def _list(request: Any) -> dict[str, Any]:
    text, cursor = (clean_text(request.GET.get(name, "").strip(), 512) for name in ("q", "cursor"))
    found, more = reads.page(request.workspace.id, text=text, after=cursor)
    return {"section": "assets", "assets": found, "text": text, "cursor": cursor, "more": more}


@workspace_page("runs.view")
def detail(request: HttpRequest, id: UUID) -> HttpResponse:
    """One asset."""
    return TemplateResponse(request, "runs/assets/asset.html", _one(request, id))


@workspace_page("runs.view")
def now(request: HttpRequest, id: UUID) -> HttpResponse:
    """The part of its page that lives."""
    return TemplateResponse(request, "runs/assets/_asset.html", _one(request, id))


def _one(request: Any, id: UUID) -> dict[str, Any]:
    asset = reads.find(request.workspace.id, id)
    cursor = request.GET.get("cursor", "")[:200]
    found, more = newest(reads.materializations(asset), by="at", cursor=cursor, limit=reads.PAGE)
    return {
        "section": "assets",
        "asset": asset,
        "address": followed(asset.url),
        "upstream": reads.upstream(asset),
        "downstream": reads.downstream(asset),
        "rows": reads.with_runs(found, request.actor),
        "more": more,
        "cursor": cursor,
    }
