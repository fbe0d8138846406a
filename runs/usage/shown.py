"""What the usage page shows of a month: sums, days, where it went, and where it leads. From days alone, all bounded."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import date, timedelta
from statistics import fmean, pstdev
from typing import Any
from uuid import UUID

from django.db.models import Sum
from django.utils.timezone import now

from runs.models import Deployment
from tenants.billing.limits import METERS
from tenants.billing.models import UsageDay
from tenants.billing.months import Month
from tenants.models import Workspace
from tenants.scope import tenant_scope

SHOWN = 50  # rows of a table
LOOKED_BACK = 28  # days that a forecast is made of
EXPORTED_AT_ONCE = 2_000
BY = {"workspace": "workspace_id", "deployment": "deployment_id", "day": "day"}
LABELS = {"task_runs": "Task runs", "flow_runs": "Flow runs", "run_time": "Run time", "cpu": "CPU time",
          "log_bytes": "Log messages"}  # fmt: skip


@dataclass(frozen=True, slots=True)
class Share:
    """One row of where a month's usage went."""

    key: Any
    name: str
    place: str
    meters: dict[str, int]
    share: float


@dataclass(frozen=True, slots=True)
class Forecast:
    """Task runs by the month's end, as the last days went: expected, and between which numbers."""

    expected: int
    low: int
    high: int


def days_of(organization_id: UUID, month: Month, meter: str) -> list[int]:
    """A meter's sum on each day of a month."""
    sums = dict(_in(organization_id, month).values_list("day").annotate(sum=Sum(meter)))
    return [int(sums.get(month.first + timedelta(days=number), 0)) for number in range(month.days)]


def shares(organization_id: UUID, month: Month, by: str, meter: str) -> tuple[list[Share], int]:
    """Where a month's usage went, the most first (days in their order), and how many rows are left out."""
    column = BY[by]
    columns = [column] if by != "deployment" else ["deployment_id", "workspace_id"]
    sums = {f"sum_{name}": Sum(name) for name in METERS}
    grouped = _in(organization_id, month).values(*columns).annotate(**sums)
    rows = list(grouped.order_by(*(["day"] if by == "day" else [f"-sum_{meter}", *columns]))[:SHOWN])
    left_out = max(grouped.count() - SHOWN, 0) if len(rows) == SHOWN else 0
    whole = int(_in(organization_id, month).aggregate(sum=Sum(meter))["sum"] or 0)
    names = _names(rows)
    found = []
    for row in rows:
        meters = {name: int(row[f"sum_{name}"] or 0) for name in METERS}
        name, place = names(row)
        found.append(Share(row[column], name, place, meters, meters[meter] / whole if whole else 0.0))
    return found, left_out


def _names(rows: list[dict[str, Any]]) -> Any:
    deployments = {row["deployment_id"] for row in rows if row.get("deployment_id")}
    known = {d.id: str(d) for d in Deployment.objects.filter(id__in=deployments).select_related("flow")}
    places = dict(
        Workspace.objects.filter(id__in={row.get("workspace_id") for row in rows} - {None}).values_list("id", "name")
    )

    def name(row: dict[str, Any]) -> tuple[str, str]:
        place = places.get(row.get("workspace_id"), "a deleted workspace")
        if "day" in row:
            return f"{row['day'].day} {row['day']:%B}", ""
        if "deployment_id" not in row:
            return place, ""
        if row["deployment_id"] is None:
            return "Called by hand", place
        return known.get(row["deployment_id"], "A deleted deployment"), place

    return name


def forecast(organization_id: UUID, month: Month, used: int) -> Forecast | None:
    """What the open month leads to; None for a closed one, or before a whole day was seen.

    Each day that is left, and what is left of today, is expected as the mean of the last 28; the range is twice the
    deviation of such a sum.
    """
    today = now().date()
    if Month.of(today) != month:
        return None
    since = today - timedelta(days=LOOKED_BACK)
    rows = UsageDay.objects.filter(organization_id=organization_id, day__gte=since, day__lt=today)
    sums = dict(rows.values_list("day").annotate(sum=Sum("task_runs")))
    if not sums:
        return None
    first = min(sums)
    seen = [int(sums.get(first + timedelta(days=number), 0)) for number in range((today - first).days)]
    left = (month.end - now()) / timedelta(days=1)
    expected = used + round(fmean(seen) * left)
    spread = round(2 * pstdev(seen) * left**0.5)
    return Forecast(expected, max(expected - spread, used), expected + spread)


def csv_lines(organization_id: UUID, month: Month) -> Iterator[str]:
    """All days of a month as CSV. Read in pieces, each in a transaction of its own: a slow reader holds none open."""
    yield "day,workspace,deployment,task_runs,flow_runs,run_time_seconds,cpu_seconds,log_bytes\r\n"
    place: tuple[date, UUID] | None = None
    while True:
        with tenant_scope(organization_id):
            found = _in(organization_id, month).order_by("day", "id")
            if place:
                found = found.filter(day__gte=place[0]).exclude(day=place[0], id__lte=place[1])
            rows = list(found[:EXPORTED_AT_ONCE])
            names = _names([{"deployment_id": row.deployment_id, "workspace_id": row.workspace_id} for row in rows])
        for row in rows:
            name, workspace = names({"deployment_id": row.deployment_id, "workspace_id": row.workspace_id})
            seconds = [f"{int(value) / 1e6:.3f}" for value in (row.run_time, row.cpu)]
            numbers = [str(row.task_runs), str(row.flow_runs), *seconds, str(row.log_bytes)]
            yield ",".join([row.day.isoformat(), _cell(workspace), _cell(name), *numbers]) + "\r\n"
        if len(rows) < EXPORTED_AT_ONCE:
            return
        place = (rows[-1].day, rows[-1].id)


def _cell(text: str) -> str:
    """A name in a cell. One that a spreadsheet would take for a formula gets an apostrophe before it."""
    if text[:1] in "=+-@\t\r":
        text = f"'{text}"
    return '"' + text.replace('"', '""') + '"'


def _in(organization_id: UUID, month: Month) -> Any:
    return UsageDay.objects.filter(organization_id=organization_id, day__gte=month.first, day__lt=month.following.first)
