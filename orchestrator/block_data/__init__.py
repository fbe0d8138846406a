"""A block's data against the JSON Schema of its type: what of it is secret, what it refers to, what can't be taken.

Shared by every server that keeps blocks; like `orchestrator.schema` it needs jsonschema. Two forms mean something
anywhere in the data: `{"$secret": true}` stands for a secret that is kept apart, `{"$block": "type/name"}` for another
block. A secret is known by its place in the data, a JSON pointer (RFC 6901).
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping, Set
from dataclasses import dataclass, field
from typing import Any

from orchestrator.block_data.kept import SECRET, with_kept
from orchestrator.block_data.places import TooComplex, foreign_reference, pointer, secret_places
from orchestrator.block_data.words import located
from orchestrator.bodies import BLOCK_NAME
from orchestrator.schema import MAX_ERRORS, SchemaRefusal, check_schema, violations
from orchestrator.storable import json_value
from orchestrator.wire import encode

__all__ = [
    "MAX_BLOCKS", "MAX_DATA", "MAX_DEPTH", "MAX_REFERENCES", "REFERENCE", "SECRET", "Stored", "Taken", "blocks_in",
    "check_type", "field_of", "filled", "pointer", "reference_in", "take",
]  # fmt: skip

MAX_DATA = 256 << 10  # bytes of JSON, secrets included
MAX_REFERENCES = 100  # other blocks that one block names
MAX_DEPTH = 10  # blocks within blocks
MAX_BLOCKS = 200  # in one value, those within it included
REFERENCE = re.compile(rf"({BLOCK_NAME.pattern})/({BLOCK_NAME.pattern})")


@dataclass(frozen=True, slots=True)
class Stored:
    """A block's data as it is kept: `{"$secret": true}` where a secret belongs, and these apart, by their places."""

    data: dict[str, Any] = field(default_factory=dict)
    secrets: dict[str, Any] = field(default_factory=dict, repr=False)


@dataclass(frozen=True, slots=True)
class Taken(Stored):
    """New data, checked and taken apart.

    `kept` tells of each secret that was not given anew where it is and where it was before; `references` are the blocks
    that the data names (`type/name`), by the place of each.
    """

    kept: dict[str, str] = field(default_factory=dict)
    references: dict[str, str] = field(default_factory=dict)


def check_type(schema: Any) -> None:
    """Refuse what can't be the schema of a block type.

    Raises:
        SchemaRefusal: With the reason.
    """
    try:
        check_schema(schema)
        reason = foreign_reference(schema)
    except SchemaRefusal as refusal:
        reason = next(iter((refusal.fields or {"": str(refusal)}).values()))
    except RecursionError:
        reason = "Nested too deep."
    if reason:
        raise SchemaRefusal(f"The type's schema can't be taken: {reason}", fields={"schema": reason})


def take(schema: Mapping[str, Any], data: Any, before: Stored | None = None) -> Taken:
    """Check new data and take its secrets out. Where it says `{"$secret": true}`, the one of `before` is kept.

    A refusal repeats no value: a secret that was typed wrong must not come back in an error.

    Raises:
        SchemaRefusal: `fields` maps `data.name.0.inner` to what is wrong there.
    """
    if not isinstance(data, dict):
        raise SchemaRefusal("A block's data is an object.", fields={"data": "Must be an object."})
    try:
        filled, kept, missing = with_kept(json_value(data), before or Stored())
        if missing:
            fields = dict.fromkeys(map(field_of, missing), "No secret is kept here. Give its value.")
            raise SchemaRefusal("A secret that is to be kept is not there.", fields=fields)
        if len(encode(filled)) > MAX_DATA:
            message = f"A block has {MAX_DATA >> 10} KiB at most."
            raise SchemaRefusal(message, fields={"data": message})
        places = secret_places(schema, filled) | kept.keys()
        _check(schema, filled, places)
    except TooComplex:
        raise SchemaRefusal(
            "The type's schema is too complex for this data.", fields={"data": "Too complex."}
        ) from None
    except RecursionError:
        raise SchemaRefusal("The data goes too deep.", fields={"data": "Nested too deep."}) from None
    secrets: dict[str, Any] = {}
    public = _apart(filled, "", places, secrets)
    return Taken(public, secrets, {at: was for at, was in kept.items() if at in secrets}, _named(public))


def filled(stored: Stored, block: Callable[[str], Any]) -> dict[str, Any]:
    """The data with its secrets in their places, and `block(path)` in the place of each block that it names."""

    def put_in(value: Any, at: str) -> Any:
        if at in stored.secrets:
            return stored.secrets[at]
        if path := reference_in(value):
            return block(path)
        if isinstance(value, dict):
            return {name: put_in(item, pointer(at, name)) for name, item in value.items()}
        if isinstance(value, list):
            return [put_in(item, pointer(at, index)) for index, item in enumerate(value)]
        return value

    return put_in(stored.data, "")


def blocks_in(data: Any) -> dict[str, str]:
    """The blocks that data names (`type/name`), by the place of each."""
    return dict(_references(data, ""))


def reference_in(value: Any) -> str | None:
    """The block that a value stands for: `type/name` of `{"$block": "type/name"}`."""
    if isinstance(value, dict) and value.keys() == {"$block"}:
        name = value["$block"]
        return name if isinstance(name, str) and REFERENCE.fullmatch(name) else None
    return None


def field_of(place: str) -> str:
    """What errors call a place: `/credentials/key` is `data.credentials.key`."""
    steps = [step.replace("~1", "/").replace("~0", "~") for step in place.split("/")[1:]]
    return ".".join(["data", *steps])


def _check(schema: Mapping[str, Any], data: dict[str, Any], places: Set[str]) -> None:
    fields: dict[str, str] = {}
    for place, told in (found for error in violations(schema, data) for found in located(error)):
        shown = next((secret for secret in places if place.startswith(secret + "/")), place)
        fields.setdefault(field_of(shown), told)
        if len(fields) >= MAX_ERRORS:
            break
    if fields:
        first, told = next(iter(fields.items()))
        raise SchemaRefusal(f"The data can't be taken: {first}: {told}", fields=fields)


def _apart(value: Any, at: str, places: Set[str], secrets: dict[str, Any]) -> Any:
    if at in places:
        secrets[at] = value
        return dict(SECRET)
    if isinstance(value, dict):
        return {name: _apart(item, pointer(at, name), places, secrets) for name, item in value.items()}
    if isinstance(value, list):
        return [_apart(item, pointer(at, index), places, secrets) for index, item in enumerate(value)]
    return value


def _named(data: dict[str, Any]) -> dict[str, str]:
    named = blocks_in(data)
    if len(named) > MAX_REFERENCES:
        message = f"A block names {MAX_REFERENCES} others at most."
        raise SchemaRefusal(message, fields={"data": message})
    return named


def _references(value: Any, at: str) -> Iterator[tuple[str, str]]:
    if name := reference_in(value):
        yield at, name
    elif isinstance(value, dict):
        for key, item in value.items():
            yield from _references(item, pointer(at, key))
    elif isinstance(value, list):
        for index, item in enumerate(value):
            yield from _references(item, pointer(at, index))
