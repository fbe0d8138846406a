"""Who is told of a share of a bound: by mail, once in a month for each of 50, 80 and 100 % of each bound.

The plan's bound (or what it includes) and the organization's own are told of apart: one that only notifies must not use
up the word about the one that stops.
"""

from __future__ import annotations

from uuid import UUID

from django.conf import settings

from tenants.billing.accounts import tell_of_money
from tenants.billing.limits import Limit, bounds_of, used_in
from tenants.billing.models import ThresholdTold
from tenants.billing.months import Month
from tenants.models import Organization

PERCENTS = (50, 80, 100)


def tell(organization_id: UUID, month: Month) -> list[int]:
    """Tell of the highest share of each bound that was newly reached; answers these. Call it inside the organization's
    scope.

    What was passed at once is told once: who reaches 100 % at a stroke is not told of 50.
    """
    used = used_in(organization_id, month)["task_runs"]
    told = (_tell_of(bound, organization_id, month, used) for bound in bounds_of(organization_id))
    return [percent for percent in told if percent]


def _tell_of(bound: Limit, organization_id: UUID, month: Month, used: int) -> int | None:
    if not bound.task_runs:
        return None
    reached = [percent for percent in PERCENTS if used * 100 >= bound.task_runs * percent]
    own = {"organization_id": organization_id, "month": month.first, "whose": bound.whose, "task_runs": bound.task_runs}
    known = set(ThresholdTold.objects.filter(**own).values_list("percent", flat=True))
    new = [percent for percent in reached if percent not in known]
    ThresholdTold.objects.bulk_create((ThresholdTold(**own, percent=each) for each in new), ignore_conflicts=True)
    if not reached or reached[-1] in known:
        return None
    _mail(organization_id, month, bound, used, reached[-1])
    return reached[-1]


def _mail(organization_id: UUID, month: Month, bound: Limit, used: int, percent: int) -> None:
    organization = Organization.objects.get(id=organization_id)
    subject = f"{organization.name} has used {percent} % of {_called(bound)} in {month.label}"
    text = (
        f"{organization.name} has used {used:,} of {bound.task_runs:,} task runs in {month.label}.\n\n"
        f"{consequence(bound, percent)}\n\n{settings.PUBLIC_URL}/o/{organization.slug}/billing\n"
    )
    tell_of_money(organization_id, subject, text, key=f"threshold:{month}:{bound.whose}:{bound.task_runs}:{percent}")


def _called(bound: Limit) -> str:
    if not bound.by_plan:
        return "its own limit of task runs"
    return "its task runs" if bound.stops else "the task runs that its plan includes"


def consequence(limit: Limit, percent: int) -> str:
    """What happens at the limit, in one sentence."""
    if limit.price is not None:
        return f"Runs go on: those above cost ${limit.price} per 1,000."
    if not limit.stops:
        return "Runs go on: the limit only notifies."
    under_way = "Runs under way are cancelled." if limit.cancels else "Runs under way finish."
    lift = "choose a larger plan" if limit.by_plan else "raise the limit"
    if percent < 100:
        return f"At the limit no new runs start. To go on then, {lift}."
    return f"No new runs start until the next month. {under_way} To go on now, {lift}."
