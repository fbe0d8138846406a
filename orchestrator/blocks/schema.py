"""A block's class as a JSON Schema (draft 2020-12), and a reference to a block as one."""

from __future__ import annotations

from collections.abc import Iterator
from contextvars import ContextVar
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from orchestrator.blocks.block import Block

_described: ContextVar[type[Block] | None] = ContextVar("_described", default=None)


def schema_of(cls: type[Block]) -> dict[str, Any]:
    """The fields of a class, each with its place in a form. Blocks in them are references."""
    token = _described.set(cls)
    try:
        schema = with_blocks_inline(_unrolled(cls, cls.model_json_schema()))
    finally:
        _described.reset(token)
    told = {"title": cls.get_block_type_name(), "description": cls.get_description()}
    for position, (name, field) in enumerate(schema.get("properties", {}).items()):
        field["position"] = position
        if field.get("title", _pydantics_title(name)) == _pydantics_title(name):
            field["title"] = name.replace("_", " ").strip().capitalize()
    # A field whose name is misspelt would be kept beside the right one, and be no secret there.
    return {"additionalProperties": False, **schema, **told}


def _unrolled(cls: type[Block], schema: dict[str, Any]) -> dict[str, Any]:
    """The schema of a type that has blocks of the same type in it: pydantic puts the whole behind a `$ref` then."""
    own = schema.get("$ref", "").removeprefix("#/$defs/")
    if not own:
        return schema
    return {**schema["$defs"][own], "$defs": {**schema["$defs"], own: reference_schema(cls)}}


def _pydantics_title(name: str) -> str:
    return name.title().replace("_", " ").strip()


def field_schema(cls: type[Block], core_schema: Any, handler: Any) -> Any:
    """What pydantic shall say of a class: its fields where it is described itself, else a reference."""
    if _described.get() is not cls:
        return reference_schema(cls)
    token = _described.set(None)
    try:
        return handler(core_schema)
    finally:
        _described.reset(token)


def reference_schema(cls: type[Block]) -> dict[str, Any]:
    """`{"$block": "type/name"}`, of one type, or of any for `Block` itself."""
    slug = cls.get_block_type_slug()
    pattern = f"^{slug}/[a-z0-9][a-z0-9-]*$" if slug else "^[a-z0-9-]+/[a-z0-9-]+$"
    schema: dict[str, Any] = {
        "type": "object",
        "properties": {"$block": {"type": "string", "pattern": pattern}},
        "required": ["$block"],
        "additionalProperties": False,
    }
    return {**schema, "x-block-type": slug} if slug else schema


def with_blocks_inline(schema: dict[str, Any]) -> dict[str, Any]:
    """A schema with its references to blocks where they are meant, instead of behind a `$ref` as pydantic puts them."""
    definitions = schema.get("$defs", {})
    blocks = {f"#/$defs/{name}": each for name, each in definitions.items() if "$block" in each.get("properties", {})}
    if not blocks:
        return schema
    rest = {name: each for name, each in definitions.items() if f"#/$defs/{name}" not in blocks}
    inline = _replaced({name: each for name, each in schema.items() if name != "$defs"}, blocks)
    return {**inline, "$defs": _replaced(rest, blocks)} if rest else inline


def _replaced(schema: Any, blocks: dict[str, Any]) -> Any:
    if isinstance(schema, list):
        return [_replaced(each, blocks) for each in schema]
    if not isinstance(schema, dict):
        return schema
    found = blocks.get(schema.get("$ref", "")) if isinstance(schema.get("$ref"), str) else None
    rest = {name: _replaced(each, blocks) for name, each in schema.items() if found is None or name != "$ref"}
    return {**found, **rest} if found is not None else rest


def checksum_of(schema: dict[str, Any]) -> str:
    """A word that changes with a schema."""
    import hashlib

    import msgspec

    return f"sha256:{hashlib.sha256(msgspec.json.encode(schema, order='sorted')).hexdigest()}"


def types_in(schema: Any) -> Iterator[str]:
    """The slugs of the types that a schema refers to."""
    if isinstance(schema, dict):
        if isinstance(schema.get("x-block-type"), str):
            yield schema["x-block-type"]
        for item in schema.values():
            yield from types_in(item)
    elif isinstance(schema, list):
        for item in schema:
            yield from types_in(item)


def describe(cls: type[Block]) -> dict[str, Any]:
    """A type as the API takes it."""
    schema = schema_of(cls)
    return {
        "name": cls.get_block_type_name(),
        "description": cls.get_description(),
        "schema": schema,
        "checksum": checksum_of(schema),
    }
