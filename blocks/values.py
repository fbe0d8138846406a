"""A block's value, with its secrets in clear and the blocks within it: for code that uses it. Each read is audited."""

from __future__ import annotations

from typing import Any

from blocks import references, versions
from blocks.models import Block, BlockVersion
from orchestrator.block_data import MAX_BLOCKS, MAX_DEPTH, Stored, blocks_in, filled
from tenants.audit import record
from tenants.errors import Conflict, NotFound
from tenants.permissions import Actor
from tenants.restrictions.rules import check_allowed


def value(*, block: Block, by: Actor, number: int | None = None) -> dict[str, Any]:
    """The block with all that it names, `{"type", "name", "version", "data"}`; one entry in the audit for each block.

    Args:
        number: The block as it was in this version, with what it names as that is now; None: as it is.

    Raises:
        NotFound: The version is not kept.
        Conflict: Blocks within blocks go too deep, in a circle, or are too many, or one is gone or not for the actor.
        Forbidden: The block's rules don't let the actor use it.
    """
    check_allowed(block, by, "blocks.use")
    if number is not None:
        block.version = number  # Of this object alone: it is what is told and recorded.
    known = _all_within(block, by, versions.current(block))
    for each, _ in known.values():
        record(by, "block.read", each, details={"version": each.version})
    return _Resolved(known).block(block.path, ())


def _all_within(block: Block, by: Actor, version: BlockVersion) -> dict[str, tuple[Block, Stored]]:
    """The block and all that it names, directly or through others, with their data, by name."""
    found: dict[str, tuple[Block, Stored]] = {}
    level, newest = [block], {block.id: version}
    while level:
        level = [each for each in level if each.id in newest]  # Others were deleted in this moment.
        found |= {each.path: (each, versions.stored(newest[each.id])) for each in level}
        named = {path for each in level for path in blocks_in(newest[each.id].data).values()} - found.keys()
        if len(found) + len(named) > MAX_BLOCKS:
            raise Conflict(f"{block.path} has more than {MAX_BLOCKS} blocks within it.")
        level = references.find_all(by, named, "blocks.use")
        newest = versions.current_ones(level)
    return found


class _Resolved:
    """Puts blocks into blocks. The same one may stand in many places, so their number is counted here."""

    def __init__(self, known: dict[str, tuple[Block, Stored]]) -> None:
        self.known, self.count = known, 0

    def block(self, path: str, above: tuple[str, ...]) -> dict[str, Any]:
        self.count += 1
        if path in above:
            raise Conflict(f"Blocks use each other in a circle: {' → '.join([*above, path])}.")
        if path not in self.known and not above:
            raise NotFound(f"There is no block {path} any more.")
        if path not in self.known:
            raise Conflict(f"{above[-1]} names {path}, which is gone or not open to you. Save {above[-1]} again.")
        if len(above) > MAX_DEPTH or self.count > MAX_BLOCKS:
            raise Conflict(f"{above[0]} has blocks within it that go more than {MAX_DEPTH} deep or are too many.")
        block, stored = self.known[path]
        data = filled(stored, lambda inner: {"$block": inner} | self.block(inner, (*above, path)))
        return {"type": block.type, "name": block.name, "version": block.version, "data": data}
