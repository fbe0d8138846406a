"""The way in: from the bare address to a workspace."""

from django.contrib.auth.decorators import login_required
from django.http import HttpRequest, HttpResponse
from django.shortcuts import redirect

from tenants.access import LAST_WORKSPACE, organizations_of, workspaces_of


@login_required
def home(request: HttpRequest) -> HttpResponse:
    """Go to the workspace that was looked at last, or to the first one; without any, to what there is instead."""
    found = [(organization.slug, workspace.slug) for organization, workspace in workspaces_of(request.user.id)]
    last = tuple(request.session.get(LAST_WORKSPACE, ()))
    if last in found:
        return redirect("dashboard", *last)
    if found:
        return redirect("dashboard", *found[0])
    if organizations := organizations_of(request.user.id):
        return redirect("organization-people", organizations[0].slug)
    return redirect("new-organization")
