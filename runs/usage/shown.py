"""Where a month's usage went, meter by meter: by deployment, workspace, tag, day, and what else a meter knows.

From days alone, all bounded.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any
from uuid import UUID

from django.db.models import Sum

from runs.models import Deployment
from runs.usage import api_calls, storage
from runs.usage.meters import SHOWN, Meter
from runs.usage.recount import METERS
from runs.usage.tags import OTHERS
from tenants.billing.models import MeterDay, TagDay, UsageDay
from tenants.billing.months import Month
from tenants.models import Workspace

ROWS = 50  # of the page's table
EXPORTED = 10_000  # of the table as CSV
COLUMNS = {
    "workspace": ["workspace_id"],
    "deployment": ["deployment_id", "workspace_id"],
    "tag": ["tag"],
    "day": ["day"],
    "credential": ["kind"],
    "content": ["kind"],
}

Name = Callable[[dict[str, Any]], tuple[str, str]]
"""What a row is called, and where it is."""


@dataclass(frozen=True, slots=True)
class Share:
    """One row of where a month's usage went."""

    key: Any
    name: str
    place: str
    meters: dict[str, int]
    share: float


def shares(organization_id: UUID, month: Month, by: str, meter: str, *, most: int = ROWS) -> tuple[list[Share], int]:
    """Where a month's usage went, the most first (days in their order), and how many rows are left out.

    What runs used comes with all their meters in each row, other meters alone.
    """
    wanted = SHOWN[meter]
    rows, left_out = _grouped(organization_id, month, by, wanted, most)
    whole = _whole(organization_id, month, wanted)
    names = names_of(rows)
    found = []
    for row in rows:
        meters = {name: int(row[f"sum_{name}"] or 0) for name in _with(wanted)}
        name, place = names(row)
        found.append(Share(row[COLUMNS[by][0]], name, place, meters, meters[meter] / whole if whole else 0.0))
    if wanted.month == "mean" and by != "day":
        days = _measured_days(organization_id, month, meter)
        found = [_of_a_day(each, meter, days) for each in found]
    return found, left_out


def _with(meter: Meter) -> tuple[str, ...]:
    return METERS if meter.is_of_runs else (meter.name,)


def _grouped(organization_id: UUID, month: Month, by: str, meter: Meter, most: int) -> tuple[list[dict[str, Any]], int]:
    columns = COLUMNS[by]
    found = _in(_rows_of(meter, by), organization_id, month).values(*columns)
    found = found.annotate(**{f"sum_{name}": Sum(name if meter.is_of_runs else "amount") for name in _with(meter)})
    rows = list(found.order_by(*(["day"] if by == "day" else [f"-sum_{meter.name}", *columns]))[:most])
    return rows, max(found.count() - most, 0) if len(rows) == most else 0


def _rows_of(meter: Meter, by: str) -> Any:
    if not meter.is_of_runs:
        return MeterDay.objects.filter(meter=meter.name)
    return TagDay.objects.all() if by == "tag" else UsageDay.objects.all()


def _whole(organization_id: UUID, month: Month, meter: Meter) -> int:
    """All of it: with several tags to a run, what tags add up to is more."""
    rows = _in(_rows_of(meter, ""), organization_id, month)
    return int(rows.aggregate(sum=Sum(meter.name if meter.is_of_runs else "amount"))["sum"] or 0)


def _measured_days(organization_id: UUID, month: Month, meter: str) -> int:
    rows = _in(MeterDay.objects.filter(meter=meter), organization_id, month)
    return max(rows.values("day").distinct().count(), 1)


def _of_a_day(share: Share, meter: str, days: int) -> Share:
    return Share(share.key, share.name, share.place, {meter: round(share.meters[meter] / days)}, share.share)


def names_of(rows: list[dict[str, Any]]) -> Name:
    """What rows are called. Asks at most twice, however many there are."""
    deployments = {row["deployment_id"] for row in rows if row.get("deployment_id")}
    workspaces = {row.get("workspace_id") for row in rows} - {None}
    known = {d.id: str(d) for d in Deployment.objects.filter(id__in=deployments).select_related("flow")}
    places = dict(Workspace.objects.filter(id__in=workspaces).values_list("id", "name"))

    def name(row: dict[str, Any]) -> tuple[str, str]:
        place = places.get(row.get("workspace_id"), "a deleted workspace")
        if "day" in row:
            return f"{row['day'].day} {row['day']:%B}", ""
        if "tag" in row:
            return ("Other tags", "") if row["tag"] == OTHERS else (row["tag"], "")
        if "kind" in row:
            return (api_calls.KINDS | storage.KINDS).get(row["kind"], row["kind"]), ""
        if "deployment_id" not in row:
            return (place, "") if row["workspace_id"] else ("All workspaces together", "")
        if row["deployment_id"] is None:
            return "Called by hand", place
        return known.get(row["deployment_id"], "A deleted deployment"), place

    return name


def _in(rows: Any, organization_id: UUID, month: Month) -> Any:
    return rows.filter(organization_id=organization_id, day__gte=month.first, day__lt=month.following.first)
