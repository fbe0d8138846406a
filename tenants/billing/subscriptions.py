"""Which plan an organization has, had, and will have. A larger one begins at once, a smaller one with the next month:
what was paid for is kept until its end.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from typing import Any
from uuid import UUID

from django.conf import settings
from django.db import connection
from django.utils.timezone import now

from tenants.audit import record
from tenants.billing.models import Subscription
from tenants.billing.months import Month
from tenants.billing.plans import SWITCHES, Plan, default_plan, plans
from tenants.errors import Conflict, Invalid, LimitReached
from tenants.models import Membership, Organization, Workspace
from tenants.permissions import Actor


@dataclass(frozen=True, slots=True)
class Period:
    """A plan and when it begins; None: with the organization."""

    plan: Plan
    begins_at: datetime | None


def plan_of(organization_id: UUID, at: datetime | None = None) -> Plan:
    """The plan in force."""
    if not settings.BILLING:
        return default_plan()
    rows = Subscription.objects.filter(organization_id=organization_id, begins_at__lte=at or now())
    slug = rows.order_by("-begins_at", "-decided_at").values_list("plan", flat=True).first()
    return plans().get(slug or "", default_plan())


def history(organization_id: UUID) -> list[Period]:
    """The plans in the order of their beginnings, those to come too."""
    rows = Subscription.objects.filter(organization_id=organization_id).order_by("begins_at", "decided_at")
    known = plans()
    return [Period(default_plan(), None)] + [
        Period(known.get(plan, default_plan()), begins_at) for plan, begins_at in rows.values_list("plan", "begins_at")
    ]


def change_ahead(organization_id: UUID) -> Period | None:
    """A change that was decided and has not begun."""
    last = history(organization_id)[-1]
    return last if last.begins_at is not None and last.begins_at > now() else None


def allows(organization_id: UUID, switch: str) -> bool:
    """Say whether the plan in force has a switch on."""
    return switch in plan_of(organization_id).switches


def demand(organization_id: UUID, switch: str) -> None:
    """Let something pass that not every plan has. Asked by the operations that begin it, not by what goes on.

    Raises:
        LimitReached: It is not in the plan in force. The message says where to change that.
    """
    plan = plan_of(organization_id)
    if switch in plan.switches:
        return
    with_it = [each.name for each in plans().values() if switch in each.switches and each.slug != "self-hosted"]
    raise LimitReached(
        f"{SWITCHES[switch]} is not in the plan {plan.name}; it is in {' and '.join(with_it)}."
        f" To change the plan: {_where(organization_id)}"
    )


def demand_seat(organization_id: UUID, *, invited: int = 0) -> None:
    """Let one person more in, beside those who are `invited`. Others who ask in this moment wait for the answer.

    Raises:
        LimitReached: The plan in force has no seat left.
    """
    Organization.objects.select_for_update(no_key=True).get(id=organization_id)
    plan = plan_of(organization_id)
    taken = Membership.objects.filter(organization_id=organization_id, user__is_active=True).count() + invited
    if plan.seats is not None and taken >= plan.seats:
        raise LimitReached(
            f"The plan {plan.name} has {plan.seats} seats, and all are taken or promised to people who are invited."
            f" For more, choose a larger plan: {_where(organization_id)}"
        )


def demand_workspace(organization_id: UUID) -> None:
    """Let one workspace more be made. Others who ask in this moment wait for the answer.

    Raises:
        LimitReached: The plan in force has no room for it.
    """
    Organization.objects.select_for_update(no_key=True).get(id=organization_id)
    plan = plan_of(organization_id)
    taken = Workspace.objects.filter(organization_id=organization_id, deleted_at=None).count()
    if plan.workspaces is not None and taken >= plan.workspaces:
        raise LimitReached(
            f"The plan {plan.name} has {plan.workspaces} workspaces, and all are taken."
            f" For more, choose a larger plan: {_where(organization_id)}"
        )


def _where(organization_id: UUID) -> str:
    slug = Organization.objects.values_list("slug", flat=True).get(id=organization_id)
    return f"{settings.PUBLIC_URL}/o/{slug}/billing"


def change_plan(*, slug: str, by: Actor, by_contract: bool = False) -> Period:
    """Change the plan: to a larger one at once, to a smaller one with the next month. Answers when it begins.

    Raises:
        Invalid: There is no such plan, or it is agreed by contract.
        Conflict: Billing is off here, or it is the plan that is in force.
    """
    wanted = plans().get(slug)
    if wanted is None or slug == "self-hosted":
        raise Invalid("There is no such plan.", fields={"plan": "Choose one of the plans."})
    if wanted.by_contract and not by_contract:
        raise Invalid(f"{wanted.name} is agreed by contract.", fields={"plan": "Write to us."})
    if not settings.BILLING:
        raise Conflict("Billing is off in this installation: everything is allowed, nothing is owed.")
    # Two changes at once wait for each other.
    Organization.objects.select_for_update(no_key=True).get(id=by.organization_id)
    current = plan_of(by.organization_id)
    Subscription.objects.filter(begins_at__gt=now()).delete()
    if wanted == current:
        return _stay(current, by)
    begins_at = now() if wanted.rank > current.rank else Month.of(now()).following.start
    row = Subscription.objects.create(
        organization_id=by.organization_id, plan=slug, begins_at=begins_at, decided_by=by.label[:254]
    )
    keep_for(by.organization_id, plan_of(by.organization_id))
    told: dict[str, Any] = {"from": current.slug, "to": slug, "begins_at": begins_at.isoformat()}
    record(by, "plan.changed", row, name=wanted.name, details=told)
    return Period(wanted, begins_at)


def _stay(current: Plan, by: Actor) -> Period:
    """To choose the plan in force takes back a change ahead."""
    record(by, "plan.changed", name=current.name, details={"from": current.slug, "to": current.slug})
    return Period(current, None)


def keep_for(organization_id: UUID, plan: Plan) -> None:
    """Rows of new runs are kept as the plan says; those that are there keep theirs."""
    Organization.objects.filter(id=organization_id).exclude(retention=plan.retention).update(retention=plan.retention)


def begun_since(after: datetime, limit: int = 1_000) -> list[UUID]:
    """Organizations whose plan began a while ago. Asked in the system's scope, by the tick that applies retention."""
    with connection.cursor() as cursor:
        cursor.execute(
            "SELECT DISTINCT organization_id FROM subscription WHERE begins_at > %s AND begins_at <= %s LIMIT %s",
            [after, now(), limit],
        )
        return [id for (id,) in cursor.fetchall()]
