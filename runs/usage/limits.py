"""What follows from what was used: who is told, and which runs under way are cancelled."""

from __future__ import annotations

from collections import defaultdict
from uuid import UUID

from django.utils.timezone import now

from orchestrator.states import ALIVE
from runs.models import FlowRun
from runs.trigger import cancel_runs
from tenants.billing import thresholds
from tenants.billing.limits import limit_of, used_in
from tenants.billing.months import Month
from tenants.permissions import Actor

AT_ONCE = 500  # runs that one tick cancels


def look_after(organization_id: UUID) -> None:
    """Tell of shares of the limit that were reached; at the limit, cancel runs under way where that is wanted."""
    month = Month.of(now())
    thresholds.tell(organization_id, month)
    limit = limit_of(organization_id)
    if limit.task_runs is None or not (limit.stops and limit.cancels):
        return
    if used_in(organization_id, month)["task_runs"] >= limit.task_runs:
        cancel_alive(organization_id)


def cancel_alive(organization_id: UUID) -> None:
    """Ask runs that have not ended to stop, workspace by workspace."""
    alive = FlowRun.objects.filter(state_type__in=ALIVE - {"CANCELLING"})
    found: dict[UUID, list[UUID]] = defaultdict(list)
    for workspace_id, id in alive.values_list("workspace_id", "root_id").order_by("id")[:AT_ONCE]:
        found[workspace_id].append(id)
    for workspace_id, ids in found.items():
        cancel_runs(set(ids), by=Actor("system", organization_id, workspace_id, "", "the limit of task runs"))
