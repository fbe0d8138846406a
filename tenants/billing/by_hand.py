"""Payment by hand: the invoice was mailed with its terms (`invoice_mail.py`), and somebody notes when it was paid."""

from __future__ import annotations

from uuid import UUID

from tenants.billing.models import Invoice
from tenants.billing.plans import Plan


def begin_checkout(organization_id: UUID, plan: Plan) -> str | None:
    """Nothing is to be entered before a plan begins."""
    return None


def portal_url(organization_id: UUID) -> str | None:
    """There is nothing to change."""
    return None


def charge(invoice: Invoice) -> str:
    """The invoice itself is the request, and its mail left when the month was closed."""
    return f"{invoice.label} by bank transfer"
