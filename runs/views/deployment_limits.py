"""The form of a deployment's limits: how many runs go on at once, of each key too, and what becomes of others."""

from __future__ import annotations

from typing import Any
from uuid import UUID

from django.contrib import messages
from django.http import HttpRequest, HttpResponse
from django.shortcuts import redirect
from django.template.response import TemplateResponse

from orchestrator.bodies import MAX_LIMIT, LimitsChange
from runs import deployments
from runs.models import Deployment
from runs.reads import deployment_list
from tenants.access import workspace_page
from tenants.errors import Invalid
from tenants.restrictions.rules import check_allowed
from tenants.whole_numbers import whole_numbers

SLOTS = ("concurrency_limit", "key_slots")


@workspace_page({"GET": "deployments.edit", "POST": "deployments.edit"})
def edit(request: HttpRequest, id: UUID) -> HttpResponse:
    """The form; posted, it takes effect at once."""
    deployment = deployment_list.find(request.actor, id).deployment
    check_allowed(deployment, request.actor, "deployments.edit")
    if request.method != "POST":
        return _form(request, deployment, deployments.limits_of(deployment))
    try:
        deployments.change_limits(deployment, told=_typed(request.POST), by=request.actor)
    except Invalid as problem:
        return _form(request, deployment, request.POST, problem)
    messages.success(request, "The limits are changed. What is under way goes on.")
    return redirect("deployment", request.organization.slug, request.workspace.slug, id)


def _typed(posted: Any) -> LimitsChange:
    """What the form says; an empty number is any number.

    Raises:
        Invalid: A number is none.
    """
    return LimitsChange(**whole_numbers(posted, SLOTS), on_limit=posted.get("on_limit", ""))


def _form(request: Any, deployment: Deployment, typed: Any, problem: Invalid | None = None) -> HttpResponse:
    context = {
        "section": "deployments",
        "deployment": deployment,
        "typed": typed,
        "policies": Deployment.OnLimit.choices,
        "errors": (problem.fields or {"": problem.message}) if problem else {},
        "max_limit": MAX_LIMIT,
    }
    return TemplateResponse(request, "runs/deployment_limits.html", context, status=problem.status if problem else 200)
