"""Typed documents under names: the one place that makes, changes, renames and deletes them."""

from __future__ import annotations

from typing import Any

from django.db import IntegrityError, transaction
from django.db.models import Q, QuerySet

from blocks import references, versions
from blocks.models import Block, BlockVersion
from blocks.schema import take
from blocks.types import find_type
from orchestrator.block_data import Stored, Taken
from orchestrator.bodies import BLOCK_NAME
from orchestrator.storable import clean_text
from orchestrator.wire import MAX_DESCRIPTION
from tenants.audit import record
from tenants.errors import Conflict, Invalid, NotFound
from tenants.permissions import Actor
from tenants.restrictions.access import forget
from tenants.restrictions.rules import check_allowed

MAX_PAGE_BYTES = 4 << 20  # of data
MAX_NAMED = 10  # users that a refusal names


def in_workspace(by: Actor) -> QuerySet[Block]:
    """The workspace's blocks that the actor may see, by type and name."""
    return Block.objects.filter(workspace_id=by.workspace_id).allowing(by, "blocks.view").order_by("type", "name")


def after(rows: QuerySet[Block], cursor: str) -> QuerySet[Block]:
    """The blocks behind one, named `type/name`."""
    type, _, name = cursor.partition("/")
    return rows.filter(type__gte=type).filter(Q(type__gt=type) | Q(name__gt=name)) if cursor else rows


def with_versions(rows: QuerySet[Block], limit: int) -> tuple[list[tuple[Block, BlockVersion]], str | None]:
    """The first blocks with what they hold now, and the cursor of what follows: `limit` blocks, or fewer of 4 MiB."""
    found = list(rows[: limit + 1])
    sizes = versions.sizes_of(found)
    shown, size = list[Block](), 0
    for block in found[:limit]:
        size += sizes.get(block.id, 0)
        if shown and size > MAX_PAGE_BYTES:
            break
        shown.append(block)
    newest = versions.current_ones(shown)
    following = shown[-1].path if len(shown) < len(found) else None
    return [(block, newest[block.id]) for block in shown if block.id in newest], following


def find_block(by: Actor, type: str, name: str) -> Block:
    """The block of this type and name.

    Raises:
        NotFound: There is none.
    """
    known = BLOCK_NAME.fullmatch(type) and BLOCK_NAME.fullmatch(name)
    block = in_workspace(by).filter(type=type, name=name).first() if known else None
    if block is None:
        raise NotFound(f"There is no block {f'{type}/{name}'!r:.220} in this workspace.")
    return block


def save(
    *,
    type: str,
    name: str,
    data: Any,
    by: Actor,
    description: str | None = None,
    expected_version: int | None = None,
) -> tuple[Block, bool]:
    """Make a block or give it a new version; answer it, and whether it is new. The same data again changes nothing.

    Where `data` says `{"$secret": true}`, the secret stays as it is. The description is left alone when none is given.

    Raises:
        Invalid: `fields` says what can't be taken.
        Conflict: The block has another version than the expected one (0: it is not there).
        NotFound: There is no such type.
    """
    _check_name(name)
    if description is not None and len(description) > MAX_DESCRIPTION:
        message = f"{MAX_DESCRIPTION:,} characters at most."
        raise Invalid("The description is too long.", fields={"description": message})
    kind = find_type(by, type)
    block = in_workspace(by).filter(type=type, name=name).select_for_update().first()
    if block:
        check_allowed(block, by, "blocks.edit")
    _check_expected(block, f"{type}/{name}", expected_version)
    before = versions.current(block) if block else None
    known = versions.stored(before, lost=True) if before else Stored()
    taken = take(kind.schema, data, known)
    targets = references.named_blocks(by, taken.references, within=block)
    new = block is None
    if block is None:
        block = _made(type, name, by)
    described = _describe(block, description)
    changed = (taken.data, taken.secrets) != (known.data, known.secrets) or before is None
    if changed:
        places = versions.places_of(taken, before, known, block.version + 1, by)
        version = versions.add(block, taken, by=by, places=places)
        references.set_references(block, targets)
        record(by, "block.created" if new else "block.updated", block, details=_change(before, version))
    elif described:
        record(by, "block.updated", block, details={"fields": ["description"]})
    return block, new


def _check_name(name: str) -> None:
    if not BLOCK_NAME.fullmatch(name):
        message = "Lower case letters, digits and -; 100 characters at most."
        raise Invalid(f"{name!r:.120} is no name for a block.", fields={"name": message})


def _check_expected(block: Block | None, path: str, expected: int | None) -> None:
    present = block.version if block else 0
    if expected is None or expected == present:
        return
    if expected == 0:
        raise Conflict(f"{path} exists already, in version {present}.", fields={"name": "Choose another name."})
    there = f"has version {present} now" if block else "is gone"
    raise Conflict(f"{path} {there}; version {expected} was expected. Look at what has changed, then save again.")


def _made(type: str, name: str, by: Actor) -> Block:
    try:
        with transaction.atomic():
            return Block.objects.create(
                organization_id=by.organization_id, workspace_id=by.workspace_id, type=type, name=name
            )
    except IntegrityError:
        raise Conflict(f"Somebody made {type}/{name} in this moment. Look at it, then save again.") from None


def _describe(block: Block, description: str | None) -> bool:
    if description is None or clean_text(description) == block.description:
        return False
    block.description = clean_text(description)
    block.save(update_fields=["description"])
    return True


def _change(before: BlockVersion | None, version: BlockVersion) -> dict[str, Any]:
    """What the audit tells of a change: which fields, never what they hold."""
    former = before.data if before else {}
    fields = [name for name in version.data if name not in former or former[name] != version.data[name]]
    fields += [name for name in former if name not in version.data]
    origins = before.secret_places if before else {}
    replaced = [place for place, origin in version.secret_places.items() if origins.get(place) != origin]
    return {"version": version.number, "fields": fields[:50], "secrets": replaced[:50]}


def rename(*, block: Block, name: str, by: Actor) -> Block:
    """Give a block another name. Blocks that use it follow, each with a new version; its own versions stay.

    Raises:
        Invalid: The name can't be taken.
        Conflict: Another block has it, or something that can't follow uses the block: a deployment's parameters.
    """
    _check_name(name)
    check_allowed(block, by, "blocks.edit")
    block = in_workspace(by).select_for_update().get(id=block.id)
    if name == block.name:
        return block
    others = [user for user in references.users_of(block, by) if user.kind != "block"]
    if others:
        told = _listed([f"{user.kind} {user.name}" for user in others])
        raise Conflict(f"{block.path} is named by {told}. Change these first.", fields={"name": "In use."})
    former, users = block.path, list(references.blocks_using(block).select_for_update())
    block.name = name
    try:
        with transaction.atomic():
            block.save(update_fields=["name"])
    except IntegrityError:
        raise Conflict(f"{block.path} exists already.", fields={"name": "Choose another name."}) from None
    for user in users:
        _follow(user, former, block.path, by)
    record(by, "block.renamed", block, details={"from": former})
    return block


def _follow(user: Block, former: str, path: str, by: Actor) -> None:
    before = versions.current(user)
    known = versions.stored(before)
    taken = Taken(_renamed(known.data, former, path), known.secrets)
    version = versions.add(user, taken, by=by, places=before.secret_places, note=f"{former} is now {path}")
    record(by, "block.updated", user, details=_change(before, version))


def _renamed(value: Any, former: str, path: str) -> Any:
    if value == {"$block": former}:
        return {"$block": path}
    if isinstance(value, dict):
        return {name: _renamed(item, former, path) for name, item in value.items()}
    return [_renamed(item, former, path) for item in value] if isinstance(value, list) else value


def delete(*, block: Block, by: Actor) -> None:
    """Delete a block and its versions.

    Raises:
        Conflict: Other blocks use it; the message names them.
    """
    check_allowed(block, by, "blocks.edit")
    users = references.blocks_using(block)
    if users.exists():
        seen = [user.path for user in users.allowing(by, "blocks.view")[: MAX_NAMED + 1]]
        told = _listed(seen) or "a block that you may not see"
        raise Conflict(f"{block.path} is used by {told}. Change these first.", fields={"used_by": told})
    record(by, "block.deleted", block, details={"version": block.version})
    try:
        with transaction.atomic():
            forget(block)
            block.delete()
    except IntegrityError:
        raise Conflict(f"Another block began to use {block.path} in this moment.") from None


def _listed(names: list[str]) -> str:
    more = ", …" if len(names) > MAX_NAMED else ""
    return ", ".join(names[:MAX_NAMED]) + more


def roll_back(*, block: Block, number: int, by: Actor) -> BlockVersion:
    """Make what an older version held the newest one, its secrets too.

    Raises:
        NotFound: The version is not kept.
        Invalid: The type no longer allows it, or a block that it names is gone.
    """
    check_allowed(block, by, "blocks.edit")
    block = in_workspace(by).select_for_update().get(id=block.id)
    older = versions.find(block, number)
    known = versions.stored(older)
    taken = take(find_type(by, block.type).schema, older.data, known)
    targets = references.named_blocks(by, taken.references, within=block)
    places = versions.places_of(taken, older, known, block.version + 1, by)
    version = versions.add(block, taken, by=by, places=places, note=f"version {number} again")
    references.set_references(block, targets)
    record(by, "block.rolled_back", block, details={"version": version.number, "to": number})
    return version
