"""Pools and the agents that serve them."""

from __future__ import annotations

from typing import Any
from uuid import UUID

from django.http import HttpRequest, HttpResponse
from django.template.response import TemplateResponse

from runs import agents
from runs.hidden import hidden_deployments
from runs.reads import agent_page
from runs.reads.pools import MOST, pools
from runs.views.runs import log_window
from tenants.access import workspace_page
from tenants.messages import packed


@workspace_page("pools.view")
def index(request: HttpRequest) -> HttpResponse:
    """The pools, each with its agents."""
    return TemplateResponse(request, "runs/pools.html", _pools(request))


@workspace_page("pools.view")
def rows(request: HttpRequest) -> HttpResponse:
    """The part of that page that lives."""
    return TemplateResponse(request, "runs/_pools.html", _pools(request))


def _pools(request: Any) -> dict[str, Any]:
    return {"section": "pools", "pools": pools(request.actor), "most": MOST}


@workspace_page("pools.view")
def agent(request: HttpRequest, id: UUID) -> HttpResponse:
    """One agent: what it runs, what it ran, its load and its own log."""
    return TemplateResponse(request, "runs/agent.html", _agent(request, id))


@workspace_page("pools.view")
def agent_now(request: HttpRequest, id: UUID) -> HttpResponse:
    """The part of an agent's page that lives."""
    return TemplateResponse(request, "runs/_agent.html", _agent(request, id))


def _agent(request: Any, id: UUID) -> dict[str, Any]:
    found = agent_page.find_agent(request.actor, id)
    hidden = hidden_deployments(request.actor)
    held = agent_page.held(found, hidden)
    return {
        "section": "pools",
        "agent": found,
        "load": found.load,
        "held": held,
        "shares": {"running": min(len(held), found.slots)},
        "recent": agent_page.recent(found, hidden),
        "command": agents.start_command(found),
    }


@workspace_page("pools.view")
def agent_log(request: HttpRequest, id: UUID) -> HttpResponse:
    """A window of an agent's own log."""
    found = agent_page.find_agent(request.actor, id)
    return packed(request, agent_page.log(found, text=request.GET.get("q", ""), **log_window(request.GET)))
