"""What is wrong with data, in words that repeat nothing of the data."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

from orchestrator.block_data.places import pointer

_TYPES = {
    "string": "text",
    "integer": "a whole number",
    "number": "a number",
    "boolean": "true or false",
    "array": "a list",
    "object": "an object",
    "null": "null",
}
_BOUNDS = {
    "minLength": "{} characters or more.",
    "maxLength": "{} characters at most.",
    "minimum": "{} or more.",
    "maximum": "{} at most.",
    "exclusiveMinimum": "More than {}.",
    "exclusiveMaximum": "Less than {}.",
    "multipleOf": "A multiple of {}.",
    "minItems": "{} items or more.",
    "maxItems": "{} items at most.",
    "minProperties": "{} members or more.",
    "maxProperties": "{} members at most.",
    "pattern": "Must have the form {}.",
    "format": "Must be a valid {}.",
}
_FORMS = {"email": "e-mail address", "uri": "address", "date-time": "date and time with a zone", "uuid": "UUID"}


def located(error: Any) -> Iterator[tuple[str, str]]:
    """Where an error of jsonschema belongs and what it says: at the missing or the surplus member, not around it."""
    if (inner := _only_form(error)) is not None:
        for each in inner:
            yield from located(each)
        return
    at = ""
    for step in error.absolute_path:
        at = pointer(at, step)
    if error.validator == "required":
        yield from ((pointer(at, name), "Required.") for name in error.validator_value if name not in error.instance)
    elif error.validator == "additionalProperties" and isinstance(error.instance, dict):
        known = error.schema.get("properties", {})
        surplus = [name for name in error.instance if name not in known]
        yield from ((pointer(at, name), "The type has no such field.") for name in surplus)
    else:
        yield at, in_words(error)


def in_words(error: Any) -> str:
    """What a value has to be."""
    wanted = error.validator_value
    if error.validator == "type":
        kinds = [wanted] if isinstance(wanted, str) else wanted
        return f"Must be {' or '.join(_TYPES.get(kind, kind) for kind in kinds)}."
    if error.validator in {"enum", "const"}:
        choices = wanted if error.validator == "enum" else [wanted]
        return _short(f"Must be {' or '.join(json.dumps(choice, ensure_ascii=False) for choice in choices)}.")
    if error.validator == "uniqueItems":
        return "Has an item twice."
    if error.validator == "pattern" and "$block" in [*error.absolute_path][-1:]:
        return _short(f"Must name a block of the right type: {wanted}")
    if bound := _BOUNDS.get(error.validator):
        return _short(bound.format(_FORMS.get(wanted, wanted) if isinstance(wanted, str) else wanted))
    return "Has none of the forms that are allowed here."


def _only_form(error: Any) -> list[Any] | None:
    """Of a choice of forms, the errors of the only one that the value is of the right type for."""
    if error.validator not in {"anyOf", "oneOf"} or not error.context:
        return None
    forms: dict[Any, list[Any]] = {}
    for each in error.context:
        forms.setdefault(each.relative_schema_path[0], []).append(each)
    fitting = [found for found in forms.values() if not any(_is_of_other_type(each) for each in found)]
    return fitting[0] if len(fitting) == 1 else None


def _is_of_other_type(error: Any) -> bool:
    return error.validator == "type" and not error.relative_path


def _short(message: str) -> str:
    return message if len(message) <= 300 else message[:297] + "…"
