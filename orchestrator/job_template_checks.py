"""What a base job template can be, and which job variables a pool's template takes.

Shared by every server; it needs jsonschema, which the SDK alone does not. Templates come from tenants: their size,
their depth, what filling them in can make, and the steps that checking takes are all bounded.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from itertools import islice
from typing import Any

import msgspec

from orchestrator import job_variables
from orchestrator.job_templates import (
    BUILT_IN,
    PLACEHOLDER,
    PROCESS,
    defaults,
    environment,
    filled,
    placeholders,
    values,
)
from orchestrator.schema import SchemaRefusal, check_schema, wrong_values

FIELD = "base_job_template"
MAX_TEMPLATE = 64 << 10  # bytes of JSON
MAX_DEPTH = 20
MAX_VARIABLES = 100
MAX_PLACEHOLDERS = 100
MAX_CONFIGURATION = 256 << 10  # bytes of JSON, once filled in
MAX_NAMED = 20  # deployments that a refusal names

_TYPE = re.compile(r"[a-z][a-z0-9-]{0,39}")
_SHAPE = 'Like {"variables": {"type": "object", "properties": {…}}, "job_configuration": {…}}.'


def wrong_of_type(type: str, template: Any) -> dict[str, str]:
    """What of a new pool's type and template can't be taken, by field. Which types there are is for agents to say."""
    if not _TYPE.fullmatch(type):
        return {"type": "Small letters, digits and dashes: the name of a type, like `process`."}
    return wrong_template(template, type)


def wrong_template(template: Any, type: str) -> dict[str, str]:
    """What of a template can't be taken, by field; None is that of the type."""
    if template is None:
        told = f"Pools of the type {type} need a template: `orchestrator work-pool template --type {type}` prints one."
        return {} if type in BUILT_IN else {FIELD: told}
    if found := _wrong_shape(template):
        return found
    variables, configuration = template["variables"], template["job_configuration"]
    return (
        _wrong_variables(variables) or _wrong_configuration(variables, configuration, type) or _wrong_defaults(template)
    )


def _wrong_shape(template: Any) -> dict[str, str]:
    if not isinstance(template, dict) or set(template) != {"variables", "job_configuration"}:
        return {FIELD: _SHAPE}
    for name, part in template.items():
        if not isinstance(part, dict):
            return {f"{FIELD}.{name}": _SHAPE}
        if job_variables.is_deeper(part, MAX_DEPTH):
            return {f"{FIELD}.{name}": f"Nested {MAX_DEPTH} levels deep at most."}
    if len(msgspec.json.encode(template)) > MAX_TEMPLATE:
        return {FIELD: f"{MAX_TEMPLATE >> 10} KiB at most."}
    return {}


def _wrong_variables(variables: dict[str, Any]) -> dict[str, str]:
    place = f"{FIELD}.variables"
    try:
        check_schema(variables)
    except SchemaRefusal as refusal:
        return {place: next(iter((refusal.fields or {}).values()), str(refusal))}
    known = variables.get("properties", {})
    if len(known) > MAX_VARIABLES:
        return {place: f"{MAX_VARIABLES} variables at most."}
    odd = [name for name in known if not PLACEHOLDER.fullmatch(f"{{{{{name}}}}}")]
    return {f"{place}.properties": f"{odd[0]!r:.120} is no name: letters, digits and _ only."} if odd else {}


def _wrong_configuration(variables: dict[str, Any], configuration: dict[str, Any], type: str) -> dict[str, str]:
    place = f"{FIELD}.job_configuration"
    named = list(placeholders(configuration))
    if len(named) > MAX_PLACEHOLDERS:
        return {place: f"{MAX_PLACEHOLDERS} placeholders at most."}
    if unknown := [name for name in named if name not in variables.get("properties", {})]:
        return {place: f"There is no variable {unknown[0]!r}: declare it under `variables.properties`."}
    if _is_open(configuration):
        return {place: "Two braces begin a placeholder like {{ name }}, and nothing else."}
    if type in BUILT_IN and (odd := set(configuration) - set(BUILT_IN[type]["job_configuration"])):
        known = ", ".join(BUILT_IN[type]["job_configuration"])
        return {f"{place}.{min(odd)}": f"The type {type} knows {known}."}
    return {}


def _is_open(part: Any) -> bool:
    """Whether something begins a placeholder that is none, or stands in a name, where nothing is filled in."""
    if isinstance(part, str):
        return "{{" in PLACEHOLDER.sub("", part)
    if isinstance(part, dict) and any("{{" in name for name in part):
        return True
    inner = part.values() if isinstance(part, dict) else part if isinstance(part, list) else ()
    return any(_is_open(each) for each in inner)


def _wrong_defaults(template: dict[str, Any]) -> dict[str, str]:
    """Defaults are values as others are; what is required may be given by deployments."""
    optional = {name: told for name, told in template["variables"].items() if name != "required"}
    told = _against(optional, defaults(template))
    return {f"{FIELD}.variables.properties.{place.partition('.')[2]}": text for place, text in told.items()}


def wrong_variables(template: Mapping[str, Any], type: str, *layers: Mapping[str, Any] | None) -> dict[str, str]:
    """What of a deployment's job variables, and of a run's over them, the template of a pool can't take, by field."""
    found: dict[str, str] = {}
    for layer in layers:
        found |= job_variables.wrong(layer or {})
    if found:
        return found
    given = values(template, *layers)
    return _against(template["variables"], given) or _wrong_filled(filled(template, given), type)


def _against(schema: dict[str, Any], given: dict[str, Any]) -> dict[str, str]:
    try:
        return wrong_values(schema, given, of="job_variables", surplus="The work pool knows no such variable.")
    except SchemaRefusal as refusal:
        return {"job_variables": str(refusal)}


def _wrong_filled(configuration: dict[str, Any], type: str) -> dict[str, str]:
    if len(msgspec.json.encode(configuration)) > MAX_CONFIGURATION:
        return {"job_variables": f"The pool's template makes more than {MAX_CONFIGURATION >> 10} KiB of them."}
    if type != PROCESS:
        return {}
    told = {**configuration, "env": environment(configuration)}
    wrong = " ".join(job_variables.wrong(told).values())
    return {"job_variables": f"The pool's template makes of them what no process takes: {wrong}"} if wrong else {}


def unfit_told(count: int, wrong: Mapping[str, Mapping[str, str]]) -> tuple[str, dict[str, str]]:
    """How a template is refused that deployments of its pool do not fit: a message, and fields that name some of them.

    Args:
        count: How many deployments do not.
        wrong: What is wrong with those that may be named, by field, by flow and name.

    >>> unfit_told(2, {"etl/a": {"job_variables.cpus": "Required."}})[1]
    {'deployments.etl/a': 'job_variables.cpus: Required.'}
    """
    fields = {
        f"deployments.{name}": "; ".join(f"{place}: {text}" for place, text in told.items())[:300]
        for name, told in islice(wrong.items(), MAX_NAMED)
    }
    more = f", {count - len(fields)} of them not named here" if count > len(fields) else ""
    message = f"Deployments of this pool do not fit the new template: {count}{more}."
    return f"{message} Change their job variables, or give what is missing a default.", fields
