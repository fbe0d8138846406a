"""From a person and an address to an actor: every page under `/o/<organization>/` begins here."""

from __future__ import annotations

from collections.abc import Callable
from functools import wraps
from typing import Any
from uuid import UUID

from django.contrib.auth.decorators import login_required
from django.core.exceptions import PermissionDenied
from django.db import DataError
from django.http import Http404, HttpRequest, HttpResponse, HttpResponseRedirect
from django.shortcuts import render
from django.template.response import SimpleTemplateResponse
from django.urls import reverse

from tenants.errors import Forbidden, Invalid, NotFound, Problem
from tenants.models import Membership, Organization, Workspace
from tenants.organizations import moved
from tenants.permissions import Actor, require
from tenants.scope import tenant_scope, user_scope
from tenants.sso.gate import turned_away
from tenants.standing import Standing, standing

LAST_WORKSPACE = "last_workspace"  # in the session: (organization, workspace) slugs
MOST = 1_000  # organizations and workspaces of one person that lists show


def workspace_actor(user_id: UUID, organization: str, workspace: str) -> Actor:
    """Who a person is in a workspace.

    Raises:
        NotFound: There is no such workspace, or the person does not belong to it: the same answer.
    """
    membership = _membership(user_id, organization)
    with tenant_scope(membership.organization_id):
        found = Workspace.objects.filter(slug=workspace, deleted_at=None).first()
        here = standing(membership, found.id) if found else None
    if found is None or here is None:
        raise NotFound("There is no such workspace, or you don't belong to it.")
    return _actor(membership, found.id, here)


def organization_actor(user_id: UUID, organization: str) -> Actor:
    """Who a person is in an organization, outside its workspaces.

    Raises:
        NotFound: There is no such organization, or the person does not belong to it: the same answer.
    """
    return _actor(_membership(user_id, organization))


def _actor(membership: Membership, workspace_id: UUID | None = None, here: Standing | None = None) -> Actor:
    return Actor(
        "user",
        membership.organization_id,
        workspace_id,
        here.role if here else "",
        membership.user.email,
        user_id=membership.user_id,
        organization_role=membership.role,
        granted=here.verbs if here else None,
    )


def _membership(user_id: UUID, organization: str) -> Membership:
    with user_scope(user_id):
        own = Membership.objects.filter(user_id=user_id, user__is_active=True, organization__slug=organization)
        own = own.filter(organization__deleted_at=None)
        membership = own.select_related("organization", "user").first()
    if membership is None:
        raise NotFound("There is no such organization, or you don't belong to it.")
    return membership


def organizations_of(user_id: UUID) -> list[Organization]:
    """The organizations that a person belongs to, by name."""
    with user_scope(user_id):
        own = Membership.objects.filter(user_id=user_id, organization__deleted_at=None).select_related("organization")
        return [membership.organization for membership in own.order_by("organization__name")[:MOST]]


def workspaces_of(user_id: UUID) -> list[tuple[Organization, Workspace]]:
    """The workspaces that a person may enter, by organization and name. The database's policy `own` chooses them."""
    with user_scope(user_id):
        visible = Workspace.objects.filter(deleted_at=None, organization__deleted_at=None)
        visible = visible.select_related("organization").order_by("organization__name", "name")
        return [(workspace.organization, workspace) for workspace in visible[:MOST]]


Page = Callable[..., HttpResponse]


def workspace_page(verb: str | dict[str, str]) -> Callable[[Page], Page]:
    """Make a view a page of a workspace: signed in, allowed to do `verb`, inside the tenant's transaction.

    The view is called with the request and the rest of the address; `request.actor`, `request.organization` and
    `request.workspace` say who asks and where. Template responses are rendered before the transaction ends. `verb`
    may differ by method.
    """

    def enter(request: Any, organization: str, workspace: str) -> Actor:
        return workspace_actor(request.user.id, organization, workspace)

    return _page(verb, enter)


def organization_page(verb: str | dict[str, str]) -> Callable[[Page], Page]:
    """Make a view a page of an organization, as `workspace_page` does for workspaces; `request.workspace` is None."""

    def enter(request: Any, organization: str) -> Actor:
        return organization_actor(request.user.id, organization)

    return _page(verb, enter)


def _page(verb: str | dict[str, str], enter: Callable[..., Actor]) -> Callable[[Page], Page]:
    places = [name for name in ("organization", "workspace") if name in enter.__annotations__]

    def wrap(view: Page) -> Page:
        @wraps(view)
        def page(request: HttpRequest, **address: Any) -> HttpResponse:
            slugs = {name: address.pop(name) for name in places}
            try:
                actor = enter(request, **slugs)
            except NotFound as problem:
                if elsewhere := _elsewhere(request, enter, slugs):
                    return elsewhere
                raise Http404(problem.message) from problem
            try:
                return _serve(view, verb, request, actor, address)
            except NotFound as problem:
                raise Http404(problem.message) from problem
            except Forbidden as problem:
                raise PermissionDenied(problem.message) from problem
            except DataError:
                return _refused(request, Invalid("A value has characters or digits that can't be stored."))
            except Problem as problem:
                return _refused(request, problem)

        signed_in = login_required(page)
        signed_in.verb = verb  # What the door asks for, for whoever wants to know: the matrix of rights does.
        return signed_in

    return wrap


def _refused(request: HttpRequest, problem: Problem) -> HttpResponse:
    return render(request, "problem.html", {"problem": problem, "status": problem.status}, status=problem.status)


def _elsewhere(request: Any, enter: Callable[..., Actor], slugs: dict[str, str]) -> HttpResponse | None:
    """The way to the same page, for who may enter it, when an organization or a workspace has got another address."""
    today = moved(request.user.id, slugs["organization"], slugs.get("workspace", ""))
    if today is None:
        return None
    found = dict(zip(slugs, today, strict=False))
    try:
        enter(request, **found)
    except NotFound:
        return None
    match, query = request.resolver_match, request.META["QUERY_STRING"]
    address = reverse(match.view_name, kwargs={**match.kwargs, **found}) + (f"?{query}" if query else "")
    return HttpResponseRedirect(address, preserve_request=request.method not in {"GET", "HEAD"})


def _serve(view: Page, verb: str | dict[str, str], request: Any, actor: Actor, address: dict[str, Any]) -> HttpResponse:
    wanted = verb if isinstance(verb, str) else verb.get(request.method, "")
    if not wanted:
        return HttpResponse(status=405, headers={"Allow": ", ".join(verb)})
    request.workspaces = workspaces_of(actor.user_id)
    with tenant_scope(actor.organization_id):
        request.organization = Organization.objects.get(id=actor.organization_id)
        if (elsewhere := turned_away(request, request.organization, actor)) is not None:
            return elsewhere
        require(actor, wanted)
        request.actor = actor
        request.workspace = Workspace.objects.get(id=actor.workspace_id) if actor.workspace_id else None
        _remember(request)
        response = view(request, **address)
        if isinstance(response, SimpleTemplateResponse):
            response.render()
    return response


def _remember(request: Any) -> None:
    """The workspace that was looked at last, to which the bare address leads."""
    if request.workspace is None:
        return
    here = [request.organization.slug, request.workspace.slug]
    if request.session.get(LAST_WORKSPACE) != here:
        request.session[LAST_WORKSPACE] = here
