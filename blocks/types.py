"""Block types: the built-in ones, and those that a workspace registered."""

from __future__ import annotations

import json
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any

import msgspec
from django.db.models import QuerySet
from django.utils.timezone import now

from blocks.models import BlockType
from blocks.schema import check_type
from orchestrator.bodies import BLOCK_NAME, BlockTypeInput, wrong_block_type
from orchestrator.storable import clean_text, json_value
from orchestrator.wire import encode
from tenants.audit import record
from tenants.errors import Conflict, Invalid, NotFound
from tenants.permissions import Actor

CATALOGUE = Path(__file__).parent / "catalogue.json"
MAX_TYPES = 500  # that one workspace registers


ICONS = frozenset({
    "block", "bolt", "braces", "bucket", "card", "chat", "clock", "database", "deploy", "doc", "folder", "hub", "key",
    "lock", "mail", "pool", "pulse", "tag", "users", "var", "webhook",
})  # fmt: skip


@dataclass(frozen=True, slots=True)
class Type:
    """A kind of block: what it is called, what a block of it holds, and what it can do."""

    slug: str
    name: str
    description: str
    icon: str
    schema: dict[str, Any]
    methods: tuple[str, ...] = ()
    checksum: str = ""
    built_in: bool = False
    class_name: str = ""  # in orchestrator.blocks

    @property
    def shown_icon(self) -> str:
        """Its icon, or a block's where the portal has none of that name."""
        return self.icon if self.icon in ICONS else "block"


@lru_cache(maxsize=1)
def catalogue() -> dict[str, Type]:
    """The built-in types by their slugs. `make catalogue` writes them down from the SDK's classes."""
    listed = json.loads(CATALOGUE.read_text(encoding="utf-8"))
    return {
        each["slug"]: Type(
            slug=each["slug"],
            name=each["name"],
            description=each["description"],
            icon=each.get("icon") or "",
            schema=each["schema"],
            methods=tuple(each.get("methods", ())),
            built_in=True,
            class_name=each["class"],
        )
        for each in listed
    }


def registered(by: Actor) -> QuerySet[BlockType]:
    """The types that the workspace registered."""
    return BlockType.objects.filter(workspace_id=by.workspace_id)


def all_types(by: Actor) -> list[Type]:
    """All types that a block of the workspace may have, by slug. A built-in one hides a registered one."""
    own = {row.slug: _described(row) for row in registered(by)[:MAX_TYPES]}
    return [type for _, type in sorted((own | catalogue()).items())]


def find_type(by: Actor, slug: str) -> Type:
    """The type of this slug.

    Raises:
        NotFound: There is none.
    """
    if slug in catalogue():
        return catalogue()[slug]
    row = registered(by).filter(slug=slug).first() if BLOCK_NAME.fullmatch(slug) else None
    if row is None:
        raise NotFound(f"There is no block type {slug!r:.120} in this workspace. `register_type()` adds a class.")
    return _described(row)


def register(*, slug: str, told: BlockTypeInput, by: Actor) -> tuple[Type, bool]:
    """Make or change a type of the workspace; answer it, and whether it is new. Blocks are checked when saved next.

    Raises:
        Invalid: `fields` says what can't be taken.
        Conflict: The slug is a built-in type's, or there are too many types.
    """
    if fields := wrong_block_type(slug, told):
        raise Invalid("The block type can't be taken; see fields.", fields=fields)
    check_type(told.schema)
    if slug in catalogue():
        raise Conflict(f"{slug} is built in and can't be changed. Give your class another slug.")
    values = {
        **msgspec.structs.asdict(told),
        "name": clean_text(told.name),
        "description": clean_text(told.description),
        "schema": encode(json_value(told.schema)).decode(),
    }
    present = registered(by).filter(slug=slug).first()
    if present and all(getattr(present, name) == value for name, value in values.items()):
        return _described(present), False
    if present is None and registered(by).count() >= MAX_TYPES:
        raise Conflict(f"A workspace has {MAX_TYPES} types of its own at most.")
    row, new = BlockType.objects.update_or_create(
        organization_id=by.organization_id, workspace_id=by.workspace_id, slug=slug,
        defaults={**values, "updated_at": now(), "updated_by": by.label[:254]},
    )  # fmt: skip
    record(by, "block_type.registered" if new else "block_type.updated", row)
    return _described(row), new


def _described(row: BlockType) -> Type:
    return Type(
        slug=row.slug,
        name=row.name,
        description=row.description,
        icon=row.icon,
        schema=json.loads(row.schema),
        methods=tuple(row.methods),
        checksum=row.checksum,
    )
