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
from django.utils.functional import SimpleLazyObject

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
        entered = _entered(membership, workspace)
    return _known(entered)[1]


def organization_actor(user_id: UUID, organization: str) -> Actor:
    """Who a person is in an organization, outside its workspaces.

    Raises:
        NotFound: There is no such organization, or the person does not belong to it: the same answer.
    """
    return _actor(_membership(user_id, organization))


def _entered(membership: Membership, slug: str) -> tuple[Workspace, Actor] | None:
    """The workspace of this name and who a member is in it; None where they have no part. Inside the tenant's scope."""
    found = Workspace.objects.filter(slug=slug, deleted_at=None).first()
    here = standing(membership, found.id) if found else None
    return (found, _actor(membership, found.id, here)) if found and here else None


def _known(entered: tuple[Workspace, Actor] | None) -> tuple[Workspace, Actor]:
    if entered is None:
        raise NotFound("There is no such workspace, or you don't belong to it.")
    return entered


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
    with user_scope(user_id, only_reads=True):
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
    with user_scope(user_id, only_reads=True):
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

    return _page(verb, ("organization", "workspace"))


def organization_page(verb: str | dict[str, str]) -> Callable[[Page], Page]:
    """Make a view a page of an organization, as `workspace_page` does for workspaces; `request.workspace` is None."""
    return _page(verb, ("organization",))


def _page(verb: str | dict[str, str], places: tuple[str, ...]) -> Callable[[Page], Page]:
    def wrap(view: Page) -> Page:
        @wraps(view)
        def page(request: HttpRequest, **address: Any) -> HttpResponse:
            slugs = {name: address.pop(name) for name in places}
            try:
                return _serve(view, verb, request, slugs, address)
            except NotFound as problem:
                if elsewhere := _elsewhere(request, slugs):
                    return elsewhere
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


def _elsewhere(request: Any, slugs: dict[str, str]) -> HttpResponse | None:
    """The way to the same page, for who may enter it, when an organization or a workspace has got another address."""
    if hasattr(request, "actor"):  # They are inside: it is something of the page that is not there.
        return None
    today = moved(request.user.id, slugs["organization"], slugs.get("workspace", ""))
    if today is None:
        return None
    found = dict(zip(slugs, today, strict=False))
    try:
        (workspace_actor if "workspace" in found else organization_actor)(request.user.id, **found)
    except NotFound:
        return None
    match, query = request.resolver_match, request.META["QUERY_STRING"]
    address = reverse(match.view_name, kwargs={**match.kwargs, **found}) + (f"?{query}" if query else "")
    return HttpResponseRedirect(address, preserve_request=request.method not in {"GET", "HEAD"})


def _serve(
    view: Page, verb: str | dict[str, str], request: Any, slugs: dict[str, str], address: dict[str, Any]
) -> HttpResponse:
    """Enter and answer in one transaction of the tenant, each row of the way read once."""
    membership = _membership(request.user.id, slugs["organization"])
    with tenant_scope(membership.organization_id):
        workspace, actor = None, _actor(membership)
        if "workspace" in slugs:
            workspace, actor = _known(_entered(membership, slugs["workspace"]))
        wanted = verb if isinstance(verb, str) else verb.get(request.method, "")
        if not wanted:
            return HttpResponse(status=405, headers={"Allow": ", ".join(verb)})
        request.organization = membership.organization
        if (elsewhere := turned_away(request, request.organization, actor)) is not None:
            return elsewhere
        require(actor, wanted)
        request.actor, request.workspace = actor, workspace
        request.workspaces = SimpleLazyObject(lambda: workspaces_of(actor.user_id))  # Most answers show none.
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
