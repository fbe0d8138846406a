"""Parameters against a deployment's JSON Schema. Doors know only the schema; the engine coerces by the types.

Shared by every server that takes triggers; it needs jsonschema, which the SDK alone does not.

Schema and parameters come from tenants: what they may cost is bounded in `orchestrator.schema_validator`.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from functools import lru_cache
from typing import Any

import jsonschema
import msgspec
from jsonschema.exceptions import best_match
from jsonschema.protocols import Validator
from referencing import Registry
from referencing.exceptions import Unresolvable

from orchestrator.schema_validator import Harmless, OfSchemas, TooManySteps, format_checker, start
from orchestrator.wire import encode

MAX_SCHEMA = 256 << 10  # bytes
MAX_ERRORS = 50


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
        start()
        error = best_match(OfSchemas(OfSchemas.META_SCHEMA).iter_errors(schema))
    except RecursionError as error:
        raise SchemaRefusal("The schema is nested too deeply.", fields={"parameter_schema": "Too deep."}) from error
    if error:
        raise SchemaRefusal(
            "This is no JSON Schema (draft 2020-12).", fields={"parameter_schema": error.message[:500]}
        ) from error


def check_parameters(schema: dict[str, Any], parameters: dict[str, Any]) -> None:
    """Refuse parameters that the schema does not allow.

    Raises:
        SchemaRefusal: `fields` maps `parameters.name.0.inner` to what is wrong there.
    """
    if fields := wrong_values(schema, parameters, of="parameters", surplus="The flow has no such parameter."):
        first, message = next(iter(fields.items()))
        raise SchemaRefusal(f"The parameters can't be taken: {first}: {message}", fields=fields)


def wrong_values(schema: Mapping[str, Any], values: dict[str, Any], *, of: str, surplus: str) -> dict[str, str]:
    """What of values the schema does not allow, by the place of each: `of.name.0.inner`; MAX_ERRORS or a few more.

    Args:
        of: What they are, as the places of errors begin.
        surplus: What is said of a name that the schema does not know.

    Raises:
        SchemaRefusal: The schema can't be followed to its end.
    """
    fields: dict[str, str] = {}
    for error in violations(schema, values):
        fields |= {".".join([of, *name]): message or surplus for name, message in _located(error)}
        if len(fields) >= MAX_ERRORS:
            break
    return fields


def violations(schema: Mapping[str, Any], value: Any) -> Iterator[jsonschema.ValidationError]:
    """All that is wrong with a value, one after the other. The messages repeat the value.

    Raises:
        SchemaRefusal: The schema can't be followed to its end.
    """
    start(len(encode(value)))
    try:
        yield from _validator(encode(schema)).iter_errors(value)
    except Unresolvable as error:
        raise SchemaRefusal(f"The schema refers to {error.ref}, which it does not hold.") from error
    except RecursionError as error:
        raise SchemaRefusal("The schema refers to itself without an end, or goes too deep.") from error
    except TooManySteps as error:
        raise SchemaRefusal("The schema is too complex for this value: checking it takes too many steps.") from error


@lru_cache(maxsize=512)
def _validator(schema: bytes) -> Validator:
    """An empty registry: a `$ref` reaches nothing outside the schema, above all no URL."""
    known = msgspec.json.decode(schema)
    return Harmless(known, format_checker=format_checker(), registry=Registry())


def _located(error: Any, depth: int = 0) -> list[tuple[list[str], str]]:
    """Where an error belongs: at the missing or the surplus field, not at the object around it.

    A surplus field of the outermost object has no message here.
    """
    path = [str(step) for step in error.absolute_path]
    if error.validator == "required":
        missing = [name for name in error.validator_value if name not in error.instance]
        return [([*path, name], "Required.") for name in missing]
    if error.validator == "additionalProperties" and isinstance(error.instance, dict):
        known = error.schema.get("properties", {})
        word = "There is no such field." if path else ""
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
