"""Organizations: a new one, its settings, its end, and its new workspaces."""

from __future__ import annotations

from typing import Any
from uuid import UUID

from django.conf import settings
from django.contrib import messages
from django.contrib.auth.decorators import login_required
from django.core.exceptions import PermissionDenied
from django.http import HttpRequest, HttpResponse
from django.shortcuts import redirect
from django.template.response import TemplateResponse
from django.views.decorators.http import require_http_methods, require_POST

from tenants import deletion, organizations
from tenants.access import organization_page, organizations_of
from tenants.errors import Conflict, Invalid, LimitReached
from tenants.leaving import exports
from tenants.permissions import can


@require_http_methods(["GET", "HEAD", "POST"])
@login_required
def new(request: HttpRequest) -> HttpResponse:
    """Found an organization; without any it is also what the bare address shows."""
    typed, errors = {"name": request.POST.get("name", "")[:200]}, {}
    if request.method == "POST":
        if not settings.SIGNUP_OPEN:
            raise PermissionDenied
        try:
            organization, workspace = organizations.found(name=typed["name"], owner=request.user)
            return redirect("welcome", organization.slug, workspace.slug)
        except Invalid as problem:
            errors = problem.fields or {"name": problem.message}
    context = {
        "typed": typed,
        "errors": errors,
        "is_open": settings.SIGNUP_OPEN,
        "own": organizations_of(request.user.id)[:1],
        "deleted": deletion.deleted_organizations(request.user.id),
    }
    return TemplateResponse(request, "tenants/organization_new.html", context, status=400 if errors else 200)


@require_POST
@login_required
def restore(request: HttpRequest, id: UUID) -> HttpResponse:
    """Open a deleted organization of one's own again."""
    found = [each for each in deletion.deleted_organizations(request.user.id) if each.id == id]
    if not found:
        raise PermissionDenied
    deletion.restore_organization(id=id, by=organizations.owner_actor(found[0], request.user))
    messages.success(request, f"{found[0].name} is open again.")
    return redirect("organization-settings", found[0].slug)


@organization_page({"GET": "organization.view", "POST": "organization.edit"})
def edit(request: HttpRequest) -> HttpResponse:
    """Name and address; its workspaces; leaving; the end."""
    organization, errors = request.organization, {}
    typed = {"name": organization.name, "slug": organization.slug}
    if request.method == "POST":
        typed = {name: request.POST.get(name, "")[:200] for name in typed}
        try:
            organizations.rename_organization(organization=organization, by=request.actor, **typed)
            messages.success(request, "Saved. Addresses of before lead here.")
            return redirect("organization-settings", organizations.clean_slug(typed["slug"]))
        except (Invalid, Conflict) as problem:
            errors = problem.fields or {"slug": problem.message}
    return TemplateResponse(request, "tenants/organization.html", _settings(request, typed, errors),
                            status=400 if errors else 200)  # fmt: skip


def _settings(request: Any, typed: dict[str, str], errors: dict[str, str]) -> dict[str, Any]:
    return {
        "section": "organization-settings",
        "typed": typed,
        "errors": errors,
        "places": [place for owner, place in request.workspaces if owner.id == request.organization.id],
        "deleted": list(deletion.deleted_workspaces()[:50]),
        "grace": deletion.GRACE.days,
        "exports": exports.shown() if can(request.actor, "organization.export") else [],
        "kept": exports.KEPT.days,
    }


@organization_page({"GET": "workspaces.create", "POST": "workspaces.create"})
def new_workspace(request: HttpRequest) -> HttpResponse:
    """A workspace more."""
    typed, errors = {"name": request.POST.get("name", "")[:200]}, {}
    if request.method == "POST":
        try:
            made = organizations.add_workspace(organization=request.organization, name=typed["name"], by=request.actor)
            return redirect("welcome", request.organization.slug, made.slug)
        except (Invalid, LimitReached) as problem:
            errors = problem.fields or {"name": problem.message}
    context = {"section": "organization-settings", "typed": typed, "errors": errors}
    return TemplateResponse(request, "tenants/workspace_new.html", context, status=400 if errors else 200)


@organization_page({"POST": "workspaces.create"})
def restore_workspace(request: HttpRequest, id: UUID) -> HttpResponse:
    """Open a deleted workspace again."""
    workspace = deletion.restore_workspace(id=id, by=request.actor)
    messages.success(request, f"{workspace.name} is open again.")
    return redirect("dashboard", request.organization.slug, workspace.slug)


@organization_page({"POST": "organization.delete"})
def delete(request: HttpRequest) -> HttpResponse:
    """Shut it, once its address was typed."""
    try:
        deletion.delete_organization(
            organization=request.organization, typed=request.POST.get("typed", ""), by=request.actor
        )
    except Invalid as problem:
        typed = {"name": request.organization.name, "slug": request.organization.slug}
        context = _settings(request, typed, problem.fields or {})
        return TemplateResponse(request, "tenants/organization.html", context, status=400)
    messages.success(request, f"{request.organization.name} is deleted. Owners can restore it for a while.")
    return redirect("home")
