"""Backfills: the list, the form with its preview, one of them, and what people do to it."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any
from uuid import UUID

import msgspec
from django.contrib import messages
from django.http import HttpRequest, HttpResponse
from django.shortcuts import redirect
from django.template.response import TemplateResponse

from orchestrator.backfills import BackfillChange
from orchestrator.ids import as_id
from runs import backfill_form
from runs.backfills import operations
from runs.models import Backfill, Deployment
from runs.reads import backfills as reads
from runs.reads import deployment_list
from tenants.access import workspace_page
from tenants.cursors import newest
from tenants.errors import Conflict, Invalid
from tenants.permissions import can
from tenants.restrictions.rules import check_allowed
from tenants.whole_numbers import whole_number

PAGE = 50
NEW = {"GET": "runs.trigger", "POST": "runs.trigger"}


@workspace_page("runs.view")
def index(request: HttpRequest) -> HttpResponse:
    """The backfills, newest first."""
    return TemplateResponse(request, "runs/backfills/index.html", _list(request))


@workspace_page("runs.view")
def rows(request: HttpRequest) -> HttpResponse:
    """The part of the list that lives."""
    return TemplateResponse(request, "runs/backfills/_list.html", _list(request))


def _list(request: Any) -> dict[str, Any]:
    cursor, deployment = request.GET.get("cursor", "")[:200], as_id(request.GET.get("deployment", ""))
    own = operations.seen_by(request.actor)
    own = own.filter(deployment=deployment) if deployment else own
    found, more = newest(own, by="created_at", cursor=cursor, limit=PAGE)
    shown = [reads.Shown(each) for each in found]
    return {"section": "runs", "rows": shown, "more": more or "", "cursor": cursor, "deployment": deployment}


# ── the form ─────────────────────────────────────────────────────────────────────────────────────


@workspace_page(NEW)
def new(request: HttpRequest, id: UUID) -> HttpResponse:
    """The form of a backfill of a deployment; posted, it begins."""
    deployment = _deployment(request, id)
    if request.method != "POST":
        return _form(request, deployment, backfill_form.new(deployment))
    typed = backfill_form.posted(request.POST)
    if "_look" in request.POST:
        return _form(request, deployment, typed)
    try:
        made, _ = operations.begin(backfill_form.told(typed, deployment), by=request.actor)
    except (Invalid, Conflict) as problem:
        errors = backfill_form.of_controls(problem.fields or {"of": problem.message})
        return _form(request, deployment, typed, errors, status=problem.status)
    return redirect("backfill", request.organization.slug, request.workspace.slug, made.id)


def _deployment(request: Any, id: UUID) -> Deployment:
    deployment = deployment_list.find(request.actor, id).deployment
    for each in (deployment, deployment.pool):
        check_allowed(each, request.actor, "runs.trigger")
    return deployment


def _form(
    request: Any, deployment: Deployment, typed: dict[str, str], errors: dict[str, str] | None = None, status: int = 200
) -> HttpResponse:
    properties = deployment.parameter_schema.get("properties")
    context = {
        "section": "deployments",
        "deployment": deployment,
        "schedules": deployment.schedules.order_by("slug"),
        "names": list(properties)[:200] if isinstance(properties, dict) else [],
        "typed": typed,
        "errors": errors or {},
        "listed": [(name, backfill_form.LABELS.get(name, ""), what) for name, what in (errors or {}).items()],
        "preview": backfill_form.preview(typed, deployment, by=request.actor),
    }
    return TemplateResponse(request, "runs/backfills/new.html", context, status=status)


@workspace_page({"POST": "runs.trigger"})
def preview(request: HttpRequest, id: UUID) -> HttpResponse:
    """What stands in the form would make, while it is typed. Nothing is made."""
    deployment = _deployment(request, id)
    found = backfill_form.preview(backfill_form.posted(request.POST), deployment, by=request.actor)
    return TemplateResponse(request, "runs/backfills/_preview.html", {"preview": found})


# ── one of them ──────────────────────────────────────────────────────────────────────────────────


@workspace_page("runs.view")
def detail(request: HttpRequest, id: UUID) -> HttpResponse:
    """One backfill."""
    return TemplateResponse(request, "runs/backfills/backfill.html", _one(request, id))


@workspace_page("runs.view")
def now(request: HttpRequest, id: UUID) -> HttpResponse:
    """The part of its page that lives."""
    return TemplateResponse(request, "runs/backfills/_backfill.html", _one(request, id))


def _one(request: Any, id: UUID) -> dict[str, Any]:
    found = operations.find(id, by=request.actor)
    tab = "rows" if request.GET.get("tab") == "rows" else "squares"
    after = whole_number(request.GET.get("after", "")) if request.GET.get("after") else None
    limit = reads.MAX_PLACES if tab == "squares" else reads.MAX_ROWS
    places, following = reads.places(found, after=-1 if after is None else after, limit=limit)
    return {
        "section": "runs",
        "shown": reads.Shown(found, reads.counts(found)),
        "why": reads.why(found),
        "tab": tab,
        "groups": reads.grouped(found, places) if tab == "squares" else [],
        "places": places,
        "next": following,
        "after": after,
        "may_run": _may(request, "runs.trigger", found),
        "may_cancel": _may(request, "runs.cancel", found),
    }


def _may(request: Any, verb: str, backfill: Backfill) -> bool:
    return can(request.actor, verb, backfill.deployment) if backfill.deployment else can(request.actor, verb)


@workspace_page({"POST": "runs.trigger"})
def pause(request: HttpRequest, id: UUID) -> HttpResponse:
    """Make no more runs until somebody resumes it."""
    return _do(request, id, lambda found: operations.pause(found, by=request.actor))


@workspace_page({"POST": "runs.trigger"})
def resume(request: HttpRequest, id: UUID) -> HttpResponse:
    """Go on."""
    return _do(request, id, lambda found: operations.resume(found, by=request.actor))


@workspace_page({"POST": "runs.cancel"})
def cancel(request: HttpRequest, id: UUID) -> HttpResponse:
    """End it, and its runs if that is wanted."""
    runs = request.POST.get("runs", "")
    runs = runs if runs in {"waiting", "all"} else "none"
    return _do(request, id, lambda found: operations.cancel(found, by=request.actor, runs=runs))


@workspace_page({"POST": "runs.trigger"})
def drip(request: HttpRequest, id: UUID) -> HttpResponse:
    """Let it drip otherwise."""
    texts = {name: request.POST.get(name, "").strip() for name in ("at_once", "per_minute", "pause_after_failures")}
    numbers = {name: whole_number(text) if text else None for name, text in texts.items()}
    if bad := [name for name, text in texts.items() if numbers[name] is None and (text or name == "at_once")]:
        messages.error(request, f"{backfill_form.LABELS[bad[0]]}: enter a whole number.")
        return _to(request, id)
    told = msgspec.convert(numbers, BackfillChange)
    return _do(request, id, lambda found: operations.change(found, told, by=request.actor))


def _do(request: Any, id: UUID, deed: Callable[[Backfill], Backfill]) -> HttpResponse:
    try:
        deed(operations.find(id, by=request.actor))
    except (Conflict, Invalid) as problem:
        messages.error(request, next(iter((problem.fields or {"": problem.message}).values())))
    return _to(request, id)


def _to(request: Any, id: UUID) -> HttpResponse:
    return redirect("backfill", request.organization.slug, request.workspace.slug, id)
