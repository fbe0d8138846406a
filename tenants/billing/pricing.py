"""From an amount of task runs to lines of money. Decimals throughout; each line is rounded to a cent, half up."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from decimal import ROUND_HALF_UP, Decimal
from typing import Any

from tenants.billing.months import Month
from tenants.billing.plans import Plan
from tenants.billing.subscriptions import Period

CENT = Decimal("0.01")
THOUSAND = Decimal(1_000)


@dataclass(frozen=True, slots=True)
class Line:
    """One line of an invoice. `quantity` counts what `unit_price` is the price of."""

    text: str
    quantity: str
    unit_price: str
    amount: Decimal

    def as_json(self) -> dict[str, Any]:
        """As an invoice keeps it."""
        return asdict(self) | {"amount": str(self.amount)}


def cents(amount: Decimal) -> Decimal:
    """Rounded to a cent.

    >>> cents(Decimal("35.5325")), cents(Decimal("0.005"))
    (Decimal('35.53'), Decimal('0.01'))
    """
    return amount.quantize(CENT, rounding=ROUND_HALF_UP)


def usage_lines(plan: Plan, task_runs: int) -> list[Line]:
    """What goes beyond the included amount, tier by tier."""
    lines = []
    below = plan.included
    for tier in plan.tiers:
        upper = task_runs if tier.up_to is None else min(task_runs, tier.up_to)
        if upper > below:
            number = upper - below
            amount = cents(number * tier.price / THOUSAND)
            text = f"Task runs {below + 1:,} to {upper:,}"
            lines.append(Line(text, f"{number:,}", f"${tier.price} per 1,000", amount))
            below = upper
    return lines


def month_lines(periods: Sequence[Period], month: Month, task_runs: int) -> list[Line]:
    """The lines of a month: the fee of each plan by days, and the usage by the plan at the month's end.

    A smaller plan begins with a month only, so the plan at its end is the largest one, with the most included.
    """
    lines = []
    within = _within(periods, month)
    for (plan, first), following in zip(within, [*(start for _, start in within[1:]), month.days + 1], strict=True):
        days = following - first
        if plan.monthly and days > 0:
            share = "1 month" if days == month.days else f"{days} of {month.days} days"
            amount = cents(plan.monthly * days / month.days)
            lines.append(Line(f"{plan.name}, with {plan.included:,} task runs", share, f"${plan.monthly}", amount))
    return lines + usage_lines(within[-1][0], task_runs)


def _within(periods: Sequence[Period], month: Month) -> list[tuple[Plan, int]]:
    """The plans of a month and the day of it on which each begins. The day of a change belongs to the new plan."""
    found: list[tuple[Plan, int]] = []
    for period in periods:
        if period.begins_at is not None and period.begins_at >= month.end:
            break
        if period.begins_at is None or period.begins_at < month.start:
            found = [(period.plan, 1)]
        else:
            found = [each for each in found if each[1] < period.begins_at.day] + [(period.plan, period.begins_at.day)]
    return found


def total(lines: Sequence[Line]) -> Decimal:
    """What lines come to."""
    return sum((line.amount for line in lines), Decimal("0.00"))
