"""What an organization used: a month by day, by workspace and deployment, and its forecast."""

from __future__ import annotations

from typing import Any

from django.http import HttpRequest, HttpResponse, StreamingHttpResponse
from django.template.response import TemplateResponse
from django.utils.timezone import now

from runs.usage import shown
from tenants.access import organization_page
from tenants.billing.limits import METERS, limit_of, used_in
from tenants.billing.months import Month
from tenants.billing.statements import statement
from tenants.errors import Invalid

MONTHS = 12  # that can be chosen


@organization_page("usage.view")
def index(request: HttpRequest) -> HttpResponse:
    """The month of the address, this one without."""
    month = _month(request.GET.get("month", ""))
    by = request.GET.get("by", "") if request.GET.get("by") in shown.BY else "deployment"
    meter = request.GET.get("meter", "") if request.GET.get("meter") in METERS else "task_runs"
    id = request.organization.id
    used, before = used_in(id, month), used_in(id, month.former)
    rows, left_out = shown.shares(id, month, by, meter)
    context: dict[str, Any] = {
        "section": "organization-usage",
        "month": month, "months": _months(), "by": by, "meter": meter, "labels": shown.LABELS, "used": used,
        "days": shown.days_of(id, month, meter), "rows": rows, "left_out": left_out, "ways": list(shown.BY),
        "forecast": shown.forecast(id, month, used["task_runs"]), "limit": limit_of(id),
        "meters": [(name, label, used[name], before[name]) for name, label in shown.LABELS.items()],
        "is_open": month == Month.of(now()),
    } | _money(request, month)  # fmt: skip
    return TemplateResponse(request, "runs/usage.html", context)


def _money(request: Any, month: Month) -> dict[str, Any]:
    owed = statement(request.organization.id, month)
    return {"plan": owed.plan, "owed": owed}


@organization_page("usage.view")
def export(request: HttpRequest) -> HttpResponse:
    """A month as CSV: a line for each day, workspace and deployment."""
    month = _month(request.GET.get("month", ""))
    response = StreamingHttpResponse(shown.csv_lines(request.organization.id, month), content_type="text/csv")
    response.headers["Content-Disposition"] = f'attachment; filename="usage-{request.organization.slug}-{month}.csv"'
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
