"""The pages of teams."""

from __future__ import annotations

from typing import Any
from uuid import UUID

from django.contrib import messages
from django.http import HttpRequest, HttpResponse
from django.shortcuts import redirect
from django.template.response import TemplateResponse

from tenants.access import organization_page
from tenants.errors import Conflict, Invalid
from tenants.teams import teams
from tenants.views.people import parts_of, workspace_choices


@organization_page({"GET": "people.view", "POST": "people.edit"})
def index(request: HttpRequest) -> HttpResponse:
    """The list; posted, a new team."""
    typed, errors = request.POST.get("name", "")[:200], {}
    if request.method == "POST":
        try:
            team = teams.make(name=typed, by=request.actor)
            return redirect("organization-team", request.organization.slug, team.id)
        except (Invalid, Conflict) as problem:
            errors = problem.fields or {"name": problem.message}
    context = {"section": "organization-people", "tab": "teams", "teams": teams.listed(), "typed": typed,
               "errors": errors}  # fmt: skip
    return TemplateResponse(request, "tenants/teams/index.html", context, status=400 if errors else 200)


@organization_page({"GET": "people.view", "POST": "people.edit"})
def team(request: HttpRequest, id: UUID) -> HttpResponse:
    """One team: its people and its roles in workspaces; posted, another name."""
    if request.method == "POST":
        try:
            teams.rename(id=id, name=request.POST.get("name", "")[:200], by=request.actor)
            messages.success(request, "The name is saved.")
            return redirect("organization-team", request.organization.slug, id)
        except Invalid as problem:
            return _page(request, id, problem.fields)
    return _page(request, id)


def _page(request: Any, id: UUID, errors: dict[str, str] | None = None) -> HttpResponse:
    found = teams.find(id)
    people, following = teams.people_of(found, after=request.GET.get("after", "")[:254])
    context = {
        "section": "organization-people",
        "team": found,
        "typed": request.POST,
        "members": people,
        "more": following,
        "choices": workspace_choices(teams.parts_of(found)),
        "errors": errors or {},
    }
    return TemplateResponse(request, "tenants/teams/team.html", context, status=400 if errors else 200)


@organization_page({"POST": "people.edit"})
def add(request: HttpRequest, id: UUID) -> HttpResponse:
    """Take a member of the organization into the team."""
    email = request.POST.get("email", "")[:254]
    try:
        teams.add(id=id, email=email, by=request.actor)
    except (Invalid, Conflict) as problem:
        return _page(request, id, problem.fields or {"email": problem.message})
    messages.success(request, f"{email.strip()} is in the team.")
    return redirect("organization-team", request.organization.slug, id)


@organization_page({"POST": "people.edit"})
def remove(request: HttpRequest, id: UUID, person: UUID) -> HttpResponse:
    """Take a person out of the team."""
    email = teams.remove(id=id, user_id=person, by=request.actor)
    messages.success(request, f"{email} is no longer in the team.")
    return redirect("organization-team", request.organization.slug, id)


@organization_page({"POST": "people.edit"})
def parts(request: HttpRequest, id: UUID) -> HttpResponse:
    """The team's roles in workspaces."""
    teams.set_parts(id=id, parts=parts_of(request.POST), by=request.actor)
    messages.success(request, "The roles are saved. They hold at once.")
    return redirect("organization-team", request.organization.slug, id)


@organization_page({"POST": "people.edit"})
def delete(request: HttpRequest, id: UUID) -> HttpResponse:
    """End the team."""
    name = teams.delete(id=id, by=request.actor).name
    messages.success(request, f"The team {name} is deleted. Its people keep what else they have.")
    return redirect("organization-teams", request.organization.slug)
