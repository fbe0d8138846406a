"""Who is told of a share of the limit: by mail, once in a month for each of 50, 80 and 100 %."""

from __future__ import annotations

from uuid import UUID

from django.conf import settings

from tenants.billing.accounts import tell_of_money
from tenants.billing.limits import Limit, limit_of, used_in
from tenants.billing.models import ThresholdTold
from tenants.billing.months import Month
from tenants.models import Organization

PERCENTS = (50, 80, 100)


def tell(organization_id: UUID, month: Month) -> int | None:
    """Tell of the highest share that was newly reached; answers it. Call it inside the organization's scope.

    What was passed at once is told once: who reaches 100 % at a stroke is not told of 50.
    """
    limit = limit_of(organization_id)
    if not limit.task_runs:
        return None
    used = used_in(organization_id, month)["task_runs"]
    reached = [percent for percent in PERCENTS if used * 100 >= limit.task_runs * percent]
    rows = [ThresholdTold(organization_id=organization_id, month=month.first, percent=percent) for percent in reached]
    known = set(ThresholdTold.objects.filter(month=month.first).values_list("percent", flat=True))
    ThresholdTold.objects.bulk_create((row for row in rows if row.percent not in known), ignore_conflicts=True)
    if not reached or reached[-1] in known:
        return None
    _mail(organization_id, month, limit, used, reached[-1])
    return reached[-1]


def _mail(organization_id: UUID, month: Month, limit: Limit, used: int, percent: int) -> None:
    organization = Organization.objects.get(id=organization_id)
    subject = f"{organization.name} has used {percent} % of its task runs of {month.label}"
    text = (
        f"{organization.name} has used {used:,} of {limit.task_runs:,} task runs in {month.label}.\n\n"
        f"{consequence(limit, percent)}\n\n{settings.PUBLIC_URL}/o/{organization.slug}/billing\n"
    )
    tell_of_money(organization_id, subject, text, key=f"threshold:{month}:{percent}")


def consequence(limit: Limit, percent: int) -> str:
    """What happens at the limit, in one sentence."""
    if not limit.stops:
        return "Runs go on: the limit only notifies."
    under_way = "Runs under way are cancelled." if limit.cancels else "Runs under way finish."
    lift = "choose a larger plan" if limit.by_plan else "raise the limit"
    if percent < 100:
        return f"At the limit no new runs start. To go on then, {lift}."
    return f"No new runs start until the next month. {under_way} To go on now, {lift}."
