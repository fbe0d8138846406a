"""The cache: its entries, and one of them with who made it and who used it."""

from __future__ import annotations

from typing import Any
from uuid import UUID

import msgspec
from django.contrib import messages
from django.http import HttpRequest, HttpResponse
from django.shortcuts import redirect
from django.template.response import TemplateResponse

from orchestrator.bodies import InvalidateInput
from runs import cache
from runs.reads import cache as reads
from tenants.access import workspace_page
from tenants.cursors import newest
from tenants.errors import Invalid


@workspace_page("runs.view")
def index(request: HttpRequest) -> HttpResponse:
    """The entries, newest value first."""
    return TemplateResponse(request, "runs/cache/index.html", _list(request))


@workspace_page("runs.view")
def rows(request: HttpRequest) -> HttpResponse:
    """The part of the list that lives."""
    return TemplateResponse(request, "runs/cache/_list.html", _list(request))


def _list(request: Any) -> dict[str, Any]:
    asked, cursor = reads.CacheFilter.read(request.GET), request.GET.get("cursor", "")[:200]
    own = reads.in_workspace(request.actor)
    found, more = newest(asked.of(own), by="made_at", cursor=cursor, limit=reads.PAGE)
    return {
        "section": "cache",
        "filter": asked,
        "states": reads.STATES,
        "rows": reads.with_makers(found, request.actor),
        "tasks": sorted({entry.task for entry in found}),
        "any": bool(found) or own.exists(),
        "next_query": asked.query(cursor=more) if more else "",
        "newest_query": (asked.query() or "?") if cursor else "",
    }


@workspace_page("runs.view")
def detail(request: HttpRequest, id: UUID) -> HttpResponse:
    """One entry."""
    return TemplateResponse(request, "runs/cache/entry.html", _one(request, id))


@workspace_page("runs.view")
def now(request: HttpRequest, id: UUID) -> HttpResponse:
    """The part of its page that lives."""
    return TemplateResponse(request, "runs/cache/_entry.html", _one(request, id))


def _one(request: Any, id: UUID) -> dict[str, Any]:
    entry = reads.find(request.actor, id=id)
    [(_, maker)] = reads.with_makers([entry], request.actor)
    return {"section": "cache", "entry": entry, "maker": maker, "uses": reads.uses_of(entry, request.actor)}


@workspace_page({"POST": "cache.edit"})
def invalidate(request: HttpRequest) -> HttpResponse:
    """Have the values of a key, a prefix, a task, or all of them computed anew."""
    told = {name: text for name in ("key", "prefix", "task") if (text := request.POST.get(name, "").strip())}
    try:
        wanted = msgspec.convert(told or {"all": "all" in request.POST}, InvalidateInput)
    except msgspec.ValidationError as error:
        raise Invalid(str(error)) from error
    done, more = cache.invalidate(wanted=wanted, by=request.actor)
    if done:
        number = "1 value is" if done == 1 else f"{done:,} values are"
        messages.success(request, f"{number} computed anew at the next call.{' There are more.' if more else ''}")
    else:
        messages.info(request, "No value matches that calls still use.")
    return redirect("cache", request.organization.slug, request.workspace.slug)
