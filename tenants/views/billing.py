"""The plan of an organization, what the month comes to, its limit, whom to bill, and its invoices."""

from __future__ import annotations

from typing import Any

from django.conf import settings
from django.contrib import messages
from django.http import HttpRequest, HttpResponse
from django.shortcuts import redirect
from django.template.response import TemplateResponse
from django.utils.timezone import now

from tenants.access import organization_page
from tenants.billing import accounts, statements, subscriptions
from tenants.billing.limits import limit_of
from tenants.billing.models import BillingAccount
from tenants.billing.months import Month
from tenants.billing.payment import provider
from tenants.billing.pdf import invoice_pdf
from tenants.billing.plans import CURRENCY, plans
from tenants.errors import Conflict, Invalid

DETAILS = ("company", "address", "tax_id", "email")
LIMITS = ("limit", "at_limit", "under_way")


@organization_page("billing.view")
def index(request: HttpRequest) -> HttpResponse:
    """The plan, the open month, limit and details, and closed months."""
    return _page(request)


@organization_page({"POST": "billing.edit"})
def change_plan(request: HttpRequest) -> HttpResponse:
    """Another plan: at once or with the next month, or first to where it is paid for."""
    slug = request.POST.get("plan", "")[:40]
    wanted = plans().get(slug)
    try:
        if wanted and wanted.is_priced and (url := provider().begin_checkout(request.organization.id, wanted)):
            return redirect(url)
        period = subscriptions.change_plan(slug=slug, by=request.actor)
    except (Invalid, Conflict) as problem:
        messages.error(request, problem.message)
    else:
        messages.success(request, _told(period))
    return redirect("organization-billing", request.organization.slug)


def _told(period: subscriptions.Period) -> str:
    if period.begins_at and period.begins_at > now():
        return f"The plan {period.plan.name} begins on {period.begins_at.day} {period.begins_at:%B}."
    return f"The plan is {period.plan.name} now."


@organization_page({"POST": "billing.edit"})
def change_limit(request: HttpRequest) -> HttpResponse:
    """How many task runs a month may have, and what happens then."""
    typed = {name: request.POST.get(name, "").strip()[:40] for name in LIMITS}
    number = typed["limit"].replace(",", "").replace(" ", "")
    try:
        if number and not (number.isascii() and number.isdecimal()):
            raise Invalid("The limit can't be taken.", fields={"limit": "A whole number of task runs, or nothing."})
        accounts.edit_limit(limit=int(number) if number else None, at_limit=typed["at_limit"],
                            under_way=typed["under_way"], by=request.actor)  # fmt: skip
    except Invalid as problem:
        return _page(request, typed=typed, errors=problem.fields)
    messages.success(request, "The limit is saved.")
    return redirect("organization-billing", request.organization.slug)


@organization_page({"POST": "billing.edit"})
def change_details(request: HttpRequest) -> HttpResponse:
    """What stands on invoices."""
    typed = {name: request.POST.get(name, "")[:2_000] for name in DETAILS}
    try:
        accounts.edit_details(**typed, by=request.actor)
    except Invalid as problem:
        return _page(request, typed=typed, errors=problem.fields)
    messages.success(request, "The billing details are saved.")
    return redirect("organization-billing", request.organization.slug)


@organization_page("billing.view")
def invoice(request: HttpRequest, number: int) -> HttpResponse:
    """A closed month as a PDF file."""
    found = statements.find_invoice(request.organization.id, number)
    name = f"{request.organization.slug}-{found.label}.pdf"
    headers = {"Content-Disposition": f'inline; filename="{name}"', "Cache-Control": "private, no-store"}
    return HttpResponse(invoice_pdf(found), content_type="application/pdf", headers=headers)


def _page(request: Any, *, typed: dict[str, str] | None = None, errors: dict[str, str] | None = None) -> HttpResponse:
    id = request.organization.id
    account = accounts.account_of(id)
    shown = {name: getattr(account, name) for name in (*DETAILS, *LIMITS)}
    owed = statements.statement(id, Month.of(now()))
    invoices, older = statements.invoices_of(id, _before(request.GET.get("before", "")))
    context = {
        "section": "organization-billing",
        "billing": settings.BILLING, "currency": CURRENCY, "plan": owed.plan, "owed": owed,
        "ahead": subscriptions.change_ahead(id), "limit": limit_of(id), "credit": statements.credit_left(id),
        "plans": [plan for plan in plans().values() if plan.slug != "self-hosted"],
        "typed": shown | {"limit": "" if account.limit is None else str(account.limit)} | (typed or {}),
        "errors": errors or {}, "at_limits": BillingAccount.AtLimit.choices,
        "under_ways": BillingAccount.UnderWay.choices, "portal": provider().portal_url(id),
        "invoices": invoices, "older": older, "credits": statements.credits_of(id),
    }  # fmt: skip
    return TemplateResponse(request, "tenants/billing.html", context, status=400 if errors else 200)


def _before(text: str) -> Month | None:
    try:
        return Month.read(text) if text else None
    except Invalid:
        return None
