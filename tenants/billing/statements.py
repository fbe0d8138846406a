"""The open month, computed whenever somebody looks; closed ones, as invoices that nobody changes."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import timedelta
from decimal import Decimal
from uuid import UUID

from django.db import connection, transaction
from django.db.models import Case, F, When
from django.utils.timezone import now

from orchestrator.storable import clean_text
from tenants import outbox
from tenants.audit import record
from tenants.billing.accounts import account_of
from tenants.billing.invoice_mail import mail_invoice
from tenants.billing.limits import used_in
from tenants.billing.models import Credit, Invoice
from tenants.billing.months import Month
from tenants.billing.payment import provider
from tenants.billing.plans import CURRENCY, Plan
from tenants.billing.pricing import Line, cents, month_lines, total
from tenants.billing.subscriptions import history, plan_of
from tenants.errors import Conflict, Invalid, NotFound
from tenants.models import Organization
from tenants.permissions import Actor
from tenants.scope import tenant_scope

INVOICES = 24  # of one page
CREDITS = 20  # are shown
GRACE = timedelta(minutes=15)  # After a month's end: no batch that was received in it is still being applied.


@dataclass(frozen=True, slots=True)
class Statement:
    """What a month comes to."""

    month: Month
    plan: Plan
    usage: dict[str, int]
    lines: list[Line]

    @property
    def subtotal(self) -> Decimal:
        return total(self.lines)


def statement(organization_id: UUID, month: Month, *, task_runs: int | None = None) -> Statement:
    """A month as its days stand now; with `task_runs`, what it would come to with so many."""
    usage = used_in(organization_id, month)
    number = usage["task_runs"] if task_runs is None else task_runs
    lines = month_lines(history(organization_id), month, number)
    return Statement(month, plan_of(organization_id, min(now(), month.end - timedelta(seconds=1))), usage, lines)


@transaction.atomic
def close_month(organization_id: UUID, month: Month) -> Invoice | None:
    """Make the invoice of a month that is over; None where nothing is owed. Asked again, it answers the same invoice.

    Call it inside the organization's scope, when all usage of the month is in its days.

    Raises:
        Conflict: The month is not over.
    """
    Organization.objects.select_for_update(no_key=True).get(id=organization_id)
    known = Invoice.objects.filter(organization_id=organization_id, month=month.first).first()
    if known is not None:
        return known
    if now() < month.end + GRACE:
        raise Conflict(f"{month.label} is not over. It can be closed from {month.end + GRACE:%d %B %H:%M} UTC on.")
    owed = statement(organization_id, month)
    if not owed.lines:
        return None
    credit = _use_credit(organization_id, owed.subtotal)
    invoice = Invoice.objects.create(
        organization_id=organization_id, number=_next_number(), month=month.first, plan=owed.plan.slug,
        issued_at=now(), customer=_customer(organization_id), lines=[line.as_json() for line in owed.lines],
        usage=owed.usage, currency=CURRENCY, subtotal=owed.subtotal, credit=credit, total=owed.subtotal - credit,
    )  # fmt: skip
    details = {"month": str(month), "total": str(invoice.total)}
    record(billing_actor(organization_id), "invoice.closed", invoice, name=invoice.label, details=details)
    mail_invoice(invoice)
    outbox.post(organization_id=organization_id, kind="invoice", payload={"id": str(invoice.id)}, key=str(invoice.id))
    return invoice


def billing_actor(organization_id: UUID) -> Actor:
    """Who closes months: the installation."""
    return Actor("system", organization_id, None, "", "billing")


def _next_number() -> int:
    """The next number of the installation. The row stays locked until the month is closed, so that none is lost."""
    with connection.cursor() as cursor:
        cursor.execute(
            "INSERT INTO invoice_counter AS c (id, last) VALUES (1, 1)"
            " ON CONFLICT (id) DO UPDATE SET last = c.last + 1 RETURNING last"
        )
        return cursor.fetchone()[0]


def _use_credit(organization_id: UUID, owed: Decimal) -> Decimal:
    used = Decimal("0.00")
    rows = Credit.objects.select_for_update().filter(organization_id=organization_id).order_by("created_at")
    for row in rows:
        part = min(row.amount - row.used, owed - used)
        if part > 0:
            used += part
            row.used += part
            row.save(update_fields=["used"])
    return used


def _customer(organization_id: UUID) -> dict[str, str]:
    account = account_of(organization_id)
    company = account.company or Organization.objects.values_list("name", flat=True).get(id=organization_id)
    return {"company": company, "address": account.address, "tax_id": account.tax_id, "email": account.email}


def credit_left(organization_id: UUID) -> Decimal:
    """What the next invoices will use up."""
    rows = Credit.objects.filter(organization_id=organization_id).values_list("amount", "used")
    return sum((amount - used for amount, used in rows), Decimal("0.00"))


def give_credit(*, amount: Decimal, reason: str, by: Actor) -> Credit:
    """Give an organization money; its next invoices use it up.

    Raises:
        Conflict: It is no amount.
        Invalid: It has no reason: the customer reads it.
    """
    reason = clean_text(reason.strip())[:200]
    if not Decimal(0) < amount < Decimal(10) ** 9 or amount != cents(amount):
        raise Conflict("A credit is more than nothing, and whole cents.")
    if not reason:
        raise Invalid("Say what the credit is for; the customer reads it.", fields={"reason": "A few words."})
    row = Credit.objects.create(
        organization_id=by.organization_id, amount=amount, reason=reason, given_by=by.label[:254]
    )
    record(by, "credit.given", row, name=reason, details={"amount": str(amount)})
    return row


def credits_of(organization_id: UUID) -> list[Credit]:
    """The newest credits, those with something left first."""
    rows = Credit.objects.filter(organization_id=organization_id)
    return list(rows.order_by(Case(When(used__lt=F("amount"), then=0), default=1), "-created_at")[:CREDITS])


def invoices_of(organization_id: UUID, before: Month | None = None) -> tuple[list[Invoice], Month | None]:
    """A page of closed months, the newest first; and the month before which the next page begins, if there is one."""
    rows = Invoice.objects.filter(organization_id=organization_id).order_by("-month")
    if before is not None:
        rows = rows.filter(month__lt=before.first)
    found = list(rows[: INVOICES + 1])
    return found[:INVOICES], Month(found[INVOICES - 1].month) if len(found) > INVOICES else None


def find_invoice(organization_id: UUID, number: int) -> Invoice:
    """A closed month by its number.

    Raises:
        NotFound: There is none of this number.
    """
    found = Invoice.objects.filter(organization_id=organization_id, number=number).first()
    if found is None:
        raise NotFound("There is no such invoice.")
    return found


def mark_paid(invoice: Invoice, *, by: Actor) -> bool:
    """Note that an invoice was paid; False when that was known."""
    new = Invoice.objects.filter(pk=invoice.pk, paid_at=None).update(paid_at=now()) == 1
    if new:
        record(by, "invoice.paid", invoice, name=invoice.label)
    return new


@outbox.delivers("invoice")
def ask_for_payment(message: outbox.Message) -> None:
    """Hand a closed month to the payment's provider. It may be asked twice."""
    with tenant_scope(message.organization_id):
        invoice = Invoice.objects.get(id=message.payload["id"])
    payment = provider().charge(invoice)[:200]
    with tenant_scope(message.organization_id):
        Invoice.objects.filter(id=invoice.id).update(payment=payment)
