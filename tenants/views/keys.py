"""Keys: one's own and those of service accounts."""

from __future__ import annotations

import re
from datetime import datetime, timedelta
from typing import Any
from uuid import UUID

from django.conf import settings
from django.contrib import messages
from django.http import HttpRequest, HttpResponse
from django.shortcuts import redirect
from django.template.response import TemplateResponse
from django.utils.cache import add_never_cache_headers
from django.utils.timezone import now

from tenants import key_ring
from tenants.access import organization_page, workspace_actor
from tenants.errors import Conflict, Forbidden, Invalid, NotFound
from tenants.models import ApiKey, Workspace, WorkspaceRole
from tenants.permissions import Actor, can

PAGE = 100
LIVES = {"7": "7 days", "30": "30 days", "90": "90 days", "365": "a year", "": "Never"}
OVERLAPS = {"0": "At once", "1": "In an hour", "24": "In a day", "168": "In a week"}


@organization_page("organization.view")
def index(request: HttpRequest) -> HttpResponse:
    """The keys that this person sees."""
    wanted = request.GET.get("workspace", "")[:60]
    found = key_ring.visible(request.actor, [place.id for place in _places(request)])
    if wanted:
        found = found.filter(workspace__slug=wanted)
    start = int(request.GET["from"]) if re.fullmatch(r"\d{1,5}", request.GET.get("from", "")) else 0
    keys = list(found[start : start + PAGE + 1])
    context = {
        "section": "organization-keys",
        "keys": keys[:PAGE],
        "wanted": wanted,
        "next": start + PAGE if len(keys) > PAGE else 0,
        "start": start,
        "places": _places(request),
        "mine": {key.id for key in keys if _may_end(request.actor, key)},
        "overlaps": OVERLAPS,
    }
    return TemplateResponse(request, "tenants/keys.html", context)


def _may_end(by: Actor, key: ApiKey) -> bool:
    return key.user_id == by.user_id or can(by, "keys.manage")


def _places(request: Any) -> list[Workspace]:
    """The workspaces of this organization that the person may enter."""
    return [place for owner, place in request.workspaces if owner.id == request.organization.id]


@organization_page({"GET": "organization.view", "POST": "organization.view"})
def new(request: HttpRequest) -> HttpResponse:
    """The form; posted, it makes a key and shows it this once."""
    if request.method == "GET":
        place, kind = request.GET.get("workspace", ""), request.GET.get("kind", "personal")
        return _form(request, {}, {"workspace": place, "kind": kind, "role": WorkspaceRole.DEVELOPER, "days": "90"})
    typed = {name: request.POST.get(name, "")[:200] for name in ("name", "workspace", "kind", "role", "days")}
    try:
        by, workspace = _in_workspace(request, typed["workspace"])
        key, secret = key_ring.make(
            workspace=workspace, name=typed["name"], role=typed["role"], personal=typed["kind"] != "service",
            expires_at=_expiry(typed["days"]), by=by,
        )  # fmt: skip
    except (Invalid, Conflict, Forbidden) as problem:
        return _form(request, problem.fields or {"kind": problem.message}, typed, status=400)
    return shown(request, key, secret)


def _form(request: Any, errors: dict[str, str], typed: dict[str, str], status: int = 200) -> HttpResponse:
    places = _places(request)
    slugs = [place.slug for place in places]
    chosen = typed["workspace"] if typed["workspace"] in slugs else next(iter(slugs), "")
    offered = key_ring.roles_offered(request.actor, places)
    here = [role.slug for role, where in offered if chosen in where]
    role = typed["role"] if typed["role"] in here else next(iter(here), "")
    context = {
        "section": "organization-keys",
        "errors": errors,
        "typed": {**typed, "workspace": chosen, "role": role},
        "places": places,
        "roles": [(each, " ".join(where), each.slug in here) for each, where in offered],
        "lives": LIVES,
    }
    return TemplateResponse(request, "tenants/key_new.html", context, status=status)


def shown(request: Any, key: ApiKey, secret: str) -> HttpResponse:
    """The page that shows a secret, this once."""
    context = {
        "section": "organization-keys",
        "key": key,
        "secret": secret,
        "command": f"orchestrator login --url {settings.PUBLIC_URL}/api/v1 --key {secret}",
    }
    response = TemplateResponse(request, "tenants/key.html", context)
    add_never_cache_headers(response)
    return response


def _in_workspace(request: Any, slug: str) -> tuple[Actor, Workspace]:
    workspace = Workspace.objects.filter(slug=slug, deleted_at=None).first()
    if workspace is None:
        raise Invalid("Choose a workspace.", fields={"workspace": "Choose one."})
    try:
        return workspace_actor(request.user.id, request.organization.slug, slug), workspace
    except NotFound as problem:
        raise Invalid("Choose a workspace.", fields={"workspace": "Choose one."}) from problem


def _expiry(days: str) -> datetime | None:
    if not days:
        return None
    if not re.fullmatch(r"\d{1,4}", days, re.ASCII) or not 0 < int(days) <= key_ring.MAX_DAYS:
        raise Invalid("Choose when the key ends.", fields={"days": f"1 to {key_ring.MAX_DAYS} days."})
    return now() + timedelta(days=int(days))


@organization_page({"POST": "organization.view"})
def rotate(request: HttpRequest, id: UUID) -> HttpResponse:
    """Put a new key in the place of this one, which goes on for a while."""
    hours = request.POST.get("overlap", "")
    if hours not in OVERLAPS:
        raise Invalid("Choose when the old key ends.", fields={"overlap": "Choose one."})
    key, by = _mine(request, id)
    return shown(request, *key_ring.rotate(key=key, overlap=timedelta(hours=int(hours)), by=by))


@organization_page({"POST": "organization.view"})
def revoke(request: HttpRequest, id: UUID) -> HttpResponse:
    """End a key."""
    key, by = _mine(request, id)
    key_ring.revoke(key=key, by=by)
    messages.success(request, f"The key {key.name} is revoked. It stops working within 5 seconds.")
    return redirect("organization-keys", request.organization.slug)


def _mine(request: Any, id: UUID) -> tuple[ApiKey, Actor]:
    """A key that the person sees, and who they are in its workspace. Others' keys answer as unknown ones."""
    key = key_ring.find(id)
    own = key.user_id == request.user.id
    try:
        by = workspace_actor(request.user.id, request.organization.slug, key.workspace.slug)
    except NotFound:
        by = request.actor
    if not own and not can(by, "keys.manage", key) and not (key.user_id is None and can(by, "keys.edit", key)):
        raise NotFound("There is no such key.")
    return key, by
