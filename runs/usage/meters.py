"""The meters that the usage page shows: what they are called, how days make a month, and by what they break down."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import date, timedelta
from uuid import UUID

from django.db.models import Sum

from runs.usage.recount import METERS
from tenants.billing.models import MeterDay, UsageDay
from tenants.billing.months import Month

OF_RUNS = ("deployment", "workspace", "tag", "day")


@dataclass(frozen=True, slots=True)
class Meter:
    """One meter.

    Args:
        month: What a month is of its days: their `sum`, their `mean`, or the `peak`.
        ways: By what it breaks down, the usual one first.
    """

    name: str
    label: str
    month: str = "sum"
    ways: tuple[str, ...] = OF_RUNS

    @property
    def is_of_runs(self) -> bool:
        """True for what runs use, which is exact; the others are measured beside them."""
        return self.name in METERS


_TABLE = (
    Meter("task_runs", "Task runs"),
    Meter("flow_runs", "Flow runs"),
    Meter("run_time", "Run time"),
    Meter("cpu", "CPU time"),
    Meter("log_bytes", "Log messages"),
    Meter("api_calls", "API calls", ways=("credential", "workspace", "day")),
    Meter("storage", "Storage", "mean", ("content", "workspace", "day")),
    Meter("seats", "Seats", "peak", ("day",)),
)
SHOWN = {meter.name: meter for meter in _TABLE}

Days = dict[date, int]
"""A meter's sum of each day that has one."""


def days_between(organization_id: UUID, first: date, beyond: date) -> dict[str, Days]:
    """Every meter's days, by name. Two queries, whatever the number of meters."""
    found: dict[str, Days] = {name: {} for name in SHOWN}
    own = {"organization_id": organization_id, "day__gte": first, "day__lt": beyond}
    for row in UsageDay.objects.filter(**own).values("day").annotate(**{f"sum_{name}": Sum(name) for name in METERS}):
        for name in METERS:
            found[name][row["day"]] = int(row[f"sum_{name}"])
    for day, name, amount in MeterDay.objects.filter(**own).values_list("day", "meter").annotate(sum=Sum("amount")):
        found[name][day] = int(amount)
    return found


def month_of(meter: Meter, days: Days, month: Month) -> int:
    """What a meter's days of a month come to."""
    values = [value for day, value in days.items() if month.first <= day < month.following.first]
    if meter.month == "peak":
        return max(values, default=0)
    return round(sum(values) / len(values)) if meter.month == "mean" and values else sum(values)


def each_day(days: Days, month: Month) -> list[int]:
    """A value for each day of a month."""
    return [days.get(month.first + timedelta(days=number), 0) for number in range(month.days)]
