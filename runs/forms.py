"""A form from a deployment's JSON Schema: flat types have controls of their own, the rest is typed as JSON.

The schema is checked by the one check that all doors share (`runs.schema`); this module only translates between the
texts of an HTML form and JSON values.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

PREFIX = "p."
NULL = "null"


@dataclass(frozen=True, slots=True)
class Field:
    """One parameter as a form shows it.

    `control` is text, textarea, integer, number, boolean, select, date, datetime or json. `text` is what stands in the
    control; `error` what is wrong with it.
    """

    name: str
    label: str
    control: str
    required: bool
    help: str
    text: str
    error: str = ""
    choices: tuple[tuple[str, str], ...] = ()
    minimum: float | None = None
    maximum: float | None = None
    min_length: int | None = None
    max_length: int | None = None
    nullable: bool = False
    type_name: str = ""

    @property
    def input_name(self) -> str:
        """The control's name in the form."""
        return PREFIX + self.name

    @property
    def id(self) -> str:
        """The control's id in the page."""
        return f"parameter-{self.name}"


def fields(
    schema: Mapping[str, Any],
    values: Mapping[str, Any],
    texts: Mapping[str, str] | None = None,
    errors: Mapping[str, str] | None = None,
) -> list[Field]:
    """The fields of a schema. What was typed (`texts`) goes before values, values before the schema's defaults."""
    required = set(schema.get("required", []))
    properties = schema.get("properties", {})
    ordered = sorted(properties, key=lambda name: properties[name].get("position", 0))
    found = []
    for name in ordered:
        part = _resolved(properties[name], schema)
        value = values.get(name, part.get("default"))
        text = (texts or {}).get(PREFIX + name) if texts is not None else to_text(part, value)
        error = next((told for path, told in (errors or {}).items() if _belongs(path, name)), "")
        found.append(_field(name, part, name in required, text or "", error))
    return found


def _belongs(path: str, name: str) -> bool:
    return path == f"parameters.{name}" or path.startswith(f"parameters.{name}.")


def _field(name: str, part: Mapping[str, Any], required: bool, text: str, error: str) -> Field:
    control = control_of(part)
    return Field(
        name=name,
        label=str(part.get("title") or name.replace("_", " ").capitalize()),
        control=control,
        required=required,
        help=str(part.get("description", "")),
        text=text,
        error=error,
        choices=_choices(part) if control == "select" else (),
        minimum=part.get("minimum", part.get("exclusiveMinimum")),
        maximum=part.get("maximum", part.get("exclusiveMaximum")),
        min_length=part.get("minLength"),
        max_length=part.get("maxLength"),
        nullable=bool(part.get("nullable")),
        type_name=_type_name(part),
    )


def _resolved(part: Mapping[str, Any], schema: Mapping[str, Any]) -> dict[str, Any]:
    """Follow a reference within the schema, and take `T or null` as T that may be empty."""
    part = dict(part)
    for _ in range(10):
        reference = part.pop("$ref", None)
        if not isinstance(reference, str) or not reference.startswith("#/$defs/"):
            break
        target = schema.get("$defs", {}).get(reference.removeprefix("#/$defs/"), {})
        part = {**target, **part}
    options = part.get("anyOf")
    if isinstance(options, list) and {"type": "null"} in options:
        others = [option for option in options if option != {"type": "null"}]
        if len(others) == 1:
            rest = {key: value for key, value in part.items() if key != "anyOf"}
            return {**_resolved(others[0], schema), **rest, "nullable": True}
    if isinstance(part.get("allOf"), list) and len(part["allOf"]) == 1:
        rest = {key: value for key, value in part.items() if key != "allOf"}
        return {**_resolved(part["allOf"][0], schema), **rest}
    return part


def control_of(part: Mapping[str, Any]) -> str:
    """Which control a schema is edited with."""
    if "enum" in part or "const" in part:
        return "select"
    kind, form = part.get("type"), part.get("format")
    if kind == "string":
        return {"date": "date", "date-time": "datetime"}.get(str(form), "text")
    return {"integer": "integer", "number": "number", "boolean": "boolean"}.get(str(kind), "json")


def _type_name(part: Mapping[str, Any]) -> str:
    words = {"text": "text", "integer": "whole number", "select": "one of", "datetime": "date and time", "json": "JSON"}
    control = control_of(part)
    return words.get(control, control)


def _choices(part: Mapping[str, Any]) -> tuple[tuple[str, str], ...]:
    values = part["enum"] if "enum" in part else [part["const"]]
    return tuple((json.dumps(value), str(value)) for value in values)


def to_text(part: Mapping[str, Any], value: Any) -> str:
    """A JSON value as its control shows it."""
    control = control_of(part)
    if value is None:
        return ""
    if control == "json":
        return json.dumps(value, indent=2, ensure_ascii=False)
    if control in {"select", "boolean"}:
        return json.dumps(value)
    if control == "datetime":
        return _local(str(value))
    return str(value)


def _local(text: str) -> str:
    """A time as `datetime-local` takes it, in UTC."""
    try:
        moment = datetime.fromisoformat(text)
    except ValueError:
        return text
    moment = moment.astimezone(UTC) if moment.tzinfo else moment
    return moment.replace(tzinfo=None).isoformat(timespec="minutes")


def read(schema: Mapping[str, Any], posted: Mapping[str, str]) -> tuple[dict[str, Any], dict[str, str]]:
    """The values that were posted, and what could not be read, by path. Empty controls are left out.

    An empty control of a text parameter without a default is the empty text.
    """
    values: dict[str, Any] = {}
    errors: dict[str, str] = {}
    required = set(schema.get("required", []))
    for name, raw in schema.get("properties", {}).items():
        part = _resolved(raw, schema)
        text = posted.get(PREFIX + name)
        if text is None or (not text.strip() and not _may_be_empty(part, name in required)):
            _leave_out(part, name, text, values)
            continue
        try:
            values[name] = _value(part, text)
        except ValueError as error:
            errors[f"parameters.{name}"] = str(error)
    return values, errors


def _may_be_empty(part: Mapping[str, Any], required: bool) -> bool:
    return control_of(part) == "text" and not part.get("nullable") and (required or "default" in part)


def _leave_out(part: Mapping[str, Any], name: str, text: str | None, values: dict[str, Any]) -> None:
    """An empty control means null where null is allowed, an unchecked box False."""
    if control_of(part) == "boolean" and not part.get("nullable"):
        values[name] = False
    elif text is not None and part.get("nullable"):
        values[name] = None


def _value(part: Mapping[str, Any], text: str) -> Any:
    control = control_of(part)
    if control == "integer":
        return _number(int, text, "A whole number.")
    if control == "number":
        return _number(float, text, "A number.")
    if control == "boolean":
        return text.strip().lower() in {"true", "on", "1", "yes"}
    if control in {"select", "json"}:
        return _json(text)
    if control == "datetime":
        return _moment(text)
    return text.replace("\r\n", "\n") if control == "text" else text


def _number(kind: Any, text: str, message: str) -> Any:
    try:
        return kind(text.strip())
    except (ValueError, OverflowError):
        raise ValueError(message) from None


def _json(text: str) -> Any:
    try:
        return json.loads(text)
    except (ValueError, RecursionError) as error:
        raise ValueError(f"This is no JSON: {error}") from None


def _moment(text: str) -> str:
    """ISO 8601 with a zone; a control without one means UTC."""
    try:
        moment = datetime.fromisoformat(text.strip())
    except ValueError:
        raise ValueError("A date and time, as 2026-05-19T15:30.") from None
    return (moment if moment.tzinfo else moment.replace(tzinfo=UTC)).isoformat()
