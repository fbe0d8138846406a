"""Blocks as the API keeps them: addresses, values, and what is said when one is missing."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any
from urllib.parse import quote

from orchestrator.client import Client
from orchestrator.exceptions import BlockError, Conflict, NotFound

if TYPE_CHECKING:
    from orchestrator.blocks.block import Block

_TOLD_TYPES: set[tuple[str, str]] = set()


def path_of(slug: str, name: str) -> str:
    """Where the API has a block."""
    return f"/blocks/{quote(slug, safe='')}/{quote(name, safe='')}"


def split(reference: str, slug: str = "") -> tuple[str, str]:
    """Type and name of `type/name`; of `name` alone where the type is known.

    Raises:
        BlockError: The type is missing, or another one.
    """
    kind, slash, name = reference.rpartition("/")
    if not slash and not slug:
        raise BlockError(f'{reference!r:.220} names no type. Say which: Block.load("secret/{reference:.100}").')
    if slash and slug and kind != slug:
        raise BlockError(f"{reference!r:.220} is no block of the type {slug!r}. Load it by its own class, or by Block.")
    return kind or slug, name


def read(slug: str, name: str, version: int | None = None) -> dict[str, Any]:
    """A block with its secrets, and with the blocks in it; as it was in a version, or as it is.

    Raises:
        NotFound: There is none, or no such version is kept.
        NotConfigured: No API is known.
        ApiError: The API refused, or could not be reached.
    """
    with Client() as client:
        try:
            # Reading twice does no harm, but that it is recorded twice.
            wanted = {} if version is None else {"version": version}
            return client.post(f"{path_of(slug, name)}/value", wanted, again=True)
        except NotFound as error:
            if version is not None:
                raise
            message = (
                f"There is no block {slug:.110}/{name:.110} in this workspace. `orchestrator block ls` lists them; "
            )
            message += "make it in the portal, or by `.save(…)` of a block."
            raise NotFound(message, status=error.status) from None


def write(block: Block, name: str, overwrite: bool, description: str | None) -> int:
    """Keep a block under a name; its new version.

    Raises:
        BlockError: A block in it has no name yet.
        ValueError: There is one of this name, and it shall not be overwritten.
        ApiError: The API refused, or could not be reached.
    """
    kind = type(block)
    body: dict[str, Any] = {"data": fields_of(block)}
    if description is not None:
        body["description"] = description
    if not overwrite:
        body["expected_version"] = 0
    slug = kind.get_block_type_slug()
    with Client() as client:
        register(client, kind)
        try:
            return client.put(path_of(slug, name), body)["version"]
        except Conflict:
            if overwrite:
                raise
            raise ValueError(
                f"The block {slug}/{name} exists. Pass overwrite=True to make a new version of it."
            ) from None


def remove(slug: str, name: str) -> None:
    """Delete a block."""
    with Client() as client:
        client.delete(path_of(slug, name))


def rename(slug: str, former: str, name: str) -> None:
    """Give a block another name."""
    with Client() as client:
        client.post(f"{path_of(slug, former)}/rename", {"name": name})


def register(client: Client, kind: type[Block], again: bool = False) -> None:
    """Tell the API of a type and of those in it, unless it ships with Orchestrator or was told already."""
    from orchestrator.blocks.registry import BUILT_IN, built_in, class_of
    from orchestrator.blocks.schema import describe, types_in

    slug = kind.get_block_type_slug()
    if not slug:
        raise BlockError("Block itself is no type. Make a class of your own from it.")
    if slug in BUILT_IN:
        if kind is not built_in(slug):
            raise BlockError(
                f"The type {slug!r} ships with Orchestrator. Give {kind.__name__} another _block_type_slug."
            )
        return
    told = describe(kind)
    mark = (client.api.url, f"{slug} {told['checksum']}")
    if mark in _TOLD_TYPES and not again:
        return
    for inner in set(types_in(told["schema"])) - {slug}:
        register(client, class_of(inner), again)
    client.put(f"/block-types/{quote(slug, safe='')}", told)
    _TOLD_TYPES.add(mark)


# Values.


def fields_of(block: Block) -> dict[str, Any]:
    """The fields of a block as JSON, secrets in clear, blocks in it as references."""
    return {key_of(type(block), name): _plain(getattr(block, name), name) for name in type(block).model_fields}


def key_of(model: Any, name: str) -> str:
    """Under which key a field is kept: by the name that its schema says."""
    field = model.model_fields[name]
    alias = field.validation_alias
    return alias if isinstance(alias, str) else field.alias or name


def _plain(value: Any, field: str) -> Any:
    from pydantic import BaseModel
    from pydantic_core import to_jsonable_python

    from orchestrator.blocks.block import Block
    from orchestrator.blocks.fields import HIDDEN

    if isinstance(value, HIDDEN):
        return _plain(value.get_secret_value(), field)
    if isinstance(value, Block):
        return _reference(value, field)
    if isinstance(value, BaseModel):
        kind = type(value)
        return {key_of(kind, name): _plain(getattr(value, name), field) for name in kind.model_fields}
    if isinstance(value, Mapping):
        return {str(key): _plain(item, field) for key, item in value.items()}
    if isinstance(value, list | tuple | set | frozenset):
        return [_plain(item, field) for item in value]
    try:
        return to_jsonable_python(value)
    except ValueError as error:
        raise BlockError(f"The field {field!r} holds a {type(value).__name__}, which JSON has no form for.") from error


def _reference(block: Block, field: str) -> dict[str, str]:
    reference = block.get_reference()
    if reference is None:
        kind = type(block)
        raise BlockError(
            f"The {kind.__name__} in the field {field!r} has no name yet. Save it first, by .save(…), then this one."
        )
    return {"$block": reference}
