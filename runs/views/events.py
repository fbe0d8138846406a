"""The feed of events, and one of them."""

from __future__ import annotations

from typing import Any
from uuid import UUID

from django.http import HttpRequest, HttpResponse
from django.template.response import TemplateResponse

from runs.models import FlowRun
from runs.reads import events as reads
from tenants.access import workspace_page


@workspace_page("runs.view")
def index(request: HttpRequest) -> HttpResponse:
    """The feed, with its filter."""
    context = _list(request) | {"names": reads.names(request.workspace.id)}
    return TemplateResponse(request, "runs/events/index.html", context)


@workspace_page("runs.view")
def rows(request: HttpRequest) -> HttpResponse:
    """The part of the feed that lives."""
    return TemplateResponse(request, "runs/events/_list.html", _list(request))


def _list(request: Any) -> dict[str, Any]:
    asked = reads.EventFilter.read(request.GET)
    events, more = reads.page(request.actor, asked)
    return {
        "section": "events",
        "filter": asked,
        "rows": [(event, reads.named(event)) for event in events],
        "next_query": asked.query(cursor=more) if more else "",
        "newest_query": asked.query(cursor="") or "?",
        "ranges": {"1h": "Last hour", "24h": "Last 24 hours", "7d": "Last 7 days", "30d": "Last 30 days"},
        "ever": bool(events) or not asked.is_default,
    }


@workspace_page("runs.view")
def detail(request: HttpRequest, id: UUID) -> HttpResponse:
    """One event: what it happened to, what had a part in it, its payload."""
    event = reads.find(request.actor, id)
    run = FlowRun.objects.filter(workspace_id=request.workspace.id, id=event.run_id).select_related("flow").first()
    context = {"section": "events", "event": event, "run": run, "named": reads.named(event)}
    return TemplateResponse(request, "runs/events/event.html", context)
