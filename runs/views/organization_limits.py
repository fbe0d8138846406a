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
from tenants.whole_numbers import whole_numbers


@organization_page({"GET": "organization.view", "POST": "organization.edit"})
def edit(request: HttpRequest) -> HttpResponse:
    """The form; posted, it takes effect at once."""
    standing = organization_limits.standing(request.organization.id)
    if request.method != "POST":
        return _form(request, standing, standing.slots)
    try:
        slots = whole_numbers(request.POST, ["slots"])["slots"]
        organization_limits.change(request.organization, slots, by=request.actor)
    except Invalid as problem:
        return _form(request, standing, request.POST.get("slots", ""), problem)
    messages.success(request, "The limit is changed. What is under way goes on.")
    return redirect("organization-limit", request.organization.slug)


def _form(request: Any, standing: Any, typed: Any, problem: Invalid | None = None) -> HttpResponse:
    context = {
        "section": "organization-settings",
        "standing": standing,
        "typed": typed,
        "errors": (problem.fields or {"": problem.message}) if problem else {},
        "max_limit": MAX_LIMIT,
    }
    return TemplateResponse(request, "runs/organization_limit.html", context, status=problem.status if problem else 200)
