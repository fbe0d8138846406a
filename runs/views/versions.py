"""The versions of a deployment: one of them, what differs between two, the way back, the canary."""

from __future__ import annotations

from typing import Any
from uuid import UUID

from django.contrib import messages
from django.http import HttpRequest, HttpResponse
from django.shortcuts import redirect
from django.template.response import TemplateResponse
from django.urls import reverse

from runs import deployments, versions
from runs.models import Deployment, DeploymentVersion
from runs.reads import deployment_list
from runs.reads import versions as reads
from tenants.access import workspace_page
from tenants.errors import Conflict, Invalid, NotFound, Problem
from tenants.permissions import can
from tenants.restrictions.rules import check_allowed
from tenants.whole_numbers import whole_number


@workspace_page("deployments.view")
def detail(request: HttpRequest, id: UUID, number: int) -> HttpResponse:
    """What a version was, and what it changed of the one before it, or of `?from=`."""
    deployment = deployment_list.find(request.actor, id).deployment
    version = versions.find(deployment, number)
    former = _former(request.GET.get("from", ""), deployment, version)
    may_see_code = can(request.actor, versions.CODE_SEEN_BY, deployment)
    context = {
        **_version(deployment, version),
        "former": former,
        "numbers": reads.numbers(deployment),
        "difference": reads.difference(former, version, code=may_see_code),
        "may_see_code": may_see_code,
        "may_edit": can(request.actor, "deployments.edit", deployment),
    }
    return TemplateResponse(request, "runs/versions/version.html", context)


def _former(asked: str, deployment: Deployment, version: DeploymentVersion) -> DeploymentVersion | None:
    if not asked:
        number = reads.before(version)
        return versions.find(deployment, number) if number else None
    if not asked.isdecimal() or len(asked) > 9:
        raise NotFound("There is no such version.")
    return versions.find(deployment, int(asked)) if int(asked) else None


def _version(deployment: Deployment, version: DeploymentVersion) -> dict[str, Any]:
    return {
        "section": "deployments",
        "deployment": deployment,
        "version": version,
        "was": version.definition,
        "role": versions.role_of(deployment, version.number),
        "commit": reads.commit_of(version.git, version.definition["source"]),
        "form": reads.parameters(version.definition),
    }


@workspace_page({"GET": "deployments.edit", "POST": "deployments.edit"})
def roll_back(request: HttpRequest, id: UUID, number: int) -> HttpResponse:
    """What bringing a version back will change; posted, it is done."""
    deployment = deployment_list.find(request.actor, id).deployment
    check_allowed(deployment, request.actor, "deployments.edit")
    version = versions.find(deployment, number)
    if request.method != "POST":
        return _plan(request, deployment, version)
    try:
        made = deployments.roll_back(id, number, message=request.POST.get("message", ""), by=request.actor)
    except (Conflict, Invalid, NotFound) as problem:
        return _plan(request, deployment, version, problem)
    messages.success(request, f"Version {number} is back, as version {made.number}.")
    return _to(request, id)


def _plan(
    request: Any, deployment: Deployment, version: DeploymentVersion, problem: Problem | None = None
) -> HttpResponse:
    present = versions.find(deployment, deployment.number)
    code = can(request.actor, versions.CODE_SEEN_BY, deployment)
    told = {"": problem.message, **(problem.fields or {})} if problem else {}
    context = {
        **_version(deployment, version),
        "present": present,
        "difference": reads.difference(present, version, code=code),
        "may_see_code": code,
        "errors": told,
        "message": request.POST.get("message", ""),
    }
    return TemplateResponse(request, "runs/versions/rollback.html", context, status=problem.status if problem else 200)


@workspace_page({"POST": "deployments.edit"})
def canary(request: HttpRequest, id: UUID) -> HttpResponse:
    """Change the share of new runs that are made from the canary; 0 withdraws it."""
    deployment = deployment_list.find(request.actor, id).deployment
    text = request.POST.get("share", "").strip()
    share = whole_number(text, digits=3)
    share = -1 if share is None else share
    try:
        versions.set_share(deployment.id, share, by=request.actor)
        told = f"{share} % of its new runs are made from it." if share else "The canary was withdrawn."
        messages.success(request, told)
    except (Conflict, Invalid) as problem:
        messages.error(request, " ".join([problem.message, *(problem.fields or {}).values()]))
    return _to(request, id)


@workspace_page({"POST": "deployments.edit"})
def promote(request: HttpRequest, id: UUID) -> HttpResponse:
    """Put the canary in force."""
    deployment = deployment_list.find(request.actor, id).deployment
    try:
        made = versions.promote(deployment.id, by=request.actor)
        messages.success(request, f"Version {made.number} is in force.")
    except Conflict as problem:
        messages.error(request, problem.message)
    return _to(request, id)


def _to(request: Any, id: UUID) -> HttpResponse:
    page = reverse("deployment", args=[request.organization.slug, request.workspace.slug, id])
    return redirect(f"{page}?tab=versions")
