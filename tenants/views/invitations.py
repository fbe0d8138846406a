"""Inviting people, and what somebody sees who follows an invitation."""

from __future__ import annotations

from typing import Any
from uuid import UUID

from django.conf import settings
from django.contrib import messages
from django.http import HttpRequest, HttpResponse
from django.shortcuts import redirect
from django.template.response import TemplateResponse
from django.utils.cache import add_never_cache_headers
from django.views.decorators.http import require_http_methods

from tenants import invitations
from tenants.access import organization_page
from tenants.errors import Conflict, Invalid, LimitReached, NotFound
from tenants.models import OrganizationRole, User, Workspace, WorkspaceRole
from tenants.views.people import grantable, parts_of, workspace_choices


@organization_page({"GET": "people.edit", "POST": "people.edit"})
def new(request: HttpRequest) -> HttpResponse:
    """The form; posted, it invites. Where no mail is configured, the link is shown this once."""
    if request.method == "GET":
        return _form(request, {}, {"role": OrganizationRole.MEMBER, "parts": _offered()})
    parts = parts_of(request.POST)
    email, role = request.POST.get("email", ""), request.POST.get("role", "")
    try:
        invitation, link = invitations.invite(email=email, role=role, parts=parts, by=request.actor)
    except (Invalid, Conflict, LimitReached) as problem:
        errors = problem.fields or {"email": problem.message}
        return _form(request, errors, {"email": email[:254], "role": role, "parts": parts}, status=400)
    return _sent(request, invitation, link)


def _offered() -> dict[UUID, str]:
    """With a single workspace, a part in it is what most are invited for."""
    ids = list(Workspace.objects.filter(deleted_at=None).values_list("id", flat=True)[:2])
    return {ids[0]: WorkspaceRole.RUNNER} if len(ids) == 1 else {}


def _form(request: Any, errors: dict[str, str], typed: dict[str, Any], status: int = 200) -> HttpResponse:
    context = {
        "section": "organization-people",
        "errors": errors,
        "typed": typed,
        "roles": grantable(request.actor),
        "choices": workspace_choices(typed.get("parts", {})),
        "by_mail": settings.MAIL_CONFIGURED,
        "days": invitations.DAYS,
    }
    return TemplateResponse(request, "tenants/invite.html", context, status=status)


def _sent(request: Any, invitation: Any, link: str) -> HttpResponse:
    if settings.MAIL_CONFIGURED:
        messages.success(request, f"An invitation is on its way to {invitation.email}.")
        return redirect("organization-people", request.organization.slug)
    context = {"section": "organization-people", "invitation": invitation, "link": link, "days": invitations.DAYS}
    response = TemplateResponse(request, "tenants/invited.html", context)
    add_never_cache_headers(response)
    return response


@organization_page({"POST": "people.edit"})
def send_again(request: HttpRequest, id: UUID) -> HttpResponse:
    """Send the mail again, or show the new link."""
    return _sent(request, *invitations.send_again(id=id, by=request.actor))


@organization_page({"POST": "people.edit"})
def revoke(request: HttpRequest, id: UUID) -> HttpResponse:
    """Take it back."""
    invitation = invitations.revoke(id=id, by=request.actor)
    messages.success(request, f"The invitation of {invitation.email} is revoked.")
    return redirect("organization-people", request.organization.slug)


@require_http_methods(["GET", "HEAD", "POST"])
def follow(request: HttpRequest, token: str) -> HttpResponse:
    """What the link shows: a button to join, the way to sign in or up, or that it is for somebody else."""
    try:
        if request.method == "POST" and request.user.is_authenticated:
            return _join(request, token)
        organization, invitation = invitations.find(token)
    except NotFound as problem:
        return TemplateResponse(request, "tenants/invitation_over.html", {"problem": problem}, status=404)
    except (Conflict, LimitReached) as problem:
        return TemplateResponse(request, "problem.html", {"problem": problem, "status": 409}, status=409)
    context = {
        "organization_name": organization.name,  # Its own page's side bar isn't for whoever has a link.
        "invitation": invitation,
        "token": token,
        "is_known": User.objects.filter(email=invitation.email).exists(),
    }
    return TemplateResponse(request, "tenants/invitation.html", context)


def _join(request: Any, token: str) -> HttpResponse:
    organization, workspace = invitations.accept(token=token, user=request.user)
    messages.success(request, f"You belong to {organization.name} now.")
    if workspace is None:
        return redirect("organization-people", organization.slug)
    return redirect("dashboard", organization.slug, workspace.slug)
