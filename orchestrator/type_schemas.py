"""JSON Schemas of types, as forms and checks need them.

Pydantic writes them; here they get what it leaves out: the order of fields (a database keeps no order of names), help
from docstrings, and rules for what it leaves open, so that the schema and the types refuse the same.
"""

from __future__ import annotations

import inspect
import sys
import types
from collections.abc import Mapping
from functools import lru_cache
from typing import Annotated, Any, Union, get_args, get_origin

from orchestrator.docstrings import parameters_of, summary_of

_DECIMAL = r"^[+-]?([0-9]+\.?[0-9]*|\.[0-9]+)([eE][+-]?[0-9]+)?$"
_BOUNDS = ("minimum", "maximum", "exclusiveMinimum", "exclusiveMaximum")


def schemas_of(adapters: Mapping[str, Any]) -> tuple[dict[str, Any], dict[str, Any]]:
    """The schema of each of these TypeAdapters, and the definitions that they refer to."""
    from pydantic import TypeAdapter

    from orchestrator.blocks.schema import with_blocks_inline

    inputs = [(name, "validation", adapter) for name, adapter in adapters.items()]
    schemas, rest = TypeAdapter.json_schemas(inputs, schema_generator=_generator())  # pyright: ignore[reportArgumentType]
    described = {"properties": {name: dict(schema) for (name, _), schema in schemas.items()}}
    inline = with_blocks_inline({**described, "$defs": dict(rest).get("$defs", {})})
    found, definitions = inline["properties"], inline.get("$defs", {})
    for schema in [*found.values(), *definitions.values()]:
        _explain(schema)
    return found, definitions


@lru_cache(maxsize=1)
def _generator() -> Any:
    from pydantic.json_schema import GenerateJsonSchema

    class Lenient(GenerateJsonSchema):
        """What has no schema may be anything: the types decide in the engine."""

        ignored_warning_kinds = {"skipped-choice", "non-serializable-default", "skipped-discriminator"}

        def handle_invalid_for_json_schema(self, schema: Any, error_info: str) -> dict[str, Any]:
            return {}

        def decimal_schema(self, schema: Any) -> dict[str, Any]:
            """A number, or its digits as a text, which loses none; bounds go for both."""
            number = {"type": "number"}
            known = {"ge": "minimum", "gt": "exclusiveMinimum", "le": "maximum", "lt": "exclusiveMaximum"}
            number |= {word: float(schema[key]) for key, word in known.items() if schema.get(key) is not None}
            bounds = {word: number[word] for word in _BOUNDS if word in number}
            text = {"type": "string", "format": "decimal", "pattern": _DECIMAL, **bounds}
            return {"anyOf": [number, text]}

    return Lenient


def _explain(schema: dict[str, Any]) -> None:
    """Give fields their order and their help, and keep of a docstring what is no list of fields."""
    properties = schema.get("properties")
    if not isinstance(properties, dict):
        return
    told = schema.get("description")
    helps = parameters_of(told) if isinstance(told, str) else {}
    if helps:
        schema["description"] = summary_of(str(told))
    for position, (name, part) in enumerate(properties.items()):
        if isinstance(part, dict):
            part.setdefault("position", position)
            if name in helps:
                part.setdefault("description", helps[name])


# Types that pydantic does not take as they are.


def known_to_pydantic(kind: Any) -> Any:
    """A type in which `typing.TypedDict` is replaced by the one that pydantic can look into before Python 3.12."""
    return _replaced(kind, {}) if sys.version_info < (3, 12) else kind


def _replaced(kind: Any, known: dict[Any, Any]) -> Any:
    if isinstance(kind, type) and type(kind).__name__ == "_TypedDictMeta" and type(kind).__module__ == "typing":
        return known[kind] if kind in known else _new_typed_dict(kind, known)
    arguments = get_args(kind)
    if not arguments or get_origin(kind) is None:
        return kind
    if get_origin(kind) is Annotated:
        return Annotated[(_replaced(arguments[0], known), *kind.__metadata__)]
    new = tuple(_replaced(each, known) for each in arguments)
    if all(one is other for one, other in zip(new, arguments, strict=True)):
        return kind
    if get_origin(kind) in {Union, types.UnionType}:
        return Union[new]  # noqa: UP007
    origin: Any = get_origin(kind)
    return origin[new]


def _new_typed_dict(kind: Any, known: dict[Any, Any]) -> Any:
    import typing_extensions as typing

    known[kind] = dict[str, Any]  # Within itself it is any dictionary.
    fields: dict[str, Any] = {}
    for name, hint in typing.get_type_hints(kind, include_extras=True).items():
        # The class itself doesn't see through annotations that are texts.
        told = get_origin(hint) in {typing.Required, typing.NotRequired}
        needed = get_origin(hint) is typing.Required if told else name in kind.__required_keys__
        inner = _replaced(get_args(hint)[0] if told else hint, known)
        fields[name] = (typing.Required if needed else typing.NotRequired)[inner]
    known[kind] = made = typing.TypedDict(kind.__name__, fields)  # pyright: ignore[reportArgumentType, reportGeneralTypeIssues]
    made.__doc__ = inspect.getdoc(kind) if kind.__doc__ else None
    return made
