"""A workspace moves to another organization of its owner."""

from __future__ import annotations

from typing import Any
from uuid import UUID

from django.contrib import messages
from django.http import HttpRequest, HttpResponse
from django.shortcuts import redirect
from django.template.response import TemplateResponse

from tenants.access import organization_page
from tenants.errors import Invalid, NotFound, Problem
from tenants.leaving import transfer
from tenants.models import Organization, Workspace
from tenants.sso.sessions import may_enter


@organization_page({"GET": "workspaces.move", "POST": "workspaces.move"})
def move(request: HttpRequest, id: UUID) -> HttpResponse:
    """Where to, and under which name; its address is typed to confirm."""
    workspace = Workspace.objects.filter(id=id, deleted_at=None).first()
    if workspace is None:
        raise NotFound("There is no such workspace.")
    places = _places(request)
    typed = {"to": request.POST.get("to", ""), "name": request.POST.get("name", workspace.name)[:200]}
    errors: dict[str, str] = {}
    if request.method == "POST":
        try:
            to = _chosen(places, typed["to"])
            word = request.POST.get("typed", "")
            made = transfer.move(workspace=workspace, to=to, name=typed["name"], typed=word, by=request.actor)
            messages.success(request, f"{made.name} goes on in {to.name}. It needs new keys and agents there.")
            return redirect("dashboard", to.slug, made.slug)
        except Problem as problem:
            errors = problem.fields or {"workspace": problem.message}
    context = {"section": "organization-settings", "moved": workspace, "places": places, "typed": typed}
    return TemplateResponse(
        request, "tenants/workspace_move.html", context | {"errors": errors}, status=400 if errors else 200
    )


def _places(request: Any) -> list[Organization]:
    """Organizations of the person's own which their session may enter."""
    found = transfer.places(request.user.id, request.organization.id)
    return [place for place in found if may_enter(request.session, place, request.user.id)]


def _chosen(places: list[Organization], slug: str) -> Organization:
    chosen = next((place for place in places if place.slug == slug), None)
    if chosen is None:
        raise Invalid("Choose an organization.", fields={"to": "One that you own."})
    return chosen
