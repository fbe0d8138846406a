"""What stands before an organization's pages where it demands its own log-in."""

from __future__ import annotations

from typing import Any
from urllib.parse import urlencode

from django.http import HttpResponse
from django.shortcuts import redirect, render
from django.urls import reverse

from tenants.models import Organization, OrganizationRole
from tenants.permissions import Actor
from tenants.sso.sessions import may_enter


def turned_away(request: Any, organization: Organization, actor: Actor) -> HttpResponse | None:
    """Send somebody to the company's log-in; None for whoever may enter.

    Owners are asked first: they can break the glass. So is who sends a form: a browser would not let it be led on.
    """
    if may_enter(request.session, organization, actor.user_id):
        return None
    next = request.get_full_path() if request.method == "GET" else reverse("home")
    login = f"{reverse('sso-login', args=[organization.id])}?{urlencode({'next': next})}"
    is_owner = actor.organization_role == OrganizationRole.OWNER
    if request.method == "GET" and not is_owner:
        return redirect(login)
    context = {"organization": organization, "login": login, "next": next, "is_owner": is_owner}
    return render(request, "tenants/sso/required.html", context, status=403)
