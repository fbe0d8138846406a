"""How far an organization may go in a month, and how far it is."""

from __future__ import annotations

from dataclasses import dataclass
from decimal import Decimal
from uuid import UUID

from django.db.models import Sum

from tenants.billing.accounts import account_of
from tenants.billing.models import BillingAccount, UsageDay
from tenants.billing.months import Month
from tenants.billing.plans import Plan
from tenants.billing.subscriptions import plan_of

METERS = ("flow_runs", "task_runs", "log_bytes", "run_time", "cpu")


@dataclass(frozen=True, slots=True)
class Limit:
    """A bound of a month.

    Args:
        task_runs: None: there is none.
        stops: No run starts beyond it; else people are only told.
        by_plan: A larger plan lifts it; else it is the organization's own.
        cancels: Runs under way are cancelled at it.
        price: What a thousand beyond it cost, where they cost something.
    """

    task_runs: int | None
    stops: bool = True
    by_plan: bool = False
    cancels: bool = False
    price: Decimal | None = None

    @property
    def whose(self) -> str:
        """Who set it: `plan` or `own`."""
        return "plan" if self.by_plan else "own"


def limit_of(organization_id: UUID) -> Limit:
    """What is shown, and told of: the plan's bound, or the organization's own where that is lower."""
    return _lower(*_both(account_of(organization_id), plan_of(organization_id)))


def stop_of(organization_id: UUID) -> Limit:
    """Beyond what no run starts. An own limit that only notifies lifts no bound of the plan."""
    plans, own = _both(account_of(organization_id), plan_of(organization_id))
    return _lower(plans, own) if own.stops else plans


def bounds_of(organization_id: UUID) -> list[Limit]:
    """Everything whose shares people are told of: the plan's bound or included amount, and the organization's own."""
    account, plan = account_of(organization_id), plan_of(organization_id)
    plans, own = _both(account, plan)
    if plans.task_runs is None and plan.included and plan.tiers:
        plans = Limit(plan.included, stops=False, by_plan=True, price=plan.tiers[0].price)
    return [bound for bound in (plans, own) if bound.task_runs is not None]


def _both(account: BillingAccount, plan: Plan) -> tuple[Limit, Limit]:
    """The plan's bound and the organization's own, each perhaps without a number."""
    stops = account.at_limit == BillingAccount.AtLimit.STOP
    cancels = account.under_way == BillingAccount.UnderWay.CANCEL
    return Limit(plan.stops_at, by_plan=True, cancels=cancels), Limit(account.limit, stops=stops, cancels=cancels)


def _lower(plans: Limit, own: Limit) -> Limit:
    if own.task_runs is None or (plans.task_runs is not None and plans.task_runs < own.task_runs):
        return plans
    return own


def used_in(organization_id: UUID, month: Month) -> dict[str, int]:
    """What the days of a month add up to, by meter."""
    days = UsageDay.objects.filter(organization_id=organization_id, day__gte=month.first, day__lt=month.following.first)
    sums = days.aggregate(**{meter: Sum(meter) for meter in METERS})
    return {meter: int(sums[meter] or 0) for meter in METERS}
