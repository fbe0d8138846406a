"""Whom to bill, and how far the organization itself lets its runs go."""

from __future__ import annotations

from hashlib import sha256
from uuid import UUID

from django.conf import settings
from django.core.exceptions import ValidationError
from django.core.validators import validate_email
from django.utils.timezone import now

from orchestrator.storable import clean_text
from tenants import mail
from tenants.audit import record
from tenants.billing.models import BillingAccount
from tenants.errors import Invalid
from tenants.models import Membership, OrganizationRole
from tenants.permissions import Actor

MAX_LIMIT = 10**12  # task runs a month
MAX_MAILS = 20


def account_of(organization_id: UUID) -> BillingAccount:
    """The account of an organization; a blank one, not saved, where nothing was entered."""
    found = BillingAccount.objects.filter(organization_id=organization_id).first()
    return found or BillingAccount(organization_id=organization_id)


def edit_details(*, company: str, address: str, tax_id: str, email: str, by: Actor) -> BillingAccount:
    """Change what stands on invoices.

    Raises:
        Invalid: A value is too long, or the address is none; `fields` says which.
    """
    values = {name: clean_text(text.strip()) for name, text in
              {"company": company, "address": address, "tax_id": tax_id, "email": email}.items()}  # fmt: skip
    bounds = {"company": 200, "address": 1_000, "tax_id": 60, "email": 254}
    wrong = {name: f"At most {most:,} characters." for name, most in bounds.items() if len(values[name]) > most}
    if values["email"]:
        try:
            validate_email(values["email"])
        except ValidationError:
            wrong["email"] = "An address like billing@example.com."
    if wrong:
        raise Invalid("The billing details can't be taken.", fields=wrong)
    row = _save(by, values)
    record(by, "billing.updated", row, name="Billing details", details={"fields": sorted(values)})
    return row


def edit_limit(*, limit: int | None, at_limit: str, under_way: str, by: Actor) -> BillingAccount:
    """Change how many task runs a month may have, and what happens then.

    Raises:
        Invalid: It is no such number or policy; `fields` says which.
    """
    wrong = {}
    if limit is not None and not 0 <= limit <= MAX_LIMIT:
        wrong["limit"] = f"0 to {MAX_LIMIT:,} task runs, or nothing."
    if at_limit not in BillingAccount.AtLimit.values:
        wrong["at_limit"] = "One of the choices."
    if under_way not in BillingAccount.UnderWay.values:
        wrong["under_way"] = "One of the choices."
    if wrong:
        raise Invalid("The limit can't be taken.", fields=wrong)
    before = account_of(by.organization_id).limit
    row = _save(by, {"limit": limit, "at_limit": at_limit, "under_way": under_way})
    record(by, "limit.changed", row, name="Limit of task runs",
           details={"from": before, "to": limit, "at_limit": at_limit, "under_way": under_way})  # fmt: skip
    return row


def _save(by: Actor, values: dict) -> BillingAccount:
    row, _ = BillingAccount.objects.update_or_create(
        organization_id=by.organization_id, defaults=values | {"updated_at": now()}
    )
    return row


def tell_of_money(organization_id: UUID, subject: str, text: str, *, key: str) -> None:
    """Mail those who pay, each once for a key, where the installation can send mail."""
    if not settings.MAIL_CONFIGURED:
        return
    for to in told_of_money(organization_id):
        own = f"{key}:{sha256(to.encode()).hexdigest()}"  # An address may be longer than a key.
        mail.send(organization_id=organization_id, to=to, subject=subject, text=text, key=own)


def told_of_money(organization_id: UUID) -> list[str]:
    """Addresses of those who are told: the account's own, else those who may change the plan."""
    own = account_of(organization_id).email
    if own:
        return [own]
    roles = [OrganizationRole.OWNER, OrganizationRole.BILLING]
    rows = Membership.objects.filter(organization_id=organization_id, role__in=roles, user__is_active=True)
    return list(rows.order_by("created_at").values_list("user__email", flat=True)[:MAX_MAILS])
