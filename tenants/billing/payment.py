"""How money comes in. A provider is a module with these three functions; ours is the invoice sent by hand.

`settings.PAYMENT_PROVIDER` names another one.
"""

from __future__ import annotations

from importlib import import_module
from typing import Protocol, cast
from uuid import UUID

from django.conf import settings

from tenants.billing.models import Invoice
from tenants.billing.plans import Plan


class Provider(Protocol):
    """What a way to pay has to know."""

    def begin_checkout(self, organization_id: UUID, plan: Plan) -> str | None:
        """Where the customer enters how to pay for a plan; None: nothing is to be entered, the plan may begin."""
        ...

    def portal_url(self, organization_id: UUID) -> str | None:
        """Where the customer sees and changes how to pay; None: nowhere."""
        ...

    def charge(self, invoice: Invoice) -> str:
        """Ask for the money of a closed month; what the provider calls the payment. May be asked again."""
        ...


def provider() -> Provider:
    """The one of this installation."""
    return cast(Provider, import_module(settings.PAYMENT_PROVIDER))
