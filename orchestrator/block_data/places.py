"""Which places of a block's data are secret, by the schema of its type."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

MAX_STEPS = 200_000  # of one walk: a schema that refers to itself can be made to branch without end

_SCHEMAS = ("additionalProperties", "unevaluatedProperties", "items", "unevaluatedItems", "contains")
_SAME_PLACE = ("if", "then", "else")
_MAPS = ("properties", "patternProperties", "$defs", "definitions", "dependentSchemas")
_LISTS = ("anyOf", "oneOf", "allOf", "prefixItems")
_MOVES_REFERENCES = ("$anchor", "$dynamicAnchor", "$dynamicRef")


class TooComplex(Exception):
    """A walk took more steps than it may."""


def pointer(at: str, step: str | int) -> str:
    """The place one step below.

    >>> pointer(pointer("", "a/b"), 0)
    '/a~1b/0'
    """
    return f"{at}/{str(step).replace('~', '~0').replace('/', '~1')}"


def secret_places(schema: Mapping[str, Any], data: Any) -> set[str]:
    """The places whose schema says `writeOnly` or `format: password`. Of several forms that a value may have, one that
    is secret makes it so; `null` is nobody's secret.

    Raises:
        TooComplex: The schema branches too much.
    """
    return set(_Walk(schema).below([schema], data, ""))


def foreign_reference(schema: Mapping[str, Any]) -> str:
    """Why a secret could hide from `secret_places`: a reference that leads elsewhere than to a place in the schema."""
    for part in _parts(schema):
        if word := next((word for word in _MOVES_REFERENCES if word in part), None):
            return f"{word} is not known here."
        if "$id" in part and part is not schema:
            return "$id within a schema is not known here."
        reference = part.get("$ref", "#")
        if not isinstance(reference, str) or _target(schema, reference) is None:
            return f"$ref {reference!r:.200} leads to no place in the schema."
    return ""


def _parts(schema: Any) -> Iterator[Mapping[str, Any]]:
    """The schema and all schemas in it."""
    if not isinstance(schema, dict):
        return
    yield schema
    for word in (*_SCHEMAS, *_SAME_PLACE, "not", "propertyNames"):
        yield from _parts(schema.get(word))
    for word in _MAPS:
        for part in _mapping(schema.get(word)).values():
            yield from _parts(part)
    for word in _LISTS:
        for part in _listed(schema.get(word)):
            yield from _parts(part)


def _target(schema: Mapping[str, Any], reference: str) -> Mapping[str, Any] | None:
    """The schema that a local reference means."""
    if reference != "#" and not reference.startswith("#/"):
        return None
    found: Any = schema
    for step in reference.split("/")[1:]:
        step = step.replace("~1", "/").replace("~0", "~")
        if isinstance(found, list) and step.isdecimal() and int(step) < len(found):
            found = found[int(step)]
        else:
            found = found.get(step) if isinstance(found, dict) else None
    return found if isinstance(found, dict) else None


class _Walk:
    """One walk along data and schema side by side."""

    def __init__(self, schema: Mapping[str, Any]) -> None:
        self.schema, self.steps = schema, 0

    def below(self, schemas: list[Any], value: Any, at: str) -> Iterator[str]:
        """The secret places of a value that any of these schemas may speak of."""
        forms = self._forms(schemas)
        if value is None:
            return
        if any(form.get("writeOnly") is True or form.get("format") == "password" for form in forms):
            yield at
        elif isinstance(value, dict):
            for name, item in value.items():
                yield from self.below(
                    [part for form in forms for part in _of_name(form, name)], item, pointer(at, name)
                )
        elif isinstance(value, list):
            for index, item in enumerate(value):
                yield from self.below(
                    [part for form in forms for part in _of_index(form, index)], item, pointer(at, index)
                )

    def _forms(self, schemas: list[Any]) -> list[Mapping[str, Any]]:
        """All schemas that speak of the same value: these, what they refer to, and their alternatives."""
        forms: dict[int, Mapping[str, Any]] = {}
        waiting = list(schemas)
        while waiting:
            self.steps += 1
            if self.steps > MAX_STEPS:
                raise TooComplex
            form = waiting.pop()
            if not isinstance(form, dict) or id(form) in forms:
                continue
            forms[id(form)] = form
            waiting += [form.get(word) for word in _SAME_PLACE]
            waiting += [part for word in ("anyOf", "oneOf", "allOf") for part in _listed(form.get(word))]
            waiting += _mapping(form.get("dependentSchemas")).values()
            if "$ref" in form:
                waiting.append(_target(self.schema, form["$ref"]))
        return list(forms.values())


def _of_name(form: Mapping[str, Any], name: str) -> Iterator[Any]:
    """What a schema says of a member. Patterns are taken to fit: too much is sealed rather than too little."""
    if name in (properties := _mapping(form.get("properties"))):
        yield properties[name]
    yield from _mapping(form.get("patternProperties")).values()
    if name not in properties:
        yield form.get("additionalProperties")
        yield form.get("unevaluatedProperties")


def _of_index(form: Mapping[str, Any], index: int) -> Iterator[Any]:
    """What a schema says of an item."""
    first = _listed(form.get("prefixItems"))
    if index < len(first):
        yield first[index]
    else:
        yield form.get("items")
        yield form.get("unevaluatedItems")
    yield form.get("contains")


def _mapping(value: Any) -> dict[str, Any]:
    return value if isinstance(value, dict) else {}


def _listed(value: Any) -> list[Any]:
    return value if isinstance(value, list) else []
