"""Ticks of tenants. Each is idempotent; arguments are ids only."""

from __future__ import annotations

from celery import shared_task

from tenants import audit


@shared_task
def seal_audit() -> None:
    """Number and chain the audit entries that were written since the last time."""
    for organization_id in audit.organizations_to_seal():
        audit.seal_entries(organization_id)
