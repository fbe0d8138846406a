"""What a JSON Schema asks a person for: one shape for each part of it.

Schemas come from tenants, and say with `$ref`, `allOf` and `anyOf` whatever their writers liked, in circles too. A part
is followed a bounded number of steps; what is not understood then is edited as JSON, and never refused.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

MAX_STEPS = 20  # references and wrappings followed for one part
MAX_CHOICES = 2_000
MAX_BRANCHES = 20
MAX_PROPERTIES = 1_000

GROUPS = frozenset({"object", "list", "tuple", "map", "union"})
_SIMPLE = {"integer": "integer", "number": "number", "boolean": "boolean"}
_FORMATS = {"date": "date", "date-time": "datetime", "time": "time", "duration": "duration", "decimal": "decimal"}
_LONG = 400  # characters that a text may have, from which on it gets lines


@dataclass(frozen=True, slots=True)
class Shape:
    """`kind` is one of GROUPS, or text, lines, integer, number, decimal, boolean, choice, const, none, date, time,
    datetime, duration, json, block, secret.

    Args:
        schema: The part with its references followed.
        nullable: Null is allowed beside it.
        branches: The schemas of a union, without null.
        drops_null: Null is the default though the type doesn't allow it (`x: int = None`): it means "not given".
    """

    kind: str
    schema: dict[str, Any]
    nullable: bool = False
    branches: tuple[Any, ...] = ()
    drops_null: bool = False

    @property
    def has_default(self) -> bool:
        return "default" in self.schema and not self.drops_null


class Shapes:
    """The shapes of one schema, each found once."""

    def __init__(self, root: Mapping[str, Any]) -> None:
        self._root = root
        self._known: dict[int, tuple[Any, Shape]] = {}  # With the part, whose id may not be given to another.

    def of(self, part: Any) -> Shape:
        """The shape of a part of the schema."""
        known = self._known.get(id(part))
        if known is None:
            known = self._known[id(part)] = (part, self._found(part))
        return known[1]

    def _found(self, part: Any) -> Shape:
        schema, nullable = self._resolved(part)
        branches = tuple(_options(schema) or ())
        kind = _kind(schema, branches)
        drops_null = not nullable and kind not in {"json", "none"} and schema.get("default", "") is None
        nullable = nullable or (kind == "json" and schema.get("default", "") is None)
        return Shape(kind, schema, nullable, branches if kind == "union" else (), drops_null)

    def _resolved(self, part: Any) -> tuple[dict[str, Any], bool]:
        """Follow references and single wrappings, and take null out of the types."""
        schema: dict[str, Any] = dict(part) if isinstance(part, Mapping) else {}
        nullable = False
        for _ in range(MAX_STEPS):
            reference = schema.pop("$ref", None)
            options = _options(schema)
            if isinstance(reference, str):
                schema = {**self._target(reference), **schema}
            elif len(wrapped := schema.get("allOf", ())) == 1:
                schema = _around(schema, wrapped[0], "allOf")
            elif options and len(rest := [each for each in options if not _is_null(each)]) < len(options):
                nullable = True
                schema = _around(schema, rest[0], "anyOf", "oneOf") if len(rest) == 1 else _with_options(schema, rest)
            elif options and len(options) == 1:
                schema = _around(schema, options[0], "anyOf", "oneOf")
            elif isinstance(types := schema.get("type"), list):
                nullable = nullable or "null" in types
                schema = _of_types(schema, [each for each in types if each != "null"])
            elif None in (enum := schema.get("enum", ())) and len(enum) > 1:
                nullable = True
                schema = {**schema, "enum": [each for each in enum if each is not None]}
            else:
                return schema, nullable
        return {key: schema[key] for key in ("title", "description", "default") if key in schema}, nullable

    def _target(self, reference: str) -> dict[str, Any]:
        found: Any = self._root
        for step in reference.removeprefix("#").split("/")[1:]:
            found = found.get(step.replace("~1", "/").replace("~0", "~")) if isinstance(found, Mapping) else None
        return dict(found) if isinstance(found, Mapping) else {}


def _options(schema: Mapping[str, Any]) -> list[Any] | None:
    found = schema.get("anyOf") or schema.get("oneOf")
    return found if isinstance(found, list) else None


def _around(schema: dict[str, Any], inner: Any, *words: str) -> dict[str, Any]:
    """What is wrapped, with what the wrapping says of itself: its title, its default."""
    outer = {key: value for key, value in schema.items() if key not in words}
    return {**(inner if isinstance(inner, Mapping) else {}), **outer}


def _with_options(schema: dict[str, Any], options: list[Any]) -> dict[str, Any]:
    return {**{key: value for key, value in schema.items() if key != "oneOf"}, "anyOf": options}


def _of_types(schema: dict[str, Any], types: list[str]) -> dict[str, Any]:
    rest = {key: value for key, value in schema.items() if key != "type"}
    if len(types) < 2:
        return {**rest, "type": types[0] if types else "null"}
    about = {key: rest.pop(key) for key in ("title", "description", "default", "position") if key in rest}
    return {**about, "anyOf": [{**rest, "type": each} for each in types]}


def _is_null(option: Any) -> bool:
    return isinstance(option, Mapping) and (option.get("type") == "null" or option.get("const", "") is None)


def _kind(schema: dict[str, Any], branches: tuple[Any, ...]) -> str:
    if _is_block(schema):
        return "block"
    if schema.get("writeOnly") is True and schema.get("format") == "password":
        return "secret"
    if "const" in schema:
        return "const"
    if "enum" in schema:
        return "choice" if 0 < len(schema["enum"]) <= MAX_CHOICES else "json"
    if len(branches) > 1:
        return _kind_of_union(branches)
    if "allOf" in schema or ("not" in schema and len(schema) == 1):
        return "json"
    return _kind_of_type(schema)


def _is_block(schema: dict[str, Any]) -> bool:
    properties = schema.get("properties")
    return isinstance(properties, Mapping) and set(properties) == {"$block"}


def _kind_of_union(branches: tuple[Any, ...]) -> str:
    plain = [each if isinstance(each, Mapping) and "$ref" not in each else {} for each in branches]
    types = sorted(str(each.get("type")) for each in plain)
    if types == ["integer", "number"]:
        return "number"
    if types == ["number", "string"] and any(each.get("format") == "decimal" for each in plain):
        return "decimal"
    return "union" if len(branches) <= MAX_BRANCHES else "json"


def _kind_of_type(schema: dict[str, Any]) -> str:
    kind = schema.get("type")
    if kind == "string":
        return _FORMATS.get(str(schema.get("format")), "lines" if _is_long(schema) else "text")
    if kind == "array":
        return _kind_of_array(schema)
    if kind == "object" or (kind is None and "properties" in schema):
        return _kind_of_object(schema)
    return "none" if kind == "null" else _SIMPLE.get(str(kind), "json")


def _is_long(schema: dict[str, Any]) -> bool:
    default = schema.get("default")
    return schema.get("x-multiline") is True or schema.get("maxLength", 0) >= _LONG or "\n" in str(default or "")


def _kind_of_array(schema: dict[str, Any]) -> str:
    first = schema.get("prefixItems")
    if first:
        fixed = len(first) == schema.get("minItems") == schema.get("maxItems") and len(first) <= MAX_BRANCHES
        return "tuple" if fixed else "json"
    return "list" if isinstance(schema.get("items"), Mapping) and schema["items"] else "json"


def _kind_of_object(schema: dict[str, Any]) -> str:
    properties = schema.get("properties")
    if "patternProperties" in schema or any(word in schema for word in ("if", "dependentSchemas")):
        return "json"
    rest = schema.get("additionalProperties")
    if properties or (properties is not None and not rest):
        return "object" if len(properties) <= MAX_PROPERTIES else "json"
    return "map" if isinstance(rest, Mapping) and rest else "json"


def in_order(properties: Mapping[str, Any]) -> list[tuple[str, Any]]:
    """Properties by their `position`: a database keeps no order of names."""

    def position(each: tuple[str, Any]) -> float:
        found = each[1].get("position") if isinstance(each[1], Mapping) else None
        return found if isinstance(found, int | float) else 0

    return sorted(properties.items(), key=position)


def has_secrets(part: Any, shapes: Shapes) -> bool:
    """Whether a secret may stand anywhere in a part; bounded, and yes when that can't be told."""
    waiting, seen = [part], set()
    while waiting:
        shape = shapes.of(waiting.pop())
        if shape.kind == "secret" or len(seen) > MAX_PROPERTIES:
            return True
        if (mark := json.dumps(shape.schema, sort_keys=True)) in seen:
            continue
        seen.add(mark)
        schema = shape.schema
        waiting += [*schema.get("properties", {}).values(), *shape.branches, *schema.get("prefixItems", ())]
        waiting += [schema[word] for word in ("items", "additionalProperties") if isinstance(schema.get(word), Mapping)]
    return False
