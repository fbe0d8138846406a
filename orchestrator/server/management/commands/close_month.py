"""Make the invoices of a month that is over."""

from __future__ import annotations

from typing import Any

from django.core.management.base import BaseCommand, CommandError, CommandParser
from django.utils.timezone import now

from runs.usage.closing import close, close_all
from runs.usage.rollup import roll_up
from tenants.billing.models import Invoice
from tenants.billing.months import Month
from tenants.errors import Problem
from tenants.models import Organization
from tenants.scope import system_scope, tenant_scope


class Command(BaseCommand):
    help = __doc__

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("month", nargs="?", default="", help="like 2026-05; the last one by default")
        parser.add_argument("--organization", default="", help="the slug of one organization; all by default")

    def handle(self, *, month: str, organization: str, **options: Any) -> None:
        """Add up what is left, then close."""
        try:
            wanted = Month.read(month) if month else Month.of(now()).former
            roll_up()
            invoices = self._one(organization, wanted) if organization else close_all(wanted)
        except Problem as problem:
            raise CommandError(problem.message) from problem
        for invoice in invoices:
            self.stdout.write(f"{invoice.label}  {wanted}  {invoice.total} {invoice.currency}")
        if not invoices:
            self.stdout.write(f"Nothing to close in {wanted}.")

    def _one(self, slug: str, month: Month) -> list[Invoice]:
        with system_scope():
            id = Organization.objects.filter(slug=slug).values_list("id", flat=True).first()
        if id is None:
            raise CommandError(f"There is no organization {slug!r}.")
        with tenant_scope(id):
            invoice = close(id, month)
        return [invoice] if invoice else []
