"""The form of an organization's limit: how many of its runs go on at once."""

from __future__ import annotations

from typing import Any

from django.contrib import messages
from django.http import HttpRequest, HttpResponse
from django.shortcuts import redirect
from django.template.response import TemplateResponse

from orchestrator.bodies import MAX_LIMIT
from runs import organization_limits
from tenants.access import organization_page
from tenants.errors import Invalid


@organization_page({"GET": "organization.view", "POST": "organization.edit"})
def edit(request: HttpRequest) -> HttpResponse:
    """The form; posted, it takes effect at once."""
    standing = organization_limits.standing(request.organization.id)
    if request.method != "POST":
        return _form(request, standing, standing.slots)
    typed = request.POST.get("slots", "").strip()
    try:
        organization_limits.change(request.organization, _number(typed), by=request.actor)
    except Invalid as problem:
        return _form(request, standing, typed, problem)
    messages.success(request, "The limit is changed. What is under way goes on.")
    return redirect("organization-limit", request.organization.slug)


def _number(typed: str) -> int | None:
    if not typed:
        return None
    if not (typed.isascii() and typed.isdecimal() and len(typed) < 10):
        raise Invalid("The limit can't be taken.", fields={"slots": "Enter a whole number."})
    return int(typed)


def _form(request: Any, standing: Any, typed: Any, problem: Invalid | None = None) -> HttpResponse:
    context = {
        "section": "organization-settings",
        "standing": standing,
        "typed": typed,
        "errors": (problem.fields or {"": problem.message}) if problem else {},
        "max_limit": MAX_LIMIT,
    }
    return TemplateResponse(request, "runs/organization_limit.html", context, status=problem.status if problem else 200)
