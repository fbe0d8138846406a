"""The mail of an invoice: its number, amount, terms and address, written in the transaction that closes the month."""

from __future__ import annotations

from django.conf import settings
from django.urls import reverse

from tenants.billing.accounts import tell_of_money
from tenants.billing.models import Invoice
from tenants.billing.months import Month
from tenants.models import Organization


def mail_invoice(invoice: Invoice) -> None:
    """Mail a closed month once to each of those who are told of money."""
    organization = Organization.objects.get(id=invoice.organization_id)
    month, amount = Month(invoice.month).label, f"{invoice.total:,.2f} {invoice.currency}"
    subject = f"Invoice {invoice.label} of {month} for {organization.name}: {amount}"
    link = settings.PUBLIC_URL + reverse("organization-invoice", args=[organization.slug, invoice.number])
    text = (
        f"{organization.name} used {invoice.usage['task_runs']:,} task runs in {month}.\n\n"
        f"Invoice: {invoice.label}\nTo pay: {amount}\n{_terms(invoice)}\n\n{link}\n"
    )
    tell_of_money(organization.id, subject, text, key=f"invoice:{invoice.id}")


def _terms(invoice: Invoice) -> str:
    if not invoice.total:
        return "Credits have covered it: there is nothing to do."
    return f"Payable by: {invoice.due_at.day} {invoice.due_at:%B %Y}"
