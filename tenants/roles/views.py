"""The pages of an organization's own roles."""

from __future__ import annotations

from typing import Any
from uuid import UUID

from django.contrib import messages
from django.http import HttpRequest, HttpResponse
from django.shortcuts import redirect
from django.template.response import TemplateResponse

from tenants.access import organization_page
from tenants.errors import Conflict, Invalid
from tenants.models import CustomRole, WorkspaceRole
from tenants.roles import custom
from tenants.roles.verbs import GIVABLE, table


@organization_page("people.view")
def index(request: HttpRequest) -> HttpResponse:
    """The organization's roles, and what each role may."""
    own = list(CustomRole.objects.order_by("name"))
    context = {"section": "organization-people", "tab": "roles", "own": own, "most": len(GIVABLE), **_table()}
    return TemplateResponse(request, "tenants/roles/index.html", context)


def _table() -> dict[str, Any]:
    return {"things": table(), "built_in": list(WorkspaceRole)}


@organization_page({"GET": "people.edit", "POST": "people.edit"})
def new(request: HttpRequest) -> HttpResponse:
    """The form; posted, it makes a role."""
    name, verbs = request.POST.get("name", "")[:200], request.POST.getlist("verbs")
    if request.method == "GET":
        return _form(request, None, "", ["runs.view", "deployments.view"])
    try:
        role = custom.make(name=name, verbs=verbs, by=request.actor)
    except (Invalid, Conflict) as problem:
        return _form(request, None, name, verbs, problem.fields or {"name": problem.message})
    messages.success(request, f"The role {role} can be given now.")
    return redirect("organization-roles", request.organization.slug)


@organization_page({"GET": "people.view", "POST": "people.edit"})
def role(request: HttpRequest, id: UUID) -> HttpResponse:
    """One role; posted, it has another name or other verbs."""
    found = custom.find(id)
    if request.method == "GET":
        return _form(request, found, found.name, found.verbs)
    name, verbs = request.POST.get("name", "")[:200], request.POST.getlist("verbs")
    try:
        custom.change(id=id, name=name, verbs=verbs, by=request.actor)
    except Invalid as problem:
        return _form(request, found, name, verbs, problem.fields)
    messages.success(request, "The role is saved. It holds at once.")
    return redirect("organization-roles", request.organization.slug)


def _form(
    request: Any, role: CustomRole | None, name: str, verbs: list[str], errors: dict[str, str] | None = None
) -> HttpResponse:
    context = {
        "section": "organization-people",
        "role": role,
        "name": name,
        "chosen": set(verbs),
        "errors": errors or {},
        **_table(),
    }
    return TemplateResponse(request, "tenants/roles/role.html", context, status=400 if errors else 200)


@organization_page({"POST": "people.edit"})
def delete(request: HttpRequest, id: UUID) -> HttpResponse:
    """Remove a role that nobody has."""
    try:
        role = custom.delete(id=id, by=request.actor)
    except Conflict as problem:
        messages.error(request, problem.message)
        return redirect("organization-role", request.organization.slug, id)
    messages.success(request, f"The role {role} is deleted.")
    return redirect("organization-roles", request.organization.slug)
