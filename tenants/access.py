"""From a person and an address to an actor: every page under `/o/<organization>/<workspace>/` begins here."""

from __future__ import annotations

from collections.abc import Callable
from functools import wraps
from typing import Any
from uuid import UUID

from django.contrib.auth.decorators import login_required
from django.core.exceptions import PermissionDenied
from django.http import Http404, HttpRequest, HttpResponse
from django.shortcuts import render
from django.template.response import SimpleTemplateResponse

from tenants.errors import Forbidden, NotFound, Problem
from tenants.models import Membership, Organization, Workspace, WorkspaceMembership, WorkspaceRole
from tenants.permissions import OWNS_ALL_WORKSPACES, Actor, require
from tenants.scope import tenant_scope, user_scope

LAST_WORKSPACE = "last_workspace"  # in the session: (organization, workspace) slugs


def workspace_actor(user_id: UUID, organization: str, workspace: str) -> Actor:
    """Who a person is in a workspace.

    Raises:
        NotFound: There is no such workspace, or the person does not belong to it: the same answer.
    """
    membership = _membership(user_id, organization)
    with tenant_scope(membership.organization_id):
        found = Workspace.objects.filter(slug=workspace).first()
        role = _role(membership, found) if found else None
    if found is None or role is None:
        raise NotFound("There is no such workspace, or you don't belong to it.")
    return Actor("user", membership.organization_id, found.id, role, membership.user.email, user_id=user_id)


def _membership(user_id: UUID, organization: str) -> Membership:
    with user_scope(user_id):
        own = Membership.objects.filter(user_id=user_id, user__is_active=True, organization__slug=organization)
        membership = own.select_related("organization", "user").first()
    if membership is None:
        raise NotFound("There is no such organization, or you don't belong to it.")
    return membership


def _role(membership: Membership, workspace: Workspace) -> str | None:
    if membership.role in OWNS_ALL_WORKSPACES:
        return WorkspaceRole.OWNER
    own = WorkspaceMembership.objects.filter(workspace=workspace, user_id=membership.user_id)
    return own.values_list("role", flat=True).first()


def workspaces_of(user_id: UUID) -> list[tuple[Organization, Workspace]]:
    """The workspaces that a person may enter, by organization and name."""
    with user_scope(user_id):
        memberships = list(Membership.objects.filter(user_id=user_id).select_related("organization"))
    found: list[tuple[Organization, Workspace]] = []
    for membership in sorted(memberships, key=lambda each: each.organization.name):
        with tenant_scope(membership.organization_id):
            visible = Workspace.objects.order_by("name")
            if membership.role not in OWNS_ALL_WORKSPACES:
                own = WorkspaceMembership.objects.filter(user_id=user_id).values("workspace_id")
                visible = visible.filter(id__in=own)
            found += [(membership.organization, workspace) for workspace in visible[:200]]
    return found


def workspace_page(verb: str | dict[str, str]) -> Callable[[Callable[..., HttpResponse]], Callable[..., HttpResponse]]:
    """Make a view a page of a workspace: signed in, allowed to do `verb`, inside the tenant's transaction.

    The view is called with the request and the rest of the address; `request.actor`, `request.organization` and
    `request.workspace` say who asks and where. Template responses are rendered before the transaction ends. `verb`
    may differ by method.
    """

    def wrap(view: Callable[..., HttpResponse]) -> Callable[..., HttpResponse]:
        @wraps(view)
        def page(request: HttpRequest, organization: str, workspace: str, **rest: Any) -> HttpResponse:
            try:
                return _serve(view, verb, request, organization, workspace, rest)
            except NotFound as problem:
                raise Http404(problem.message) from problem
            except Forbidden as problem:
                raise PermissionDenied(problem.message) from problem
            except Problem as problem:
                context = {"problem": problem, "status": problem.status}
                return render(request, "problem.html", context, status=problem.status)

        return login_required(page)

    return wrap


def _serve(view: Any, verb: Any, request: Any, organization: str, workspace: str, rest: dict[str, Any]) -> HttpResponse:
    request.workspaces = workspaces_of(request.user.id)
    wanted = verb if isinstance(verb, str) else verb.get(request.method, "")
    actor = workspace_actor(request.user.id, organization, workspace)
    if not wanted:
        return HttpResponse(status=405, headers={"Allow": ", ".join(verb)})
    with tenant_scope(actor.organization_id):
        require(actor, wanted)
        request.actor = actor
        request.organization = Organization.objects.get(id=actor.organization_id)
        request.workspace = Workspace.objects.get(id=actor.workspace_id)
        if request.session.get(LAST_WORKSPACE) != [organization, workspace]:
            request.session[LAST_WORKSPACE] = [organization, workspace]
        response = view(request, **rest)
        if isinstance(response, SimpleTemplateResponse):
            response.render()
    return response
