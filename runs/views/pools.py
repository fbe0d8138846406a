"""Pools and the agents that serve them."""

from __future__ import annotations

from typing import Any

from django.http import HttpRequest, HttpResponse
from django.template.response import TemplateResponse

from runs.reads.pools import MOST, pools
from tenants.access import workspace_page


@workspace_page("pools.view")
def index(request: HttpRequest) -> HttpResponse:
    """The pools, each with its agents."""
    return TemplateResponse(request, "runs/pools.html", _pools(request))


@workspace_page("pools.view")
def rows(request: HttpRequest) -> HttpResponse:
    """The part of that page that lives."""
    return TemplateResponse(request, "runs/_pools.html", _pools(request))


def _pools(request: Any) -> dict[str, Any]:
    return {"section": "pools", "pools": pools(request.workspace.id), "most": MOST}
