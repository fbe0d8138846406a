"""The way of a new workspace to its first run: five steps that tick by themselves."""

from __future__ import annotations

import shlex
import sys
from pathlib import Path
from typing import Any

from django.conf import settings
from django.http import HttpRequest, HttpResponse
from django.template.response import TemplateResponse
from django.utils.cache import add_never_cache_headers

from runs.reads.welcome import progress
from tenants import key_ring
from tenants.access import workspace_page
from tenants.models import ApiKey, WorkspaceRole
from tenants.permissions import WORKSPACE_VERBS

FIRST_FLOW = """\
from orchestrator import flow, task


@task(retries=2)
def count(month: int) -> int:
    return 28_000 + month * 37


@flow(log_prints=True)
def flights(year: int = 2013) -> int:
    total = sum(count.map(range(1, 13)).result())
    print(f"{year}: {total:,} flights")
    return total
"""


@workspace_page("runs.view")
def index(request: HttpRequest) -> HttpResponse:
    """The page."""
    return TemplateResponse(request, "runs/welcome.html", _welcome(request))


@workspace_page("runs.view")
def steps(request: HttpRequest) -> HttpResponse:
    """The part of it that lives."""
    return TemplateResponse(request, "runs/_welcome.html", _welcome(request))


@workspace_page({"POST": "deployments.edit"})
def key(request: HttpRequest) -> HttpResponse:
    """Make a key of one's own and show, this once, the command that logs in with it."""
    _, secret = key_ring.make(
        workspace=request.workspace,
        name=_free_name(request),
        role=WorkspaceRole.DEVELOPER,
        personal=True,
        expires_at=None,
        by=request.actor,
    )
    response = TemplateResponse(request, "runs/welcome.html", _welcome(request, secret))
    add_never_cache_headers(response)
    return response


def _free_name(request: Any) -> str:
    """`first`, or the first of `first 2`, `first 3` that no key of this person has."""
    own = ApiKey.objects.filter(workspace=request.workspace, user_id=request.user.id, revoked_at=None)
    taken = set(own.values_list("name", flat=True))
    names = ("first" if number == 1 else f"first {number}" for number in range(1, len(taken) + 2))
    return next(name for name in names if name not in taken)


def _welcome(request: Any, secret: str = "") -> dict[str, Any]:
    program, url = _program(), f"{settings.PUBLIC_URL}/api/v1"
    return {
        "section": "welcome",
        "progress": progress(request.actor),
        "may_connect": WORKSPACE_VERBS[WorkspaceRole.DEVELOPER] <= request.actor.verbs,
        "secret": secret,
        "is_installed": program != "orchestrator",
        "install": "python3 -m pip install orchestrator",
        "login": f"{program} login --url {url} --key {secret or 'orc_…'}",
        "agent": f"{program} agent start --pool default",
        "write": f"cat > flights.py <<'END'\n{FIRST_FLOW}END",
        "deploy": f"{program} deploy flights.py:flights --name first\n{program} deployment run flights/first --watch",
    }


def _program() -> str:
    """The command as it works where the page is read: on this very machine it is installed beside the server."""
    own = Path(sys.executable).with_name("orchestrator")
    return shlex.quote(str(own)) if settings.ON_LOOPBACK and own.exists() else "orchestrator"
