"""What a form says of a part of a schema: labels, types, bounds. Written by tenants, so cut to a length."""

from __future__ import annotations

import json
from typing import Any

from blocks.forms.fields import Choice
from blocks.forms.leaves import choices
from blocks.forms.shapes import Shape, Shapes

MAX_LABEL = 200
MAX_HELP = 2_000
_TYPES = {
    "text": "text", "lines": "text", "integer": "whole number", "number": "number", "decimal": "decimal number",
    "boolean": "yes or no", "choice": "one of", "const": "one of", "none": "nothing", "date": "date", "time": "time",
    "datetime": "date and time", "duration": "duration", "json": "JSON", "object": "", "union": "", "secret": "secret",
}  # fmt: skip


def label_of(shape: Shape, key: str) -> str:
    """The title, or the name in words."""
    title = shape.schema.get("title")
    return str(title or key.replace("_", " ").strip().capitalize() or key or "Value")[:MAX_LABEL]


def type_of(shape: Shape, shapes: Shapes) -> str:
    """A word or two for the type."""
    if shape.kind == "list":
        items = shapes.of(shape.schema["items"])
        word = "" if items.kind in {"list", "choice"} else type_of(items, shapes)
        return f"list of {word}" if word else "list"
    if shape.kind == "block":
        return f"block: {block_type(shape)}" if block_type(shape) else "block"
    if shape.kind in {"map", "tuple"}:
        return {"map": "names and values", "tuple": "values in order"}[shape.kind]
    form = str(shape.schema.get("format", ""))
    return {"path": "path", "uuid": "UUID", "email": "e-mail", "uri": "address"}.get(form, _TYPES[shape.kind])


def help_of(shape: Shape) -> str:
    """The description, else the bounds of a number."""
    told = str(shape.schema.get("description") or "").strip()[:MAX_HELP]
    least, most = (_readable(bounds_of(shape).get(name)) for name in ("min", "max"))
    if told or (least is None and most is None):
        return told
    if least is not None and most is not None:
        return f"{least} to {most}"
    return f"{least} or more" if most is None else f"{most} or less"


def _readable(number: str | None) -> str | None:
    digits = (number or "").removeprefix("-")
    return f"{int(number):,}" if number and digits.isdecimal() and len(digits) > 4 else number


def placeholder_of(shape: Shape, required: bool) -> str:
    """What an emptied control says it means."""
    if shape.nullable or not (required or shape.has_default):
        return "Not set"
    if required or shape.kind in {"text", "lines"}:
        return ""
    return f"{shape.schema['default']} when empty"[:MAX_LABEL]


def bounds_of(shape: Shape) -> dict[str, str]:
    """What a control may be told of its value: min, max, step, minlength, maxlength."""
    schema = shape.schema
    if shape.kind in {"text", "lines", "secret"}:
        found = {"minlength": schema.get("minLength") or None, "maxlength": schema.get("maxLength")}
    elif shape.kind in {"integer", "number"}:
        by = 1 if shape.kind == "integer" else 0
        found = {
            "min": _bound(schema.get("minimum"), schema.get("exclusiveMinimum"), by, max),
            "max": _bound(schema.get("maximum"), schema.get("exclusiveMaximum"), -by, min),
            "step": schema.get("multipleOf", 1 if by else "any"),
        }
    else:
        found = {}
    return {name: str(value) for name, value in found.items() if value is not None}


def _bound(inclusive: Any, exclusive: Any, by: int, nearest: Any) -> Any:
    known = [inclusive] if inclusive is not None else []
    if exclusive is not None:
        known.append(exclusive + by if exclusive == int(exclusive) else exclusive)
    return nearest(known) if known else None


def choices_of(shape: Shape) -> tuple[Choice, ...]:
    """What a select offers."""
    if shape.kind == "boolean":
        return (Choice("true", "Yes"), Choice("false", "No"))
    return tuple(
        Choice(json.dumps(value), (value if isinstance(value, str) and value else json.dumps(value))[:MAX_LABEL])
        for value in choices(shape)
    )


def are_few(offered: tuple[Choice, ...]) -> bool:
    """Whether they fit beside each other."""
    return 0 < len(offered) <= 4 and sum(len(each.label) + 3 for each in offered) <= 40


def branch_label(shape: Shape, shapes: Shapes) -> str:
    """What a card of a union says."""
    if shape.kind == "const":
        return choices_of(shape)[0].label
    title = shape.schema.get("title")
    if not title and shape.kind == "object":
        constants = [shapes.of(part) for part in shape.schema["properties"].values()]
        title = next((each.schema["const"] for each in constants if each.kind == "const"), "Fields")
    word = str(title or type_of(shape, shapes) or "One of")[:MAX_LABEL]
    return word[0].upper() + word[1:]


def block_type(shape: Shape) -> str:
    """The type of block that fits, or nothing for any."""
    found = shape.schema.get("x-block-type")
    return found[:MAX_LABEL] if isinstance(found, str) else ""
