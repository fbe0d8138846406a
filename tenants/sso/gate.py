"""What stands before an organization's pages where it demands its own log-in."""

from __future__ import annotations

from typing import Any
from urllib.parse import urlencode

from django.http import HttpResponse
from django.shortcuts import render
from django.urls import reverse

from tenants.models import Organization, OrganizationRole
from tenants.permissions import Actor
from tenants.sso.sessions import may_enter


def turned_away(request: Any, organization: Organization, actor: Actor) -> HttpResponse | None:
    """Send somebody to the company's log-in; None for whoever may enter.

    By a page, not by a redirect, which a browser would not follow to another site after a form (the log-in's, say):
    `form-action`. The page leads on by itself, but for owners, who may want to break the glass.
    """
    if may_enter(request.session, organization, actor.user_id):
        return None
    next = request.get_full_path() if request.method == "GET" else reverse("home")
    login = f"{reverse('sso-login', args=[organization.id])}?{urlencode({'next': next})}"
    is_owner = actor.organization_role == OrganizationRole.OWNER
    context = {"organization": organization, "login": login, "next": next, "is_owner": is_owner}
    return render(request, "tenants/sso/required.html", context, status=403)
