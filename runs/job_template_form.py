"""A base job template on pages: its variables described, the form of the pool's defaults, and what is typed read."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import msgspec
from django.http import QueryDict

from blocks.forms import SchemaForm, in_order
from orchestrator.job_template_checks import FIELD
from orchestrator.job_templates import defaults
from tenants.errors import Invalid

NAMES = {"prefix": "d", "root": f"{FIELD}.variables.properties", "label": "Defaults"}
_ASKED = ("$defs", "definitions", "type")
"""What of a schema the form of defaults goes by: nothing is required there, and nothing beside the variables."""


@dataclass(frozen=True, slots=True)
class Variable:
    """A variable as people read it. `default` is JSON, or None without one."""

    name: str
    title: str
    type: str
    description: str
    default: str | None
    required: bool


def described(template: Mapping[str, Any]) -> list[Variable]:
    """The variables of a template, in the order in which forms ask for them."""
    known, given = _properties(template), defaults(template)
    needed = set(template["variables"].get("required") or ())
    return [
        Variable(
            name, str(told.get("title") or ""), _type(told), str(told.get("description") or ""),
            msgspec.json.encode(given[name]).decode() if name in given else None, name in needed,
        )
        for name, told in in_order(known)
    ]  # fmt: skip


def _properties(template: Mapping[str, Any]) -> dict[str, dict[str, Any]]:
    known = template["variables"].get("properties") or {}
    return {name: told if isinstance(told, dict) else {} for name, told in known.items()}


def _type(told: Mapping[str, Any]) -> str:
    if "enum" in told or "const" in told:
        return "choice"
    types = told.get("type", "any")
    return " or ".join(map(str, types)) if isinstance(types, list) else str(types)


def form(template: Mapping[str, Any], data: QueryDict | None = None, errors: Mapping[str, str] | None = None) -> Any:
    """The form of the pool's defaults: as they are, or as they were posted."""
    schema = _asked(template)
    if data is not None:
        return SchemaForm.of_post(schema, data, **NAMES)
    return SchemaForm.of_values(schema, defaults(template), errors=errors, **NAMES)


def _asked(template: Mapping[str, Any]) -> dict[str, Any]:
    schema = {name: template["variables"][name] for name in _ASKED if name in template["variables"]}
    asked = {name: {key: told[key] for key in told if key != "default"} for name, told in _properties(template).items()}
    return {**schema, "properties": asked, "additionalProperties": False}


def with_defaults(template: Mapping[str, Any], given: Mapping[str, Any]) -> dict[str, Any]:
    """The template with these defaults instead of its own.

    Raises:
        Invalid: One is of a variable that it has not.
    """
    known = template["variables"].get("properties") or {}
    if unknown := [name for name in given if name not in known]:
        raise Invalid("See fields.", fields={f"{NAMES['root']}.{unknown[0]}": "The template has no such variable."})
    told = {name: _with_default(schema, name, given) for name, schema in known.items()}
    return {**template, "variables": {**template["variables"], **({"properties": told} if told else {})}}


def _with_default(schema: Any, name: str, given: Mapping[str, Any]) -> Any:
    if not isinstance(schema, dict):
        return {"default": given[name]} if name in given and schema is True else schema
    rest = {key: value for key, value in schema.items() if key != "default"}
    return {**rest, "default": given[name]} if name in given else rest


def read(text: str) -> dict[str, Any] | None:
    """A template as it was typed; None where nothing was.

    Raises:
        Invalid: It is no JSON, or no object.
    """
    if not text.strip():
        return None
    try:
        found = msgspec.json.decode(text)
    except (msgspec.DecodeError, RecursionError) as error:
        raise Invalid("See fields.", fields={FIELD: f"This is no JSON: {str(error)[:200]}"}) from error
    if not isinstance(found, dict):
        raise Invalid("See fields.", fields={FIELD: "A template is a JSON object."})
    return found


def at_field(errors: Mapping[str, str]) -> dict[str, str]:
    """These errors, with those about a part of the template beside the one control that holds all of it."""
    told: dict[str, str] = {}
    for place, text in errors.items():
        field, _, part = place.partition(".")
        here = field == FIELD
        words = f"{part}: {text}" if here and part else text
        told[field if here else place] = f"{told[field]} {words}" if here and field in told else words
    return told
