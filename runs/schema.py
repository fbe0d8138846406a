"""Parameters against a deployment's JSON Schema. Doors know only the schema; the engine coerces by the types."""

from __future__ import annotations

from functools import lru_cache
from typing import Any

import jsonschema
import msgspec
from jsonschema.protocols import Validator
from referencing import Registry
from referencing.exceptions import Unresolvable

from orchestrator.wire import encode
from tenants.errors import Invalid

MAX_SCHEMA = 256 << 10  # bytes
MAX_ERRORS = 50


def check_schema(schema: Any) -> None:
    """Refuse what is no JSON Schema of an object.

    Raises:
        Invalid: With the reason.
    """
    if not isinstance(schema, dict) or schema.get("type", "object") != "object":
        raise Invalid("A parameter schema describes an object.", fields={"parameter_schema": "Must be of type object."})
    if len(encode(schema)) > MAX_SCHEMA:
        raise Invalid(
            f"A parameter schema has {MAX_SCHEMA >> 10} KiB at most.", fields={"parameter_schema": "Too large."}
        )
    try:
        jsonschema.Draft202012Validator.check_schema(schema)
    except jsonschema.SchemaError as error:
        raise Invalid(
            "This is no JSON Schema (draft 2020-12).", fields={"parameter_schema": error.message[:500]}
        ) from error


def check_parameters(schema: dict[str, Any], parameters: dict[str, Any]) -> None:
    """Refuse parameters that the schema does not allow.

    Raises:
        Invalid: `fields` maps `parameters.name.0.inner` to what is wrong there.
    """
    fields: dict[str, str] = {}
    try:
        for error in _validator(encode(schema)).iter_errors(parameters):
            fields |= {".".join(["parameters", *name]): message for name, message in _located(error)}
            if len(fields) >= MAX_ERRORS:
                break
    except Unresolvable as error:
        raise Invalid(f"The deployment's schema refers to {error.ref}, which it does not hold.") from error
    if fields:
        first, message = next(iter(fields.items()))
        raise Invalid(f"The parameters can't be taken: {first}: {message}", fields=fields)


@lru_cache(maxsize=512)
def _validator(schema: bytes) -> Validator:
    """An empty registry: a `$ref` reaches nothing outside the schema, above all no URL."""
    return jsonschema.Draft202012Validator(
        msgspec.json.decode(schema), format_checker=jsonschema.FormatChecker(), registry=Registry()
    )


def _located(error: jsonschema.ValidationError) -> list[tuple[list[str], str]]:
    """Where an error belongs: at the missing or the surplus field, not at the object around it."""
    path = [str(step) for step in error.absolute_path]
    if error.validator == "required":
        missing = [name for name in error.validator_value if name not in error.instance]
        return [([*path, name], "Required.") for name in missing]
    if error.validator == "additionalProperties" and isinstance(error.instance, dict):
        known = error.schema.get("properties", {})
        return [([*path, name], "The flow has no such parameter.") for name in error.instance if name not in known]
    return [(path, _short(error.message))]


def _short(message: str) -> str:
    return message if len(message) <= 300 else message[:297] + "…"
