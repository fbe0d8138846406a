"""A workspace's own page: its name, its address, its end."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any
from uuid import UUID

from django.contrib import messages
from django.http import HttpRequest, HttpResponse
from django.shortcuts import redirect
from django.template.response import TemplateResponse

from tenants import deletion, organizations, parts
from tenants.access import workspace_page
from tenants.errors import Conflict, Invalid
from tenants.roles import offered
from tenants.teams import teams


@workspace_page({"GET": "workspace.edit", "POST": "workspace.edit"})
def edit(request: HttpRequest) -> HttpResponse:
    """Name and address."""
    typed, errors = {"name": request.workspace.name, "slug": request.workspace.slug}, {}
    if request.method == "POST":
        typed = {name: request.POST.get(name, "")[:200] for name in typed}
        try:
            organizations.rename_workspace(workspace=request.workspace, by=request.actor, **typed)
            messages.success(request, "Saved. Addresses of before lead here.")
            return redirect("workspace-settings", request.organization.slug, organizations.clean_slug(typed["slug"]))
        except (Invalid, Conflict) as problem:
            errors = problem.fields or {"slug": problem.message}
    return _page(request, typed, errors)


def _page(request: Any, typed: dict[str, str], errors: dict[str, str], **more: Any) -> HttpResponse:
    people, following = parts.page(request.workspace, after=request.GET.get("after", "")[:254])
    context = {
        "section": "workspace-settings",
        "typed": typed,
        "errors": errors,
        "grace": deletion.GRACE.days,
        "parts": people,
        "more": following,
        "roles": offered.below(request.actor),
        "team_parts": parts.of_teams(request.workspace),
        "teams": teams.listed(),
        **more,
    }
    return TemplateResponse(request, "tenants/workspace.html", context, status=400 if errors or more else 200)


@workspace_page({"POST": "people.assign"})
def assign(request: HttpRequest) -> HttpResponse:
    """Give a member of the organization a role here, or take it away."""
    wanted = {name: request.POST.get(name, "")[:254] for name in ("email", "role")}
    try:
        parts.assign(workspace=request.workspace, by=request.actor, **wanted)
    except Invalid as problem:
        typed = {"name": request.workspace.name, "slug": request.workspace.slug}
        return _page(request, typed, {}, wanted=wanted, wrong=problem.fields)
    messages.success(request, f"{wanted['email']} is {wanted['role'] or 'without a part'} here now.")
    return redirect("workspace-settings", request.organization.slug, request.workspace.slug)


@workspace_page({"POST": "people.assign"})
def assign_team(request: HttpRequest) -> HttpResponse:
    """Give a team a role here, or take it away."""
    role, typed = request.POST.get("role", "")[:254], {"name": request.workspace.name, "slug": request.workspace.slug}
    try:
        team = parts.assign_team(
            workspace=request.workspace, team_id=_team_of(request.POST), role=role, by=request.actor
        )
    except Invalid as problem:
        return _page(request, typed, {}, wrong_team=problem.fields)
    messages.success(request, f"The team {team} is {role or 'without a part'} here now.")
    return redirect("workspace-settings", request.organization.slug, request.workspace.slug)


def _team_of(posted: Mapping[str, str]) -> UUID:
    try:
        return UUID(posted.get("team", ""))
    except ValueError as error:
        raise Invalid("Choose a team.", fields={"team": "Choose one."}) from error


@workspace_page({"POST": "workspace.edit"})
def delete(request: HttpRequest) -> HttpResponse:
    """Shut it, once its address was typed."""
    try:
        deletion.delete_workspace(workspace=request.workspace, typed=request.POST.get("typed", ""), by=request.actor)
    except Invalid as problem:
        typed = {"name": request.workspace.name, "slug": request.workspace.slug}
        return _page(request, typed, problem.fields or {})
    messages.success(
        request, f"{request.workspace.name} is deleted. It can be restored for {deletion.GRACE.days} days."
    )
    return redirect("home")
