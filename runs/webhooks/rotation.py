"""Seal the secrets of webhooks anew after their organization was given a new data key."""

from __future__ import annotations

from uuid import UUID

from runs.models import Webhook
from runs.webhooks import signatures
from tenants import encryption
from tenants.scope import tenant_scope


def reseal(organization_id: UUID) -> int:
    """Seal by the newest data key what older ones sealed; answer how many. A workspace has few webhooks."""
    with tenant_scope(organization_id):
        rows = Webhook.objects.filter(sealed__isnull=False).select_for_update().order_by("id")
        return sum(_resealed(row) for row in rows)


def _resealed(row: Webhook) -> bool:
    sealed = bytes(row.sealed or b"")
    if encryption.is_current(row.organization_id, sealed):
        return False
    plain = encryption.unseal(row.organization_id, sealed, signatures.place_of(row))
    anew = encryption.seal(row.organization_id, plain, signatures.place_of(row))
    return Webhook.objects.filter(id=row.id).update(sealed=anew) == 1
