"""Typed documents under names, their secrets apart; and the types."""

from __future__ import annotations

from collections.abc import Mapping
from functools import cache
from typing import Any

import msgspec

from orchestrator import clock
from orchestrator.block_data import Stored, Taken, check_type, take
from orchestrator.bodies import (
    BLOCK_NAME,
    BlockInput,
    BlockTypeInput,
    RenameInput,
    RollbackInput,
    ValueInput,
    wrong_block_type,
)
from orchestrator.schema import SchemaRefusal
from orchestrator.storable import clean_text
from orchestrator.testing.memory.asked import Asked, Refusal, invalid
from orchestrator.testing.memory.blocks_within import check_named, deployments_naming, users_of, with_all_within
from orchestrator.testing.memory.definitions import Block, BlockVersion, Deployment
from orchestrator.testing.memory.shown import show_block, show_block_version
from orchestrator.testing.memory.store import Store
from orchestrator.wire import MAX_DESCRIPTION, encode

KEPT = 50  # versions of one block
MAX_PAGE_BYTES = 4 << 20
MAX_TYPES = 500
MAX_NAMED = 10

# Types.


@cache
def _catalogue() -> dict[str, dict[str, Any]]:
    from orchestrator.blocks.catalogue import catalogue

    return {each["slug"]: {**each, "checksum": "", "built_in": True} for each in catalogue()}


def _type(store: Store, slug: str) -> dict[str, Any]:
    found = _catalogue().get(slug) or store.block_types.get(slug)
    if found is None:
        message = f"There is no block type {slug!r:.120} in this workspace. `register_type()` of its class adds it."
        raise Refusal("not_found", message)
    return found


def types_page(store: Store, asked: Asked) -> dict[str, Any]:
    """Types by slug; the cursor is the last slug of the page before."""
    limit, after = asked.limit(), asked.query.get("cursor", "")[:100]
    known = {**store.block_types, **_catalogue()}
    slugs = sorted(slug for slug in known if slug > after)
    return {"items": [known[slug] for slug in slugs[:limit]], "next": slugs[limit - 1] if len(slugs) > limit else None}


def one_type(store: Store, asked: Asked) -> dict[str, Any]:
    """A type."""
    return _type(store, asked.names["slug"])


def register(store: Store, asked: Asked) -> tuple[dict[str, Any], int]:
    """Make or change a type of the workspace."""
    slug, told = asked.names["slug"], asked.read(BlockTypeInput)
    if fields := wrong_block_type(slug, told):
        raise Refusal("invalid", "The block type can't be taken; see fields.", fields)
    _refusing(check_type, told.schema)
    if slug in _catalogue():
        raise Refusal("conflict", f"{slug} is built in and can't be changed. Give your class another slug.")
    new = slug not in store.block_types
    if new and len(store.block_types) >= MAX_TYPES:
        raise Refusal("conflict", f"A workspace has {MAX_TYPES} types of its own at most.")
    store.block_types[slug] = {"slug": slug, **msgspec.structs.asdict(told), "built_in": False}
    return store.block_types[slug], 201 if new else 200


def _refusing(check: Any, *args: Any) -> Any:
    try:
        return check(*args)
    except SchemaRefusal as refusal:
        raise Refusal("invalid", str(refusal), refusal.fields) from None


# Blocks.


def page(store: Store, asked: Asked) -> dict[str, Any]:
    """Blocks by type and name; the cursor is the last one of the page before. It ends early when it holds 4 MiB."""
    limit, after, kind = asked.limit(), asked.query.get("cursor", "")[:201], asked.query.get("type", "")[:100]
    if "\x00" in after + kind:
        raise Refusal("invalid", "A value has characters or digits that can't be stored.")
    behind = tuple(after.split("/", 1)) if after else ()
    keys = sorted(key for key in store.blocks if key > behind and kind in ("", key[0]))
    shown, size = [store.blocks[key] for key in keys[:1]], 0
    for key in keys[1:limit]:
        size += len(encode(shown[-1].newest.data))
        if size + len(encode(store.blocks[key].newest.data)) > MAX_PAGE_BYTES:
            break
        shown.append(store.blocks[key])
    more = len(keys) > len(shown)
    return {"items": [show_block(block) for block in shown], "next": shown[-1].path if more else None}


def _found(store: Store, asked: Asked) -> Block:
    kind, name = asked.names["type"], asked.names["name"]
    if (kind, name) not in store.blocks:
        raise Refusal("not_found", f"There is no block {f'{kind}/{name}'!r:.220} in this workspace.")
    return store.blocks[kind, name]


def one(store: Store, asked: Asked) -> dict[str, Any]:
    """A block, without its secrets."""
    return show_block(_found(store, asked))


def save(store: Store, asked: Asked) -> tuple[dict[str, Any], int]:
    """Make a block or give it a new version. The same data again changes nothing."""
    kind, name, told = asked.names["type"], asked.names["name"], asked.read(BlockInput)
    if not BLOCK_NAME.fullmatch(name):
        message = "Lower case letters, digits and -; 100 characters at most."
        raise invalid(f"{name!r:.120} is no name for a block.", "name", message)
    if told.description is not None and len(told.description) > MAX_DESCRIPTION:
        raise invalid("The description is too long.", "description", f"{MAX_DESCRIPTION:,} characters at most.")
    schema = _type(store, kind)["schema"]
    block = store.blocks.get((kind, name))
    _check_expected(block, f"{kind}/{name}", told.expected_version)
    known = Stored(block.newest.data, block.newest.secrets) if block else Stored()
    taken = _taken(store, schema, told.data, known, f"{kind}/{name}" if block else "")
    new = block is None
    if block is None:
        block = store.blocks[kind, name] = Block(kind, name, "", clock.now(), clock.now(), asked.by.label)
    if told.description is not None:
        block.description = clean_text(told.description)
    if new or (taken.data, taken.secrets) != (known.data, known.secrets):
        _add(block, taken, asked.by.label)
    return show_block(block), 201 if new else 200


def _taken(store: Store, schema: Mapping[str, Any], data: Any, known: Stored, path: str) -> Taken:
    taken = _refusing(take, schema, data, known)
    check_named(store, taken.references, path)
    return taken


def _check_expected(block: Block | None, path: str, expected: int | None) -> None:
    present = block.newest.number if block else 0
    if expected is None or expected == present:
        return
    if expected == 0:
        message = f"{path} exists already, in version {present}."
        raise Refusal("conflict", message, {"name": "Choose another name."})
    there = f"has version {present} now" if block else "is gone"
    message = f"{path} {there}; version {expected} was expected. Look at what has changed, then save again."
    raise Refusal("conflict", message)


def _add(block: Block, taken: Stored, by: str, note: str = "") -> None:
    number = block.newest.number + 1 if block.versions else 1
    block.versions.append(BlockVersion(number, taken.data, taken.secrets, note, clock.now(), by))
    del block.versions[:-KEPT]
    block.updated_at, block.updated_by = clock.now(), by


def remove(store: Store, asked: Asked) -> tuple[None, int]:
    """Delete a block, unless others use it."""
    block = _found(store, asked)
    users = [user.path for user in users_of(store, block)]
    if users:
        told = ", ".join(users[:MAX_NAMED]) + (", …" if len(users) > MAX_NAMED else "")
        message = f"{block.path} is used by {told}. Change these first."
        raise Refusal("conflict", message, {"used_by": told})
    del store.blocks[block.type, block.name]
    return None, 204


def value(store: Store, asked: Asked) -> dict[str, Any]:
    """A block with its secrets, and with the blocks within it; in a version if asked."""
    number = asked.read(ValueInput).version if asked.body else None
    block = _found(store, asked)
    return with_all_within(store, block, block.newest if number is None else _version(block, number))


def _version(block: Block, number: int) -> BlockVersion:
    found = next((each for each in block.versions if each.number == number), None)
    if found is None:
        raise Refusal("not_found", f"There is no version {number} of this block. The last {KEPT} are kept.")
    return found


def users(store: Store, asked: Asked) -> dict[str, Any]:
    """What uses a block."""
    block = _found(store, asked)
    found = [{"kind": "block", "name": each.path} for each in users_of(store, block)]
    found += [{"kind": "deployment", "name": _shown(each)} for each in deployments_naming(store, block)]
    return {"items": found}


def _shown(deployment: Deployment) -> str:
    return f"{deployment.flow} / {deployment.name}"


def rename(store: Store, asked: Asked) -> dict[str, Any]:
    """Give a block another name; blocks that name it follow."""
    name, block = asked.read(RenameInput).name, _found(store, asked)
    if not BLOCK_NAME.fullmatch(name):
        message = "Lower case letters, digits and -; 100 characters at most."
        raise invalid(f"{name!r:.120} is no name for a block.", "name", message)
    if name == block.name:
        return show_block(block)
    if others := deployments_naming(store, block):
        told = ", ".join(f"deployment {_shown(each)}" for each in others[:MAX_NAMED])
        message = f"{block.path} is named by {told}{', …' if len(others) > MAX_NAMED else ''}. Change these first."
        raise Refusal("conflict", message, {"name": "In use."})
    if (block.type, name) in store.blocks:
        raise Refusal("conflict", f"{block.type}/{name} exists already.", {"name": "Choose another name."})
    former, following = block.path, users_of(store, block)
    store.blocks[block.type, name] = store.blocks.pop((block.type, block.name))
    block.name = name
    for user in following:
        data = _renamed(user.newest.data, former, block.path)
        _add(user, Stored(data, user.newest.secrets), asked.by.label, f"{former} is now {block.path}")
    return show_block(block)


def _renamed(held: Any, former: str, path: str) -> Any:
    if held == {"$block": former}:
        return {"$block": path}
    if isinstance(held, dict):
        return {name: _renamed(item, former, path) for name, item in held.items()}
    return [_renamed(item, former, path) for item in held] if isinstance(held, list) else held


def versions(store: Store, asked: Asked) -> dict[str, Any]:
    """The versions that are kept, newest first; the cursor is the last number of the page before."""
    limit, before = asked.limit(), asked.number("cursor", 0)
    kept = [each for each in reversed(_found(store, asked).versions) if before <= 0 or each.number < before]
    cursor = str(kept[limit - 1].number) if len(kept) > limit else None
    return {"items": [show_block_version(each) for each in kept[:limit]], "next": cursor}


def roll_back(store: Store, asked: Asked) -> dict[str, Any]:
    """Make what an older version held the newest one."""
    number, block = asked.read(RollbackInput).version, _found(store, asked)
    older = _version(block, number)
    known = Stored(older.data, older.secrets)
    taken = _taken(store, _type(store, block.type)["schema"], older.data, known, block.path)
    _add(block, taken, asked.by.label, f"version {number} again")
    return show_block(block)
