"""What the pages of blocks show."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from typing import Any

from blocks import blocks, changes, references, types, versions
from blocks.models import Block, BlockVersion
from tenants.permissions import Actor

PAGE = 50


@dataclass(frozen=True, slots=True)
class Row:
    """A block in the list."""

    block: Block
    type: types.Type | None
    users: int


@dataclass(frozen=True, slots=True)
class Page:
    """A page of the list; `next` is the cursor of what follows."""

    rows: list[Row]
    next: str
    types: list[types.Type]


@dataclass(frozen=True, slots=True)
class VersionRow:
    """A version in a block's history, with what it changed."""

    version: BlockVersion
    changes: changes.Changes


@dataclass(frozen=True, slots=True)
class ShownField:
    """A value of a block, or of a secret when and by whom it was set."""

    place: str
    value: Any
    secret: bool = False
    secret_at: datetime | None = None
    secret_by: str = ""


def page(by: Actor, *, type: str = "", text: str = "", cursor: str = "") -> Page:
    """The blocks of a type and with a text in their name, from a cursor on."""
    rows = blocks.after(blocks.in_workspace(by), cursor)
    if type:
        rows = rows.filter(type=type)
    if text:
        rows = rows.filter(name__icontains=text)
    found = list(rows[: PAGE + 1])
    shown, counts = found[:PAGE], references.count_users(found[:PAGE])
    known = {each.slug: each for each in types.all_types(by)}
    return Page(
        [Row(block, known.get(block.type), counts[block.path]) for block in shown],
        shown[-1].path if len(found) > PAGE else "",
        list(known.values()),
    )


def history(block: Block, most: int = versions.KEPT) -> list[VersionRow]:
    """The newest versions, each compared with the one before it."""
    found = list(versions.of(block).defer("sealed")[: most + 1])
    older: list[BlockVersion | None] = [*found[1:], None]
    return [
        VersionRow(version, changes.between(before, version))
        for version, before in list(zip(found, older, strict=True))[:most]
    ]


def catalogue(by: Actor, text: str = "") -> list[types.Type]:
    """The types whose name or description has the text."""
    wanted = text.lower()
    return [type for type in types.all_types(by) if wanted in f"{type.slug} {type.name} {type.description}".lower()]


def snippet(block: Block, type: types.Type | None) -> str:
    """Code that loads a block."""
    variable = block.name.replace("-", "_")
    variable = variable if variable.isidentifier() else f"block_{variable}"
    if type is not None and type.class_name:
        name = type.class_name
        return f'from orchestrator.blocks import {name}\n\n{variable} = {name}.load("{block.name}")'
    return f'from orchestrator.blocks import Block\n\n{variable} = Block.load("{block.path}")'


def shown_fields(version: BlockVersion) -> list[ShownField]:
    """A version's values by their places, for who may not edit them."""
    origins = {changes.name_of(place): origin for place, origin in version.secret_places.items()}
    return [_shown(place, value, origins.get(place)) for place, value in changes.leaves(version.data).items()]


def _shown(place: str, value: Any, origin: dict[str, Any] | None) -> ShownField:
    if origin is None:
        return ShownField(place, value)
    return ShownField(place, None, True, datetime.fromisoformat(origin["at"]), origin["by"])
