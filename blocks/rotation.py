"""Seal the secrets of blocks anew after their organization was given a new data key."""

from __future__ import annotations

from uuid import UUID

from django.db.models import QuerySet

from blocks.models import BlockVersion
from blocks.versions import place_of
from tenants import encryption
from tenants.scope import tenant_scope

BATCH = 500


def reseal(organization_id: UUID, batch: int = BATCH) -> int:
    """Seal by the newest data key what older ones sealed, each batch in a transaction; answer how many versions.

    May run while blocks are read and written. Opens scopes of its own.

    Raises:
        CannotUnseal: A version was altered, or its key is gone. What was resealed before stays so.
    """
    done, last = 0, UUID(int=0)
    while True:
        with tenant_scope(organization_id):
            rows = list(_sealed_after(last)[:batch])
            done += sum(_resealed(row) for row in rows)
        if len(rows) < batch:
            return done
        last = rows[-1].id


def _sealed_after(last: UUID) -> QuerySet[BlockVersion]:
    rows = BlockVersion.objects.filter(id__gt=last, sealed__isnull=False).order_by("id")
    return rows.only("id", "organization_id", "sealed")


def _resealed(row: BlockVersion) -> bool:
    sealed = bytes(row.sealed)
    if encryption.is_current(row.organization_id, sealed):
        return False
    plain = encryption.unseal(row.organization_id, sealed, place_of(row))
    anew = encryption.seal(row.organization_id, plain, place_of(row))
    # Nobody else writes a version, but it may be let go of in this moment.
    return BlockVersion.objects.filter(id=row.id).update(sealed=anew) == 1
