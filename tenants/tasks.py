"""Ticks and work of tenants. Each is idempotent; arguments are ids only."""

from __future__ import annotations

import time
from uuid import UUID

from celery import shared_task
from django.utils.timezone import now

from tenants import audit, mail, outbox  # noqa: F401 - mail registers what delivers mails
from tenants.scope import system_scope

DELIVER_SECONDS = 20.0  # Then a worker looks after somebody else; the tick comes again.
FORGOTTEN_AT_ONCE = 1_000


@shared_task
def seal_audit() -> None:
    """Number and chain the audit entries that were written since the last time."""
    for organization_id in audit.organizations_to_seal():
        audit.seal_entries(organization_id)


@shared_task
def find_messages() -> None:
    """Have what is due delivered, organization by organization, on the queue for work that may be slow."""
    with system_scope():
        found = outbox.due(now())
    for organization_id in found:
        deliver_messages.apply_async([str(organization_id)], expires=10)


@shared_task
def deliver_messages(organization_id: str) -> None:
    """Deliver what is due in one organization, one message after the other."""
    until = time.monotonic() + DELIVER_SECONDS
    while time.monotonic() < until and (message := outbox.claim(UUID(organization_id))):
        outbox.deliver(message)


@shared_task
def forget_messages() -> None:
    """Remove old messages, a bounded number in each transaction."""
    gone = FORGOTTEN_AT_ONCE
    while gone == FORGOTTEN_AT_ONCE:
        with system_scope():
            gone = outbox.forget(limit=FORGOTTEN_AT_ONCE)
