"""Which block names which: kept beside the current versions, so that nothing that is used can be deleted."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Collection, Iterable, Mapping
from dataclasses import dataclass
from typing import Any
from uuid import UUID

from django.db import IntegrityError, transaction
from django.db.models import Count, Q, QuerySet

from blocks.models import Block, BlockReference
from orchestrator.block_data import field_of
from tenants.errors import Conflict, Invalid
from tenants.permissions import Actor

MAX_SHOWN = 100  # users of one block


@dataclass(frozen=True, slots=True)
class User:
    """Something that uses a block: a `block`, a `deployment`, an `automation`.

    `page` and `arguments` make the address of its page, within the workspace.
    """

    kind: str
    name: str
    page: str
    arguments: tuple[Any, ...]


Read = Callable[[UUID, Collection[str], Actor | None], Iterable[tuple[str, User]]]
_others: list[Read] = []


def tells_users(read: Read) -> Read:
    """Let another app tell what else uses blocks: called with a workspace, the blocks' names (`type/name`) and who
    asks, if somebody does, it answers each use that they may see with the name. It is called in the tenant's scope,
    and bounds itself.
    """
    _others.append(read)
    return read


def blocks_using(block: Block) -> QuerySet[Block]:
    """The blocks whose current version names this one, by name."""
    users = BlockReference.objects.filter(target=block).values("block_id")
    return Block.objects.filter(id__in=users).order_by("type", "name")


def users_of(block: Block, by: Actor | None = None) -> list[User]:
    """All that uses a block: other blocks, if somebody asks those that they may see, and what other apps know of."""
    blocks = blocks_using(block).allowing(by, "blocks.view") if by else blocks_using(block)
    found = [User("block", each.path, "block", (each.type, each.name)) for each in blocks[:MAX_SHOWN]]
    found += [user for read in _others for _, user in read(block.workspace_id, [block.path], by)]
    return found[:MAX_SHOWN]


def count_users(blocks: list[Block]) -> Counter[str]:
    """How many other blocks, deployments and so on use each of these, by name."""
    if not blocks:
        return Counter()
    paths = {block.id: block.path for block in blocks}
    rows = BlockReference.objects.filter(target__in=paths).values("target_id").annotate(count=Count("id"))
    counts = Counter({paths[row["target_id"]]: row["count"] for row in rows})
    for read in _others:
        counts.update(path for path, _ in read(blocks[0].workspace_id, list(paths.values()), None))
    return counts


def named_blocks(by: Actor, named: Mapping[str, str], *, within: Block | None) -> list[Block]:
    """The blocks that data names, by the place of each.

    Raises:
        Invalid: One is not there, or leads back to the block itself.
    """
    found = {block.path: block for block in find_all(by, named.values(), "blocks.view")}
    fields = {
        field_of(place): f"There is no block {path} in this workspace."
        for place, path in named.items()
        if path not in found
    }
    if fields:
        raise Invalid("A block that is named is not there.", fields=fields)
    if within is not None:
        fields = {
            field_of(place): f"{path} uses this block itself."
            for place, path in named.items()
            if _leads_to(found[path], within)
        }
    if fields:
        raise Invalid("Blocks can't use each other in a circle.", fields=fields)
    return list(found.values())


def find_all(by: Actor, paths: Iterable[str], verb: str) -> list[Block]:
    """The blocks of these names (`type/name`) that are there, and on which the actor may do `verb`."""
    wanted = Q()
    for type, _, name in (path.partition("/") for path in set(paths)):
        wanted |= Q(type=type, name=name)
    own = Block.objects.filter(wanted, workspace_id=by.workspace_id).allowing(by, verb)
    return list(own) if wanted else []


def _leads_to(block: Block, target: Block) -> bool:
    """True where a block is the target, or uses it, directly or through others."""
    seen, waiting = {block.id}, {block.id}
    while waiting and target.id not in seen:
        found = BlockReference.objects.filter(block__in=waiting).values_list("target_id", flat=True)
        waiting = set(found) - seen
        seen |= waiting
    return target.id in seen


def set_references(block: Block, targets: Iterable[Block]) -> None:
    """Let the block use exactly these.

    Raises:
        Conflict: One is gone.
    """
    wanted = {target.id for target in targets}
    present = set(BlockReference.objects.filter(block=block).values_list("target_id", flat=True))
    BlockReference.objects.filter(block=block, target__in=present - wanted).delete()
    new = [
        BlockReference(organization_id=block.organization_id, block=block, target_id=target)
        for target in sorted(wanted - present)
    ]
    try:
        with transaction.atomic():
            BlockReference.objects.bulk_create(new)
    except IntegrityError:
        raise Conflict("A block that is named was deleted in this moment.") from None
