"""The doors of both admin sites: who comes in, and the addresses that hold inside.

Django's admin knows its own addresses by name, but no organization in them. So each site has addresses of its own, and
serves below a prefix that the door sets for the request, as a server does that is mounted below a path.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from django.conf import settings
from django.contrib.auth.decorators import login_required
from django.http import Http404, HttpRequest, HttpResponse
from django.shortcuts import render
from django.template.response import SimpleTemplateResponse
from django.urls import get_resolver, get_script_prefix, get_urlconf, reverse, set_script_prefix, set_urlconf

from tenants.access import organization_page
from tenants.scope import system_scope
from tenants.staff import is_staff, may_look, note_looks

ORGANIZATION_ADDRESSES = "orchestrator.server.admin.organization_urls"
STAFF_ADDRESSES = "orchestrator.server.admin.staff_urls"
FOREIGN_WAYS = ("_to_field", "_popup")  # Pop-ups that choose rows of other models: these sites have none.


@organization_page("admin.use")
def organization(request: HttpRequest, rest: str) -> HttpResponse:
    """The admin of one organization, inside its tenant's transaction."""
    request.admin_home = portal_address("home")
    prefix = portal_address("organization-admin", request.organization.slug)
    return _serve(request, ORGANIZATION_ADDRESSES, prefix, rest)


@login_required
def staff(request: Any, rest: str) -> HttpResponse:
    """The admin of the installation's staff: read in the system's scope, then written down and changed by tenant."""
    if not is_staff(request.user):
        raise Http404("There is no such page.")
    if not may_look(request):
        asked = {"second_factor": settings.REQUIRE_STAFF_SECOND_FACTOR}
        return render(request, "staff_unproved.html", asked, status=403)
    if not settings.STAFF_DATABASE:
        return render(request, "staff_elsewhere.html", status=503)
    request.admin_home, request.looks, request.changes = portal_address("home"), {}, []
    with system_scope(using=settings.STAFF_DATABASE):
        response = _serve(request, STAFF_ADDRESSES, portal_address("staff-admin"), rest)
    note_looks(looks=request.looks, by=request.user)
    for change in request.changes:
        change()
    return response


def _serve(request: Any, addresses: str, prefix: str, rest: str) -> HttpResponse:
    _forget_foreign_ways(request)
    with _mounted(addresses, prefix):
        found = get_resolver(addresses).resolve(f"/{rest}")
        request.resolver_match = found
        response = found.func(request, *found.args, **found.kwargs)
        if isinstance(response, SimpleTemplateResponse):
            response.render()  # Here, where the tenant's rows can be read and the site's addresses hold.
    return response


def _forget_foreign_ways(request: Any) -> None:
    for name in ("GET", "POST"):
        given = getattr(request, name)
        if any(way in given for way in FOREIGN_WAYS):
            kept = given.copy()
            for way in FOREIGN_WAYS:
                kept.pop(way, None)
            setattr(request, name, kept)


@contextmanager
def _mounted(addresses: str, prefix: str) -> Iterator[None]:
    before = get_urlconf(), get_script_prefix()
    set_urlconf(addresses)
    set_script_prefix(prefix)
    try:
        yield
    finally:
        set_urlconf(before[0])
        set_script_prefix(before[1])


def portal_address(name: str, *rest: Any) -> str:
    """The address of a page of the portal, asked inside a site or outside."""
    return "/" + reverse(name, settings.ROOT_URLCONF, args=rest).removeprefix(get_script_prefix())
