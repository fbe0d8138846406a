"""Ticks and work of tenants. Each is idempotent; arguments are ids only."""

from __future__ import annotations

import time
from uuid import UUID

from celery import shared_task
from django.utils.timezone import now

from tenants import audit, audit_keeping, mail, outbox  # noqa: F401 - mail registers what delivers mails
from tenants.leaving import exports, purge
from tenants.scope import system_scope

DELIVER_SECONDS = 20.0  # Then a worker looks after somebody else; the tick comes again.
FORGOTTEN_AT_ONCE = 1_000
PURGE_SECONDS = 20.0
TRUNCATE_SECONDS = 20.0  # The tick comes again in an hour.


@shared_task
def seal_audit() -> None:
    """Number and chain the audit entries that were written since the last time."""
    for organization_id in audit.organizations_to_seal():
        audit.seal_entries(organization_id)


@shared_task
def truncate_audit() -> None:
    """Let old entries go, a bounded number of each organization's in each transaction, for a bounded time."""
    before, until = audit_keeping.kept_since(), time.monotonic() + TRUNCATE_SECONDS
    if before is None:
        return
    for organization_id in audit_keeping.organizations_to_truncate(before):
        while time.monotonic() < until and audit_keeping.truncate(organization_id, before) == audit_keeping.AT_ONCE:
            pass


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


@shared_task
def find_departures() -> None:
    """Have what was deleted two weeks ago removed for good, tenant by tenant, on the queue for slow work."""
    with system_scope():
        found = purge.due(now())
    for gone in found:
        ids = [str(gone.organization_id), str(gone.workspace_id) if gone.workspace_id else None]
        purge_departed.apply_async(ids, expires=50)


@shared_task
def purge_departed(organization_id: str, workspace_id: str | None) -> None:
    """Remove a share of an organization, or of one workspace; the tick asks again until nothing is left."""
    gone = purge.Gone(UUID(organization_id), UUID(workspace_id) if workspace_id else None)
    purge.go_on(gone, seconds=PURGE_SECONDS)


@shared_task
def find_exports() -> None:
    """Have exports made that were asked for, on the queue for slow work."""
    with system_scope():
        found = exports.due(now())
    for organization_id, id in found:
        make_export.apply_async([str(organization_id), str(id)], expires=10)


@shared_task
def make_export(organization_id: str, id: str) -> None:
    """Make one export."""
    exports.make(UUID(organization_id), UUID(id))


@shared_task
def forget_exports() -> None:
    """Remove exports that nobody may fetch any more."""
    exports.forget(now())
