"""What is agreed by contract or comes by hand: a plan, a credit, a payment."""

from __future__ import annotations

from decimal import Decimal, InvalidOperation
from typing import Any

from django.core.management.base import BaseCommand, CommandError, CommandParser

from tenants.billing.statements import billing_actor, find_invoice, give_credit, mark_paid
from tenants.billing.subscriptions import change_plan
from tenants.errors import Problem
from tenants.models import Organization
from tenants.permissions import Actor
from tenants.scope import system_scope, tenant_scope


class Command(BaseCommand):
    help = __doc__

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("organization", help="its slug")
        parser.add_argument("action", choices=["plan", "credit", "paid"])
        parser.add_argument("value", help="a plan, an amount, or the number of an invoice")
        parser.add_argument("--reason", default="", help="of a credit, which must have one: the customer reads it")

    def handle(self, *, organization: str, action: str, value: str, reason: str, **options: Any) -> None:
        """Find the organization and do it there."""
        with system_scope():
            id = Organization.objects.filter(slug=organization).values_list("id", flat=True).first()
        if id is None:
            raise CommandError(f"There is no organization {organization!r}.")
        try:
            with tenant_scope(id):
                self.stdout.write(getattr(self, f"_{action}")(billing_actor(id), value, reason))
        except (Problem, InvalidOperation, ValueError) as error:
            raise CommandError(str(error)) from error

    def _plan(self, by: Actor, value: str, reason: str) -> str:
        period = change_plan(slug=value, by=by, by_contract=True)
        return f"{period.plan.name} from {period.begins_at or 'now'} on."

    def _credit(self, by: Actor, value: str, reason: str) -> str:
        row = give_credit(amount=Decimal(value), reason=reason, by=by)
        return f"A credit of {row.amount}."

    def _paid(self, by: Actor, value: str, reason: str) -> str:
        invoice = find_invoice(by.organization_id, int(value))
        return f"{invoice.label} is paid." if mark_paid(invoice, by=by) else f"{invoice.label} was paid before."
