"""Blocks and variables go along when their workspace moves; their secrets are sealed anew on the way."""

from __future__ import annotations

from blocks.models import BlockVersion
from blocks.versions import place_of
from tenants import encryption
from tenants.errors import Conflict
from tenants.leaving.transfer import follows, goes_along
from tenants.models import Workspace
from tenants.scope import another_tenant

goes_along("variable", "block_type", "block", "block_version", "block_reference")


@follows
def seal_anew(workspace: Workspace, made: Workspace) -> None:
    """Open each secret by the key of the organization that is left, and seal it by the other one's."""
    sealed = BlockVersion.objects.filter(block__workspace=workspace, sealed__isnull=False)
    for version in sealed.only("id", "organization_id", "sealed").iterator(chunk_size=100):
        place = place_of(version)
        try:
            plain = encryption.unseal(version.organization_id, bytes(version.sealed), place)
        except encryption.CannotUnseal:
            raise Conflict(
                "Secrets of a block can't be opened any more. Save it with new ones, or delete it."
            ) from None
        with another_tenant(made.organization_id):
            anew = encryption.seal(made.organization_id, plain, place)
            BlockVersion.objects.filter(id=version.id).update(sealed=anew)
