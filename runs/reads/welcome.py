"""How far a new workspace has come on its way to a first run: read from what is there, nothing is ticked by hand."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime

from runs import agents
from runs.deployments import in_workspace
from runs.hidden import hidden_deployments
from runs.models import Agent, Deployment, FlowRun
from tenants.key_ring import good
from tenants.models import ApiKey
from tenants.permissions import Actor


@dataclass(frozen=True, slots=True)
class Progress:
    """What there is already."""

    key: ApiKey | None
    last_used_at: datetime | None
    agent: Agent | None
    deployment: Deployment | None
    run: FlowRun | None

    @property
    def here(self) -> int:
        """The step, from 2 to 5, that comes next; 6 when all is done."""
        if self.run:
            return 6
        if self.last_used_at is None:
            return 2
        return 4 if self.agent else 3


def progress(by: Actor) -> Progress:
    """Read it; five rows."""
    workspace_id = by.workspace_id
    keys = good().filter(workspace_id=workspace_id)
    used = ApiKey.objects.filter(workspace_id=workspace_id, last_used_at__isnull=False)
    runs = FlowRun.objects.filter(workspace_id=workspace_id).without(hidden_deployments(by)).select_related("flow")
    return Progress(
        key=keys.order_by("-created_at").first(),
        last_used_at=used.order_by("-last_used_at").values_list("last_used_at", flat=True).first(),
        agent=Agent.objects.filter(pool__in=agents.in_workspace(by)).order_by("-last_seen_at").first(),
        deployment=in_workspace(by).order_by("-updated_at").first(),
        run=runs.defer("history", "error", "parameters").order_by("-created_at", "-id").first(),
    )
