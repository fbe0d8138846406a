"""Limits that code names: the list, one of them with who holds and who waits, and what changes them."""

from __future__ import annotations

from typing import Any
from uuid import UUID

from django.contrib import messages
from django.http import HttpRequest, HttpResponse
from django.shortcuts import redirect
from django.template.response import TemplateResponse
from msgspec import UNSET

from orchestrator.bodies import MAX_LIMIT
from orchestrator.slot_bodies import MAX_RATE, TAG, LimitInput
from runs.models import NamedLimit
from runs.reads import limits as reads
from runs.reads import run_limits
from runs.slots import named
from tenants.access import workspace_page
from tenants.errors import Conflict, Invalid, NotFound
from tenants.permissions import can
from tenants.whole_numbers import whole_number

FORM = {"GET": "limits.edit", "POST": "limits.edit"}


@workspace_page("limits.view")
def index(request: HttpRequest) -> HttpResponse:
    """The limits by name."""
    return TemplateResponse(request, "runs/limits/index.html", _list(request))


@workspace_page("limits.view")
def rows(request: HttpRequest) -> HttpResponse:
    """The part of that page that lives."""
    return TemplateResponse(request, "runs/limits/_list.html", _list(request))


def _list(request: Any) -> dict[str, Any]:
    prefix, after = request.GET.get("prefix", "").strip()[:500], request.GET.get("cursor", "")[:500]
    found, more = reads.page(reads.in_workspace(request.actor, prefix=prefix), after=after, size=reads.PAGE)
    after_limited, may_see = request.GET.get("deployments", "")[:100], can(request.actor, "deployments.view")
    some = bool(found) or (bool(prefix or after) and NamedLimit.objects.filter(workspace=request.workspace).exists())
    limited, further = run_limits.limited(request.actor, after=after_limited) if may_see and not prefix else ([], None)
    return {
        "section": "limits", "rows": found, "prefix": prefix, "any": some, "more": more, "after": after,
        "limited": limited, "more_limited": further, "after_limited": after_limited,
    }  # fmt: skip


@workspace_page("limits.view")
def detail(request: HttpRequest, id: UUID) -> HttpResponse:
    """One limit."""
    return TemplateResponse(request, "runs/limits/limit.html", _one(request, id))


@workspace_page("limits.view")
def now(request: HttpRequest, id: UUID) -> HttpResponse:
    """The part of its page that lives."""
    return TemplateResponse(request, "runs/limits/_limit.html", _one(request, id))


def _one(request: Any, id: UUID) -> dict[str, Any]:
    limit = reads.in_workspace(request.actor).filter(id=id).first()
    if limit is None:
        raise NotFound("There is no such limit in this workspace.")
    holders, queue = reads.holders(limit, request.actor), reads.queue(limit, request.actor)
    return {"section": "limits", "limit": limit, "holders": holders, "queue": queue, "shown": reads.SHOWN}


# ── forms ────────────────────────────────────────────────────────────────────────────────────────


@workspace_page(FORM)
def new(request: HttpRequest) -> HttpResponse:
    """The form of a new limit."""
    if request.method != "POST":
        return _form(request, {"kind": "name", "rate": "0", "active": True})
    name = request.POST.get("name", "").strip()
    name = f"{TAG}{name}" if request.POST.get("kind") == "tag" else name
    try:
        if NamedLimit.objects.filter(workspace=request.workspace, name=name).exists():
            raise Invalid("Taken.", fields={"name": "There is a limit of this name. Choose another one."})
        limit, _ = named.set_limit(name=name, told=_typed(request.POST), by=request.actor)
    except (Invalid, Conflict) as problem:
        return _form(request, request.POST, problem=problem)
    messages.success(request, f"The limit {limit.name} is there.")
    return _to(request, limit)


@workspace_page(FORM)
def edit(request: HttpRequest, id: UUID) -> HttpResponse:
    """The form of a limit."""
    limit = named.find(request.actor, id=id)
    if request.method != "POST":
        return _form(request, {"slots": limit.slots, "rate": f"{limit.rate:g}", "active": limit.active}, limit=limit)
    try:
        named.set_limit(name=limit.name, told=_typed(request.POST), by=request.actor)
    except (Invalid, Conflict) as problem:
        return _form(request, request.POST, limit=limit, problem=problem)
    messages.success(request, f"The limit {limit.name} was changed.")
    return _to(request, limit)


def _typed(posted: Any) -> LimitInput:
    """What a form says.

    Raises:
        Invalid: A number is none.
    """
    slots, rate = posted.get("slots", "").strip(), posted.get("rate", "").strip() or "0"
    wrong = {}
    if slots and whole_number(slots) is None:
        wrong["slots"] = "Enter a whole number."
    try:
        value = float(rate.replace(",", ".")) if len(rate) < 30 else -1.0
    except ValueError:
        wrong["rate"], value = "Enter a number.", 0.0
    if wrong:
        raise Invalid("Some fields can't be taken.", fields=wrong)
    return LimitInput(slots=int(slots) if slots else UNSET, rate=value, active="active" in posted)


def _form(
    request: Any, typed: Any, *, limit: NamedLimit | None = None, problem: Invalid | Conflict | None = None
) -> HttpResponse:
    context = {
        "section": "limits",
        "limit": limit,
        "typed": typed,
        "errors": (problem.fields or {"": problem.message}) if problem else {},
        "max_limit": MAX_LIMIT,
        "max_rate": int(MAX_RATE),
    }
    return TemplateResponse(request, "runs/limits/form.html", context, status=problem.status if problem else 200)


# ── deeds ────────────────────────────────────────────────────────────────────────────────────────


@workspace_page({"POST": "limits.edit"})
def switch(request: HttpRequest, id: UUID) -> HttpResponse:
    """Let it limit nothing for a while, or limit again."""
    limit = named.find(request.actor, id=id)
    named.set_limit(name=limit.name, told=LimitInput(active=not limit.active), by=request.actor)
    told = "limits nothing now: who waited goes on." if limit.active else "limits again."
    messages.success(request, f"The limit {limit.name} {told}")
    return _to(request, limit)


@workspace_page({"POST": "limits.edit"})
def take_away(request: HttpRequest, id: UUID) -> HttpResponse:
    """Take slots away from one holder (`ask`), or from all."""
    limit = named.find(request.actor, id=id)
    try:
        if text := request.POST.get("ask", ""):
            named.take_away(limit, ask=UUID(text), by=request.actor)
            messages.success(request, "The slot was taken away. Its holder is told, and goes on without.")
        else:
            number = named.reset(limit, by=request.actor)
            messages.success(request, f"Taken away: {number}. The holders are told, and go on without.")
    except (NotFound, ValueError):
        messages.info(request, "It does not hold a slot of this limit any more.")
    return _to(request, limit)


@workspace_page({"POST": "limits.edit"})
def remove(request: HttpRequest, id: UUID) -> HttpResponse:
    """Delete a limit."""
    limit = named.find(request.actor, id=id)
    named.delete(limit, by=request.actor)
    messages.success(request, f"The limit {limit.name} was deleted.")
    return redirect("limits", request.organization.slug, request.workspace.slug)


def _to(request: Any, limit: NamedLimit) -> HttpResponse:
    return redirect("limit", request.organization.slug, request.workspace.slug, limit.id)
