"""Usage as CSV: every day of a month in its detail, or the table that the page shows."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from datetime import date
from uuid import UUID

from runs.usage.meters import SHOWN
from runs.usage.recount import METERS
from runs.usage.shown import EXPORTED, names_of, shares
from tenants.billing.models import UsageDay
from tenants.billing.months import Month
from tenants.scope import tenant_scope

AT_ONCE = 2_000
COLUMNS = {"run_time": "run_time_seconds", "cpu": "cpu_seconds", "storage": "storage_bytes"}
IN_ORDER = ("task_runs", "flow_runs", "run_time", "cpu", "log_bytes")


def day_lines(organization_id: UUID, month: Month) -> Iterator[str]:
    """All days of a month. Read in pieces, each in a transaction of its own: a slow reader holds none open."""
    yield _line(["day", "workspace", "deployment", *map(_column, IN_ORDER)])
    place: tuple[date, UUID] | None = None
    while True:
        with tenant_scope(organization_id):
            days = {"day__gte": month.first, "day__lt": month.following.first}
            found = UsageDay.objects.filter(organization_id=organization_id, **days).order_by("day", "id")
            if place:
                found = found.filter(day__gte=place[0]).exclude(day=place[0], id__lte=place[1])
            rows = list(found[:AT_ONCE])
            places = [{"deployment_id": row.deployment_id, "workspace_id": row.workspace_id} for row in rows]
            names = names_of(places)
        for row, where in zip(rows, places, strict=True):
            name, workspace = names(where)
            numbers = [_number(meter, int(getattr(row, meter))) for meter in IN_ORDER]
            yield _line([row.day.isoformat(), _cell(workspace), _cell(name), *numbers])
        if len(rows) < AT_ONCE:
            return
        place = (rows[-1].day, rows[-1].id)


def table_lines(organization_id: UUID, month: Month, by: str, meter: str) -> Iterator[str]:
    """A month broken down as on the page, with the `EXPORTED` largest rows."""
    meters = IN_ORDER if meter in METERS else (meter,)
    places = ["workspace"] if by == "deployment" else []
    yield _line([by, *places, *map(_column, meters)])
    with tenant_scope(organization_id):
        rows, _ = shares(organization_id, month, by, meter, most=EXPORTED)
    for row in rows:
        name = row.key.isoformat() if by == "day" else _cell(row.name)
        yield _line([name, *(_cell(row.place) for _ in places), *(_number(each, row.meters[each]) for each in meters)])


def is_table(by: str, meter: str) -> bool:
    """Whether a meter breaks down so."""
    return meter in SHOWN and by in SHOWN[meter].ways


def _column(meter: str) -> str:
    return COLUMNS.get(meter, meter)


def _number(meter: str, value: int) -> str:
    return f"{value / 1e6:.3f}" if meter in {"run_time", "cpu"} else str(value)


def _line(cells: Iterable[str]) -> str:
    return ",".join(cells) + "\r\n"


def _cell(text: str) -> str:
    """A name in a cell. One that a spreadsheet would take for a formula gets an apostrophe before it."""
    if text[:1] in "=+-@\t\r":
        text = f"'{text}"
    return '"' + text.replace('"', '""') + '"'
