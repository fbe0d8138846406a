"""Who belongs to an organization."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any
from uuid import UUID

from django.contrib import messages
from django.http import HttpRequest, HttpResponse
from django.shortcuts import redirect
from django.template.response import TemplateResponse

from tenants import invitations, people
from tenants.access import organization_page
from tenants.models import OrganizationRole, Workspace
from tenants.permissions import Actor
from tenants.roles.offered import roles

SHOWN_INVITATIONS = 50
PART = "workspace-"  # fields of forms: the role in each workspace


@organization_page("people.view")
def index(request: HttpRequest) -> HttpResponse:
    """The list, and invitations that are open."""
    text, after = request.GET.get("q", "").strip()[:200], request.GET.get("after", "")[:254]
    found, following = people.page(text=text, after=after)
    context = {
        "section": "organization-people",
        "text": text,
        "after": after,
        "people": found,
        "next": following,
        "editable": {person.membership.user_id for person in found if people.may_edit(request.actor, person)},
        "invitations": invitations.open_ones().select_related("created_by")[:SHOWN_INVITATIONS],
    }
    return TemplateResponse(request, "tenants/people.html", context)


@organization_page({"GET": "people.edit", "POST": "people.edit"})
def person(request: HttpRequest, id: UUID) -> HttpResponse:
    """One member's roles; posted, they are changed."""
    if request.method == "POST":
        people.change(user_id=id, role=request.POST.get("role", ""), parts=parts_of(request.POST), by=request.actor)
        messages.success(request, "The roles are saved. They hold at once.")
        return redirect("organization-people", request.organization.slug)
    found = people.find(id)
    offered = grantable(request.actor)
    if not people.may_edit(request.actor, found):
        offered = [OrganizationRole(found.membership.role)]
    context = {
        "section": "organization-people",
        "person": found,
        "may_edit": people.may_edit(request.actor, found),
        "roles": offered,
        "choices": workspace_choices({part.workspace_id: part.role for part in found.parts}),
    }
    return TemplateResponse(request, "tenants/person.html", context)


@organization_page({"POST": "people.edit"})
def remove(request: HttpRequest, id: UUID) -> HttpResponse:
    """Take a person out."""
    name = people.find(id).membership.user.email
    people.remove(user_id=id, by=request.actor)
    messages.success(request, f"{name} no longer belongs to {request.organization.name}.")
    if id == request.user.id:
        return redirect("home")
    return redirect("organization-people", request.organization.slug)


@organization_page({"POST": "organization.view"})
def leave(request: HttpRequest) -> HttpResponse:
    """Go, by one's own wish."""
    people.remove(user_id=request.user.id, by=request.actor)
    messages.success(request, f"You have left {request.organization.name}.")
    return redirect("home")


@organization_page({"POST": "organization.delete"})
def hand_over(request: HttpRequest, id: UUID) -> HttpResponse:
    """Make this person the owner in one's own place."""
    people.hand_over(user_id=id, by=request.actor)
    messages.success(request, "The organization is handed over. You are an admin now.")
    return redirect("organization-people", request.organization.slug)


def grantable(by: Actor) -> list[str]:
    """Roles of the organization that a person may give."""
    return [role for role in OrganizationRole if role != OrganizationRole.OWNER or by.organization_role == role]


def workspace_choices(parts: Mapping[UUID, str]) -> list[dict[str, Any]]:
    """The workspaces for a form, each with the role that is chosen there."""
    found, offered = Workspace.objects.filter(deleted_at=None).order_by("name"), roles()
    return [
        {"workspace": each, "field": f"{PART}{each.id}", "role": parts.get(each.id, ""), "roles": offered}
        for each in found
    ]


def parts_of(posted: Mapping[str, str]) -> dict[UUID, str]:
    """The roles by workspace that a form names; a workspace without one is left out."""
    parts = {}
    for name, role in posted.items():
        if name.startswith(PART) and role:
            try:
                parts[UUID(name.removeprefix(PART))] = role
            except ValueError:
                continue
    return parts
