"""A JSON Schema validator that schemas and values of tenants can't keep busy: each step of it is counted.

Python's regular expressions, `uniqueItems` and `unevaluatedProperties` can each be made to work for hours on a line of
input, with the whole process standing still. So patterns are matched in linear time by the engine that pydantic uses,
items are compared by their bytes, what is unevaluated is left to the run's own types, and whatever a schema makes of
a value (branches of branches, long lists within long lists, messages that repeat the value) is paid for in steps.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextvars import ContextVar
from decimal import Decimal
from functools import lru_cache, partial
from typing import Any

import attrs
import jsonschema
import msgspec
from jsonschema.validators import extend
from pydantic_core import SchemaError, SchemaValidator, core_schema

MAX_STEPS = 800_000  # for one value
# What a small value may take, and each byte more: rows, numbers and forms take a third to two thirds of it.
STEPS, STEPS_PER_BYTE = 50_000, 1.5
SIDE_BY_SIDE = 8  # things that a keyword only looks at, for the price of one step
CHARACTERS = 100
ERROR = 10
REFERENCE = 4

# They put a schema to each item of the value, or many schemas to the value.
_TO_EACH = frozenset({"items", "contains", "additionalProperties", "propertyNames"})
_MANY = frozenset({"allOf", "anyOf", "oneOf", "prefixItems"})

_REFERENCES = frozenset({"$ref", "$dynamicRef"})

REFERENCES_DEEP = 64  # one within the other: Python's own end of recursion may come in code that can't bear it

_left: ContextVar[int] = ContextVar("schema_steps_left", default=MAX_STEPS)
_deep: ContextVar[int] = ContextVar("schema_references_deep", default=0)


class TooManySteps(Exception):
    """A schema makes too much work of a value."""


def start(size: int | None = None) -> None:
    """Begin to count for another value of so many bytes (None: a large one). Who sends little can't make much work."""
    _left.set(MAX_STEPS if size is None else min(MAX_STEPS, STEPS + int(STEPS_PER_BYTE * size)))
    _deep.set(0)


def spend(steps: int) -> None:
    """Take steps of what is left.

    Raises:
        TooManySteps: There are no more.
    """
    left = _left.get() - steps
    _left.set(left)
    if left < 0:
        raise TooManySteps


def _followed(check: Any) -> Any:
    """A reference, which may lead to others, but not for ever.

    Raises:
        RecursionError: It leads too deep.
    """

    def followed(validator: Any, given: Any, instance: Any, schema: Any) -> Iterator[jsonschema.ValidationError]:
        if (deep := _deep.get()) >= REFERENCES_DEEP:
            raise RecursionError
        _deep.set(deep + 1)
        try:
            yield from check(validator, given, instance, schema) or ()
        finally:
            _deep.set(deep)

    return followed


def _size(thing: Any) -> int:
    if isinstance(thing, dict | list):
        return len(thing) // SIDE_BY_SIDE
    return len(thing) // (CHARACTERS * SIDE_BY_SIDE) if isinstance(thing, str) else 0


def _price(keyword: str, given: Any, instance: Any) -> int:
    if keyword in _MANY and isinstance(given, list):
        return 1 + len(given)
    if keyword in _TO_EACH and isinstance(instance, dict | list):
        return 1 + len(instance)
    return (REFERENCE if keyword in _REFERENCES else 1) + _size(given) + _size(instance)


def _paid(keyword: str, check: Any) -> Any:
    """A keyword that is paid for before it looks at a value, and for the messages that it makes of it."""

    def paid(validator: Any, given: Any, instance: Any, schema: Any) -> Iterator[jsonschema.ValidationError]:
        spend(_price(keyword, given, instance))
        for error in check(validator, given, instance, schema) or ():
            # Made by this keyword, or by one within it and handed on.
            spend(1 if error.schema_path else ERROR + len(error.message) // CHARACTERS)
            yield error

    return paid


def _nothing(validator: Any, given: Any, instance: Any, schema: Any) -> tuple[()]:
    return ()


def _const(validator: Any, const: Any, instance: Any, schema: Any) -> Iterator[jsonschema.ValidationError]:
    if not _same(const, instance):
        yield jsonschema.ValidationError(f"{const!r} was expected")


def _enum(validator: Any, enum: Any, instance: Any, schema: Any) -> Iterator[jsonschema.ValidationError]:
    if not any(_same(each, instance) for each in enum):
        yield jsonschema.ValidationError(f"{instance!r} is not one of {enum!r}")


def _same(one: Any, two: Any) -> bool:
    """Equal as JSON is: true is not 1."""
    if isinstance(one, list) and isinstance(two, list):
        spend(1 + _size(one))
        return len(one) == len(two) and all(map(_same, one, two))
    if isinstance(one, dict) and isinstance(two, dict):
        spend(1 + _size(one))
        return one.keys() == two.keys() and all(_same(one[name], two[name]) for name in one)
    return one == two and isinstance(one, bool) == isinstance(two, bool)


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
        spend(sum(map(len, distinct)) // (CHARACTERS * SIDE_BY_SIDE))
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


def _additional(validator: Any, given: Any, instance: Any, schema: Any) -> Iterator[jsonschema.ValidationError]:
    """Fields that are named by a pattern are left to the run, and with them what is said of the rest of the fields."""
    if "patternProperties" not in schema:
        yield from jsonschema.Draft202012Validator.VALIDATORS["additionalProperties"](
            validator, given, instance, schema
        )


_KEYWORDS = {
    **jsonschema.Draft202012Validator.VALIDATORS,
    "additionalProperties": _additional,
    "const": _const,
    "enum": _enum,
    "pattern": _pattern,
    "patternProperties": _nothing,
    "unevaluatedItems": _nothing,
    "unevaluatedProperties": _nothing,
    "uniqueItems": _unique,
    **{word: _followed(jsonschema.Draft202012Validator.VALIDATORS[word]) for word in _REFERENCES},
    **{word: _bounded(word) for word in ("minimum", "maximum", "exclusiveMinimum", "exclusiveMaximum")},
}
Harmless = extend(
    jsonschema.Draft202012Validator, {keyword: _paid(keyword, check) for keyword, check in _KEYWORDS.items()}
)
# What a schema itself must be. That one is not a tenant's: it takes a walk as long as the schema.
OfSchemas = extend(jsonschema.Draft202012Validator, {"uniqueItems": _unique})
# Of themselves, validators become others at a `$schema` within a schema, which know none of this.
Harmless.evolve = OfSchemas.evolve = attrs.evolve

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


def format_checker() -> jsonschema.FormatChecker:
    checker = jsonschema.FormatChecker()
    for name in _FORMATS:
        checker.checks(name)(partial(_fits, name))
    return checker
