"""The first page of a workspace: what runs, what failed, what is late, how agents are."""

from __future__ import annotations

from typing import Any

from django.conf import settings
from django.http import HttpRequest, HttpResponse
from django.template.response import TemplateResponse

from runs.deployments import in_workspace
from runs.hidden import hidden_deployments
from runs.inputs import requests
from runs.reads import dashboard, run_list
from runs.reads.attention import attention
from runs.reads.over_time import SPANS, over_time
from runs.reads.pools import pools
from tenants.access import workspace_page

DEFAULT_RANGE = "24h"
SPARK_BARS = 12
FIRST_COMMANDS = f"orchestrator login --url {settings.PUBLIC_URL}/api/v1 --key orc_…\npython your_flow.py"


@workspace_page("runs.view")
def index(request: HttpRequest) -> HttpResponse:
    """The page."""
    return TemplateResponse(request, "runs/dashboard.html", _dashboard(request))


@workspace_page("runs.view")
def now(request: HttpRequest) -> HttpResponse:
    """The part of it that lives: all below its head."""
    return TemplateResponse(request, "runs/_dashboard.html", _dashboard(request))


def _dashboard(request: Any) -> dict[str, Any]:
    workspace_id, hidden = request.workspace.id, hidden_deployments(request.actor)
    asked = request.GET.get("range", "")
    range = asked if asked in SPANS else DEFAULT_RANGE
    counted, served = over_time(workspace_id, range), pools(request.actor)
    return {
        "section": "dashboard",
        "range": range,
        "ranges": list(SPANS),
        "over_time": counted,
        "outcome": dashboard.Outcome.of(counted),
        "good_bars": counted.grouped(dashboard.ENDED_WELL, SPARK_BARS),
        "bad_bars": counted.grouped(dashboard.ENDED_BADLY, SPARK_BARS),
        "most": dashboard.MOST,
        "running": dashboard.count_running(workspace_id),
        "longest": dashboard.running(workspace_id, hidden),
        "durations": dashboard.durations(workspace_id, counted.start),
        "task_runs": dashboard.task_runs_a_minute(workspace_id),
        "next_up": dashboard.next_up(workspace_id, hidden),
        "asked": len(requests.waiting(request.actor).values_list("id")[: dashboard.MOST + 1]),
        "attention": attention(workspace_id, counted.start, served, hidden),
        "pools": served,
        "agents": dashboard.Served.of(served),
        "deployment": in_workspace(request.actor).order_by("-updated_at").first(),
        "ever_ran": run_list.ever_ran(workspace_id),
        "first_commands": FIRST_COMMANDS,
    }
