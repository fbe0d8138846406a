"""Parameters against a deployment's JSON Schema. Doors know only the schema; the engine coerces by the types.

Shared by every server that takes triggers; it needs jsonschema, which the SDK alone does not.

Schema and parameters come from tenants, and Python's regular expressions, `$ref` and `uniqueItems` can each be made to
work for hours on a line of input, with the whole process standing still. So patterns are matched in linear time by the
engine that pydantic uses, references are counted, and items are compared by their bytes.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextvars import ContextVar
from decimal import Decimal
from functools import lru_cache, partial
from typing import Any

import jsonschema
import msgspec
from jsonschema.protocols import Validator
from jsonschema.validators import extend
from pydantic_core import SchemaError, SchemaValidator, core_schema
from referencing import Registry
from referencing.exceptions import Unresolvable

from orchestrator.wire import encode

MAX_SCHEMA = 256 << 10  # bytes
MAX_ERRORS = 50
MAX_REFERENCES = 20_000  # followed for one set of parameters


class SchemaRefusal(ValueError):
    """A schema that is none, or parameters that it does not allow. `fields` says where."""

    def __init__(self, message: str, fields: dict[str, str] | None = None) -> None:
        super().__init__(message)
        self.fields = fields


def check_schema(schema: Any) -> None:
    """Refuse what is no JSON Schema of an object.

    Raises:
        SchemaRefusal: With the reason.
    """
    if not isinstance(schema, dict) or schema.get("type", "object") != "object":
        raise SchemaRefusal(
            "A parameter schema describes an object.", fields={"parameter_schema": "Must be of type object."}
        )
    try:
        if len(encode(schema)) > MAX_SCHEMA:
            message = f"A parameter schema has {MAX_SCHEMA >> 10} KiB at most."
            raise SchemaRefusal(message, fields={"parameter_schema": "Too large."})
        jsonschema.Draft202012Validator.check_schema(schema, format_checker=jsonschema.FormatChecker(formats=()))
    except RecursionError as error:
        raise SchemaRefusal("The schema is nested too deeply.", fields={"parameter_schema": "Too deep."}) from error
    except jsonschema.SchemaError as error:
        raise SchemaRefusal(
            "This is no JSON Schema (draft 2020-12).", fields={"parameter_schema": error.message[:500]}
        ) from error


def check_parameters(schema: dict[str, Any], parameters: dict[str, Any]) -> None:
    """Refuse parameters that the schema does not allow.

    Raises:
        SchemaRefusal: `fields` maps `parameters.name.0.inner` to what is wrong there.
    """
    fields: dict[str, str] = {}
    for error in violations(schema, parameters):
        fields |= {".".join(["parameters", *name]): message for name, message in _located(error)}
        if len(fields) >= MAX_ERRORS:
            break
    if fields:
        first, message = next(iter(fields.items()))
        raise SchemaRefusal(f"The parameters can't be taken: {first}: {message}", fields=fields)


def violations(schema: Mapping[str, Any], value: Any) -> Iterator[jsonschema.ValidationError]:
    """All that is wrong with a value, one after the other. The messages repeat the value.

    Raises:
        SchemaRefusal: The schema can't be followed to its end.
    """
    _references.set(0)
    try:
        yield from _validator(encode(schema)).iter_errors(value)
    except Unresolvable as error:
        raise SchemaRefusal(f"The schema refers to {error.ref}, which it does not hold.") from error
    except RecursionError as error:
        raise SchemaRefusal("The schema refers to itself without an end, or goes too deep.") from error


@lru_cache(maxsize=512)
def _validator(schema: bytes) -> Validator:
    """An empty registry: a `$ref` reaches nothing outside the schema, above all no URL."""
    known = _without_pattern_properties(msgspec.json.decode(schema))
    return _Harmless(known, format_checker=_format_checker(), registry=Registry())


def _without_pattern_properties(schema: Any, is_schema: bool = True) -> Any:
    """Leave fields that are named by a pattern to the engine, and what the schema says of the rest of the fields."""
    if isinstance(schema, list):
        return [_without_pattern_properties(each) for each in schema]
    if not isinstance(schema, dict):
        return schema
    left_out = {"patternProperties", "additionalProperties", "unevaluatedProperties"}
    kept = left_out if is_schema and "patternProperties" in schema else set()
    maps = {"properties", "$defs", "definitions", "dependentSchemas"}
    return {
        name: value if name in {"const", "enum", "default"} and is_schema
        else _without_pattern_properties(value, is_schema=not (is_schema and name in maps))
        for name, value in schema.items()
        if name not in kept
    }  # fmt: skip


_references: ContextVar[int] = ContextVar("references")


def _counted(keyword: str) -> Any:
    """The keyword's own way of following a reference, but not for ever."""
    follow = jsonschema.Draft202012Validator.VALIDATORS[keyword]

    def check(validator: Any, ref: Any, instance: Any, schema: Any) -> Iterator[jsonschema.ValidationError]:
        _references.set(_references.get() + 1)
        if _references.get() > MAX_REFERENCES:
            raise RecursionError
        yield from follow(validator, ref, instance, schema) or ()

    return check


@lru_cache(maxsize=1_024)
def _matcher(pattern: str) -> SchemaValidator | None:
    """None for what this engine does not know (look-around, back-references): the run's own types check that."""
    try:
        return SchemaValidator(core_schema.str_schema(pattern=pattern))
    except SchemaError:
        return None


def _pattern(validator: Any, pattern: str, instance: Any, schema: Any) -> Iterator[jsonschema.ValidationError]:
    matcher = _matcher(pattern)
    if isinstance(instance, str) and matcher is not None and not matcher.isinstance_python(instance):
        yield jsonschema.ValidationError(f"{instance!r} does not match {pattern!r}")


def _unique(validator: Any, wanted: bool, instance: Any, schema: Any) -> Iterator[jsonschema.ValidationError]:
    if wanted and isinstance(instance, list):
        distinct = {msgspec.json.encode(item, order="sorted") for item in instance}
        if len(distinct) < len(instance):
            yield jsonschema.ValidationError("has an item twice")


def _bounded(keyword: str) -> Any:
    """A bound of numbers, for the digits of a decimal number in a text too."""
    compare = jsonschema.Draft202012Validator.VALIDATORS[keyword]

    def check(validator: Any, bound: Any, instance: Any, schema: Any) -> Iterator[jsonschema.ValidationError]:
        given = instance
        if isinstance(instance, str) and schema.get("format") == "decimal" and _fits("decimal", instance):
            given = Decimal(instance)
        for error in compare(validator, bound, given, schema) or ():
            yield jsonschema.ValidationError(error.message.replace(repr(given), str(instance)))

    return check


_Harmless = extend(
    jsonschema.Draft202012Validator,
    {
        "$ref": _counted("$ref"),
        "$dynamicRef": _counted("$dynamicRef"),
        "pattern": _pattern,
        "uniqueItems": _unique,
        **{word: _bounded(word) for word in ("minimum", "maximum", "exclusiveMinimum", "exclusiveMaximum")},
    },
)

# Formats mean what they mean to the engine, which reads the same texts into the types they stand for.
_FORMATS = {
    "date": core_schema.date_schema(),
    "date-time": core_schema.datetime_schema(),
    "time": core_schema.time_schema(),
    "duration": core_schema.timedelta_schema(),
    "uuid": core_schema.uuid_schema(),
    "uri": core_schema.url_schema(),
    "decimal": core_schema.decimal_schema(),
}


@lru_cache(maxsize=16)
def _reader(name: str) -> SchemaValidator:
    return SchemaValidator(_FORMATS[name])


def _fits(name: str, instance: Any) -> bool:
    return not isinstance(instance, str) or _reader(name).isinstance_python(instance)


def _format_checker() -> jsonschema.FormatChecker:
    checker = jsonschema.FormatChecker()
    for name in _FORMATS:
        checker.checks(name)(partial(_fits, name))
    return checker


def _located(error: Any, depth: int = 0) -> list[tuple[list[str], str]]:
    """Where an error belongs: at the missing or the surplus field, not at the object around it."""
    path = [str(step) for step in error.absolute_path]
    if error.validator == "required":
        missing = [name for name in error.validator_value if name not in error.instance]
        return [([*path, name], "Required.") for name in missing]
    if error.validator == "additionalProperties" and isinstance(error.instance, dict):
        known = error.schema.get("properties", {})
        word = "There is no such field." if path else "The flow has no such parameter."
        return [([*path, name], word) for name in error.instance if name not in known]
    if error.validator in {"anyOf", "oneOf"} and error.context and depth < 5:
        meant = _meant_branch(error)
        return [each for inner in meant for each in _located(inner, depth + 1)] or [(path, _fits_none(error))]
    return [(path, _short(error.message))]


def _meant_branch(error: Any) -> list[Any]:
    """What is wrong with a value in the branch of a union that was meant: the type fits, and so does what tells the
    branches apart.
    """
    branches: dict[Any, list[Any]] = {}
    for inner in error.context:
        branches.setdefault(inner.relative_schema_path[0], []).append(inner)
    near = [inners for inners in branches.values() if not any(_is_another(inner) for inner in inners)]
    return min(near, key=len, default=[])


def _is_another(inner: Any) -> bool:
    steps = len(inner.relative_path)
    return (steps == 0 and inner.validator in {"type", "const", "enum"}) or (steps == 1 and inner.validator == "const")


def _fits_none(error: Any) -> str:
    kinds = [inner.validator_value for inner in error.context if inner.validator == "type" and not inner.relative_path]
    if len(kinds) == len(error.validator_value) and all(isinstance(kind, str) for kind in kinds):
        return _short(f"{error.instance!r:.100} is not of type {' or '.join(dict.fromkeys(kinds))}")
    return _short(f"{error.instance!r:.100} is none of what is allowed here")


def _short(message: str) -> str:
    return message if len(message) <= 300 else message[:297] + "…"
