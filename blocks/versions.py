"""Versions of a block: the one place that writes what a block holds, and seals and opens its secrets."""

from __future__ import annotations

import json
import logging
from collections.abc import Mapping
from typing import Any

from django.db.models import F, QuerySet
from django.utils.timezone import now

from blocks.models import Block, BlockVersion
from orchestrator.block_data import Stored, Taken
from orchestrator.ids import uuid7
from orchestrator.wire import encode
from tenants import encryption
from tenants.errors import NotFound, Unavailable
from tenants.permissions import Actor

logger = logging.getLogger(__name__)

KEPT = 50  # versions of one block


def current(block: Block) -> BlockVersion:
    """What the block holds now.

    Raises:
        NotFound: It was deleted in this moment.
    """
    return find(block, block.version)


def current_ones(blocks: list[Block]) -> dict[Any, BlockVersion]:
    """What each of these blocks holds now, by the block's id; nothing of one that was deleted in this moment."""
    return {version.block_id: version for version in _newest(blocks)}


def sizes_of(blocks: list[Block]) -> dict[Any, int]:
    """How many bytes each of these blocks holds, by the block's id."""
    return dict(_newest(blocks).values_list("block_id", "size"))


def _newest(blocks: list[Block]) -> QuerySet[BlockVersion]:
    return BlockVersion.objects.filter(block__in=[block.id for block in blocks], number=F("block__version"))


def of(block: Block) -> QuerySet[BlockVersion]:
    """The versions that are kept, newest first."""
    return BlockVersion.objects.filter(block=block).order_by("-number")


def find(block: Block, number: int) -> BlockVersion:
    """One version.

    Raises:
        NotFound: There is none of this number, or no longer.
    """
    version = of(block).filter(number=number).first() if 0 < number < 2**31 else None
    if version is None:
        raise NotFound(f"There is no version {number} of this block. The last {KEPT} are kept.")
    return version


def stored(version: BlockVersion, *, lost: bool = False) -> Stored:
    """A version with its secrets. These go to who may use the block, and into a new version: nowhere else.

    Args:
        lost: Go on without secrets that can't be opened any more, so that they can be given anew.

    Raises:
        Unavailable: They can't be opened.
    """
    try:
        return Stored(version.data, unsealed(version))
    except encryption.CannotUnseal as error:
        logger.error("the secrets of block version %s can't be opened: %s", version.id, error)
        if lost:
            return Stored(version.data)
        raise Unavailable("The block's secrets can't be opened any more. Save it with new ones.") from None


def unsealed(version: BlockVersion) -> dict[str, Any]:
    """The secrets of a version, by their places.

    Raises:
        CannotUnseal: They were altered, or their key is gone.
    """
    if version.sealed is None:
        return {}
    return json.loads(encryption.unseal(version.organization_id, bytes(version.sealed), place_of(version)))


def place_of(version: BlockVersion) -> str:
    """What the secrets of a version are bound to: copied to another row they can't be opened."""
    return f"block_version/{version.id}"


def add(block: Block, taken: Taken, *, by: Actor, places: Mapping[str, Any], note: str = "") -> BlockVersion:
    """Make this the block's newest version, and let go of those beyond the last 50."""
    version = BlockVersion(
        id=uuid7(),
        organization_id=block.organization_id,
        block=block,
        number=block.version + 1,
        data=taken.data,
        secret_places=dict(places),
        size=len(encode(taken.data)),
        note=note,
        created_by=by.label[:254],
    )
    if taken.secrets:
        version.sealed = encryption.seal(block.organization_id, encode(taken.secrets), place_of(version))
    version.save(force_insert=True)
    block.version, block.updated_at, block.updated_by = version.number, now(), by.label[:254]
    block.save(update_fields=["version", "updated_at", "updated_by"])
    BlockVersion.objects.filter(block=block, number__lte=version.number - KEPT).delete()
    return version


def places_of(taken: Taken, before: BlockVersion | None, known: Stored, number: int, by: Actor) -> dict[str, Any]:
    """Of each secret when, by whom and in which version it was set. One that stays the same keeps its origin."""
    former = before.secret_places if before else {}
    places: dict[str, Any] = {}
    for place, value in taken.secrets.items():
        was = taken.kept.get(place, place)
        same = was in former and was in known.secrets and known.secrets[was] == value
        places[place] = former[was] if same else {"at": now().isoformat(), "by": by.label[:254], "version": number}
    return places
