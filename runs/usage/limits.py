"""What follows from what was used: who is told, and which runs under way are cancelled."""

from __future__ import annotations

from collections import defaultdict
from uuid import UUID

from django.db import connection
from django.utils.timezone import now

from orchestrator.states import ALIVE, StateType
from runs.models import FlowRun
from runs.trigger import cancel_runs
from tenants.billing import thresholds
from tenants.billing.limits import stop_of, used_in
from tenants.billing.months import Month
from tenants.models import Workspace
from tenants.permissions import Actor

AT_ONCE = 500  # runs that one tick cancels
LOOKED_AT = 1_000  # organizations of one tick
TO_CANCEL = sorted(ALIVE - {StateType.CANCELLING})

# In no order, so that everybody's turn comes when there are more than one tick looks at.
_WANT_CANCELLING = """
    SELECT a.organization_id FROM billing_account a
    WHERE a.under_way = 'cancel' AND EXISTS (
        SELECT 1 FROM workspace w
        JOIN flow_run r ON r.organization_id = w.organization_id AND r.workspace_id = w.id
        WHERE w.organization_id = a.organization_id AND r.state_type = ANY(%s)
    )
    ORDER BY random() LIMIT %s
"""


def want_cancelling() -> set[UUID]:
    """Organizations whose runs under way are cancelled at the limit, and have some. Asked in the system's scope.

    They are looked after whether they used something or not: a limit may have been lowered, runs may be too many for
    one tick, or wait without using anything.
    """
    with connection.cursor() as cursor:
        cursor.execute(_WANT_CANCELLING, [TO_CANCEL, LOOKED_AT])
        return {id for (id,) in cursor.fetchall()}


def look_after(organization_id: UUID) -> None:
    """Tell of shares of the limit that were reached; at the limit, cancel runs under way where that is wanted."""
    month = Month.of(now())
    thresholds.tell(organization_id, month)
    limit = stop_of(organization_id)
    if limit.task_runs is None or not limit.cancels:
        return
    if used_in(organization_id, month)["task_runs"] >= limit.task_runs:
        cancel_alive(organization_id)


def cancel_alive(organization_id: UUID) -> None:
    """Ask runs that have not ended to stop, workspace by workspace."""
    workspaces = list(Workspace.objects.values_list("id", flat=True))
    alive = FlowRun.objects.filter(workspace_id__in=workspaces, state_type__in=TO_CANCEL)
    found: dict[UUID, list[UUID]] = defaultdict(list)
    for workspace_id, id in alive.values_list("workspace_id", "root_id").order_by("id")[:AT_ONCE]:
        found[workspace_id].append(id)
    for workspace_id, ids in found.items():
        cancel_runs(set(ids), by=Actor("system", organization_id, workspace_id, "", "the limit of task runs"))
