"""Doing something to many runs at once: looked at, asked for, followed, undone."""

from __future__ import annotations

from typing import Any
from uuid import UUID

from django.conf import settings
from django.contrib import messages
from django.http import HttpRequest, HttpResponse
from django.shortcuts import redirect
from django.template.response import TemplateResponse
from django.urls import reverse

from orchestrator.bulk import described
from runs.bulk import choosing, operations, wording
from runs.bulk.choosing import Filter
from runs.models import Deployment
from runs.reads import bulk as reads
from runs.reads.run_filter import RunFilter
from tenants.access import workspace_page
from tenants.errors import Conflict, Invalid, Problem
from tenants.permissions import require

DELAYS = {10: "10 seconds", 60: "1 minute", 300: "5 minutes", 900: "15 minutes", 3600: "1 hour", 0: "Begin at once"}


@workspace_page("runs.view")
def index(request: HttpRequest) -> HttpResponse:
    """The operations, newest first."""
    return TemplateResponse(request, "runs/bulk/index.html", _list(request))


@workspace_page("runs.view")
def rows(request: HttpRequest) -> HttpResponse:
    """The part of the list that lives."""
    return TemplateResponse(request, "runs/bulk/_list.html", _list(request))


def _list(request: Any) -> dict[str, Any]:
    cursor = request.GET.get("cursor", "")[:200]
    rows, more = reads.page(request.actor, cursor=cursor)
    return {"section": "runs", "rows": rows, "more": more, "cursor": cursor}


@workspace_page("runs.view")
def detail(request: HttpRequest, id: UUID) -> HttpResponse:
    """One operation."""
    return TemplateResponse(request, "runs/bulk/operation.html", _one(request, id))


@workspace_page("runs.view")
def now(request: HttpRequest, id: UUID) -> HttpResponse:
    """The part of its page that lives."""
    return TemplateResponse(request, "runs/bulk/_operation.html", _one(request, id))


def _one(request: Any, id: UUID) -> dict[str, Any]:
    found = operations.find(id, by=request.actor)
    [operation] = reads.shown([found])
    return {"section": "runs", "operation": operation, "chosen": reads.first_chosen(found, request.actor)}


@workspace_page({"POST": "runs.cancel"})
def cancel(request: HttpRequest, id: UUID) -> HttpResponse:
    """Undo one that has not begun, or stop one."""
    found = operations.find(id, by=request.actor)
    try:
        operations.cancel(found, by=request.actor)
    except Conflict as problem:
        messages.info(request, problem.message)
    return _to(request, "bulk-operation", id)


@workspace_page({"GET": "runs.view", "POST": "runs.view"})
def new(request: HttpRequest) -> HttpResponse:
    """What an operation would hit; posted, it is asked for. The address says of what kind it is, and what it hits."""
    filter = _filter(request)
    if not filter:
        messages.info(request, "No run is chosen. Choose some in the list.")
        return _to(request, "runs")
    kind = _kind(request)
    require(request.actor, choosing.VERBS[kind])
    if request.method != "POST":
        return _preview(request, kind, filter)
    try:
        made, _ = operations.begin(
            kind,
            filter,
            by=request.actor,
            delay=_delay(request),
            from_failure=request.POST.get("part") != "whole",
        )
    except (Invalid, Conflict) as problem:
        return _preview(request, kind, filter, problem)
    return _to(request, "bulk-operation", made.id)


def _filter(request: Any) -> Filter:
    """The runs that are chosen one by one, or all that are as a list was asked for; nothing where neither is told."""
    if ids := request.GET.getlist("id"):
        return {"id": ids}
    return RunFilter.read(request.GET).words() if request.GET.get("of") == "filter" else {}


def _kind(request: Any) -> str:
    """The kind that is asked for; else the first one that there is for this person."""
    kind = request.GET.get("kind", "")
    if kind in wording.KINDS:
        return kind
    mine = wording.buttons(request.actor)
    return mine[0].kind if mine else next(iter(wording.KINDS))


def _delay(request: Any) -> float:
    text = request.POST.get("delay", "")
    try:
        return float(text) if text else settings.BULK_DELAY
    except ValueError:
        raise Invalid("The delay is a number of seconds.") from None


def _preview(request: Any, kind: str, filter: Filter, problem: Problem | None = None) -> HttpResponse:
    seen = None
    try:
        seen = operations.preview(kind, filter, by=request.actor)
    except Invalid as wrong:
        problem = problem or wrong
    ids, asked = wording.chosen_ids(filter), RunFilter.read(request.GET)
    context = {
        "section": "runs",
        "kind": kind,
        "words": wording.KINDS[kind],
        "kinds": wording.buttons(request.actor),
        "seen": seen,
        "left_out": described(seen.left_out) if seen else [],
        "problem": problem,
        "conditions": wording.conditions(filter, deployment=_name(request, asked)),
        "back": reverse("runs", args=[request.organization.slug, request.workspace.slug])
        + ("" if ids else asked.query()),
        "delays": DELAYS | {settings.BULK_DELAY: DELAYS.get(settings.BULK_DELAY, f"{settings.BULK_DELAY:g} seconds")},
        "delay": settings.BULK_DELAY,
    }
    return TemplateResponse(request, "runs/bulk/new.html", context, status=problem.status if problem else 200)


def _name(request: Any, asked: RunFilter) -> str:
    if not asked.deployment:
        return ""
    found = Deployment.objects.filter(workspace_id=request.workspace.id, id=asked.deployment).select_related("flow")
    return next((f"{each.flow.name} / {each.name}" for each in found), "")


def _to(request: Any, name: str, *rest: Any) -> HttpResponse:
    return redirect(name, request.organization.slug, request.workspace.slug, *rest)
