"""What an organization used: a month by meter, by day, by what it went to, and its forecast."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

from django.http import HttpRequest, HttpResponse, StreamingHttpResponse
from django.template.response import TemplateResponse
from django.utils.timezone import now

from runs.usage import exports, shown
from runs.usage.forecasts import LOOKED_BACK, forecast
from runs.usage.meters import SHOWN, days_between, each_day, month_of
from tenants.access import organization_page
from tenants.billing.limits import limit_of
from tenants.billing.months import Month
from tenants.billing.statements import statement
from tenants.errors import Invalid

MONTHS = 12  # that can be chosen


@organization_page("usage.view")
def index(request: HttpRequest) -> HttpResponse:
    """The month of the address, this one without."""
    month, id = _month(request.GET.get("month", "")), request.organization.id
    meter = SHOWN.get(request.GET.get("meter", ""), SHOWN["task_runs"])
    by = request.GET.get("by", "") if request.GET.get("by") in meter.ways else meter.ways[0]
    days = days_between(id, min(month.former.first, now().date() - timedelta(days=LOOKED_BACK)), month.following.first)
    rows, left_out = shown.shares(id, month, by, meter.name)
    meters = [
        (each, month_of(each, days[each.name], month), forecast(each, days[each.name], month),
         month_of(each, days[each.name], month.former))
        for each in SHOWN.values()
    ]  # fmt: skip
    others = [each for each in SHOWN.values() if each.is_of_runs and each != meter] if meter.is_of_runs else []
    context: dict[str, Any] = {
        "section": "organization-usage",
        "month": month, "months": _months(), "is_open": month == Month.of(now()), "limit": limit_of(id),
        "by": by, "meter": meter, "meters": meters, "used": meters[0][1], "forecast": meters[0][2],
        "days": each_day(days[meter.name], month), "rows": rows, "left_out": left_out, "columns": others,
        "has_shares": meter.month == "sum" or by != "day",
    } | _money(request, month)  # fmt: skip
    return TemplateResponse(request, "runs/usage.html", context)


def _money(request: Any, month: Month) -> dict[str, Any]:
    owed = statement(request.organization.id, month)
    return {"plan": owed.plan, "owed": owed}


@organization_page("usage.view")
def export(request: HttpRequest) -> HttpResponse:
    """A month as CSV: a line for each day, workspace and deployment; or, with `by` and `meter`, the page's table."""
    month, id = _month(request.GET.get("month", "")), request.organization.id
    by, meter = request.GET.get("by", ""), request.GET.get("meter", "task_runs")
    name = f"usage-{request.organization.slug}-{month}"
    if exports.is_table(by, meter):
        lines, name = exports.table_lines(id, month, by, meter), f"{name}-{meter}-by-{by}"
    else:
        lines = exports.day_lines(id, month)
    response = StreamingHttpResponse(lines, content_type="text/csv")
    response.headers["Content-Disposition"] = f'attachment; filename="{name}.csv"'
    return response


def _month(text: str) -> Month:
    """The month that is asked for, if it is one that was; else this one."""
    current = Month.of(now())
    try:
        asked = Month.read(text) if text else current
    except Invalid:
        return current
    return min(asked, current)


def _months() -> list[Month]:
    months = [Month.of(now())]
    while len(months) < MONTHS:
        months.append(months[-1].former)
    return months
