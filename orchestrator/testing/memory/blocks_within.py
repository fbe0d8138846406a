"""Blocks within blocks: what names what, and all of it put together."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from orchestrator.block_data import MAX_BLOCKS, MAX_DEPTH, Stored, blocks_in, field_of, filled
from orchestrator.testing.memory.asked import Refusal
from orchestrator.testing.memory.definitions import Block, BlockVersion, Deployment
from orchestrator.testing.memory.store import Store


def users_of(store: Store, block: Block) -> list[Block]:
    """The blocks whose newest version names this one, by name."""
    return [each for _, each in sorted(store.blocks.items()) if block.path in blocks_in(each.newest.data).values()]


def deployments_naming(store: Store, block: Block) -> list[Deployment]:
    """Those whose parameters name it."""
    known = sorted(store.deployments.values(), key=lambda each: each.full_name)
    return [each for each in known if block.path in blocks_in(each.facts.get("parameters") or {}).values()]


def check_named(store: Store, named: Mapping[str, str], within: str) -> None:
    """Refuse blocks that are not there, or that lead back to the block itself."""
    fields = {
        field_of(place): f"There is no block {path} in this workspace."
        for place, path in named.items()
        if _find(store, path) is None
    }
    if fields:
        raise Refusal("invalid", "A block that is named is not there.", fields)
    fields = {
        field_of(place): f"{path} uses this block itself."
        for place, path in named.items()
        if within and within in _reached(store, path)
    }
    if fields:
        raise Refusal("invalid", "Blocks can't use each other in a circle.", fields)


def _find(store: Store, path: str) -> Block | None:
    kind, _, name = path.partition("/")
    return store.blocks.get((kind, name))


def _reached(store: Store, path: str) -> set[str]:
    """A block and all that it uses, directly or through others."""
    seen: set[str] = set()
    waiting = {path}
    while waiting:
        seen |= waiting
        waiting = {inner for each in waiting for inner in _named_by(store, each)} - seen
    return seen


def _named_by(store: Store, path: str) -> Iterator[str]:
    block = _find(store, path)
    if block is not None:
        yield from blocks_in(block.newest.data).values()


def with_all_within(store: Store, block: Block, version: BlockVersion) -> dict[str, Any]:
    """A block with its secrets, as it was in a version, and each block that it names in the place of its name."""
    count = 0

    def resolved(path: str, above: tuple[str, ...]) -> dict[str, Any]:
        nonlocal count
        count += 1
        found = _find(store, path)
        if path in above:
            raise Refusal("conflict", f"Blocks use each other in a circle: {' → '.join([*above, path])}.")
        if found is None:
            raise Refusal("conflict", f"{above[-1]} names {path}, which is gone. Save {above[-1]} again.")
        if len(above) > MAX_DEPTH or count > MAX_BLOCKS:
            message = f"{above[0]} has blocks within it that go more than {MAX_DEPTH} deep or are too many."
            raise Refusal("conflict", message)
        held = found.newest if above else version
        stored = Stored(held.data, held.secrets)
        data = filled(stored, lambda inner: {"$block": inner} | resolved(inner, (*above, path)))
        return {"type": found.type, "name": found.name, "version": held.number, "data": data}

    return resolved(block.path, ())
