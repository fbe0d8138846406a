"""What the palette finds beside the pages that it knows: runs and deployments by name."""

from __future__ import annotations

from datetime import timedelta

from django.db.models import Q
from django.http import HttpRequest, HttpResponse
from django.template.response import TemplateResponse
from django.utils.timezone import now

from runs.deployments import in_workspace
from runs.hidden import hidden_deployments
from runs.models import FlowRun
from tenants.access import workspace_page
from tenants.permissions import can

FOUND = 6  # of each kind
LOOKED_BACK = timedelta(days=30)


@workspace_page("runs.view")
def jump(request: HttpRequest) -> HttpResponse:
    """Options of the palette's list."""
    text = request.GET.get("q", "").strip()[:200]
    if not text:
        return HttpResponse()
    named = Q(name__icontains=text) | Q(flow__name__icontains=text)
    deployments = in_workspace(request.actor).filter(named)
    deployments = deployments if can(request.actor, "deployments.view") else deployments.none()
    runs = FlowRun.objects.filter(named, workspace_id=request.workspace.id, created_at__gte=now() - LOOKED_BACK)
    runs = runs.without(hidden_deployments(request.actor)).select_related("flow")
    runs = runs.defer("history", "error", "parameters").order_by("-created_at", "-id")
    context = {"deployments": deployments.order_by("-updated_at")[:FOUND], "runs": runs[:FOUND]}
    return TemplateResponse(request, "runs/_jump.html", context)
