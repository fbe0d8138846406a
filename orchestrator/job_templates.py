"""Base job templates of work pools: what an agent is told to start, made from job variables.

A template has two parts. `variables` is the JSON Schema of an object: the variables that there are, with the defaults
of the pool. `job_configuration` is what the launcher of the pool's type is told, with placeholders for variables:

    {"variables": {"type": "object", "properties": {"level": {"type": "string", "default": "info"}}},
     "job_configuration": {"env": {"LOG_LEVEL": "{{ level }}"}}}

A deployment's job variables go over the pool's defaults, a run's over both. Filling in puts values in place and does
nothing else: a template can compute nothing, loop over nothing and reach nothing.

Pure, and shared by servers and agents, so that they agree. What a template can be, `job_template_checks` says.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from typing import Any

import msgspec

from orchestrator.job_variables import MAX_MEMORY, MIN_MEMORY, patched

PLACEHOLDER = re.compile(r"\{\{\s*([A-Za-z_][A-Za-z0-9_]{0,99})\s*\}\}")
PROCESS = "process"

BUILT_IN: dict[str, dict[str, Any]] = {
    PROCESS: {
        "variables": {
            "type": "object",
            "properties": {
                "env": {
                    "type": "object",
                    "title": "Environment",
                    "description": "Variables of the process, by name.",
                    "additionalProperties": {"type": "string"},
                    "default": {},
                    "position": 0,
                },
                "memory_mib": {
                    "type": "number",
                    "title": "Memory",
                    "description": "MiB that its processes may use before they are ended; no bound when empty.",
                    "minimum": MIN_MEMORY,
                    "maximum": MAX_MEMORY,
                    "position": 1,
                },
            },
            "additionalProperties": False,
        },
        "job_configuration": {"env": "{{ env }}", "memory_mib": "{{ memory_mib }}"},
    }
}
"""The templates of the types that every agent has: those of pools that have none of their own."""

_NOTHING: Any = object()


def of_pool(type: str, own: Mapping[str, Any] | None) -> dict[str, Any]:
    """The template of a pool: its own, or else that of its type."""
    return dict(own) if own else BUILT_IN.get(type, {"variables": {"type": "object"}, "job_configuration": {}})


def defaults(template: Mapping[str, Any]) -> dict[str, Any]:
    """The variables that the pool itself gives.

    >>> defaults(BUILT_IN["process"])
    {'env': {}}
    """
    known = template["variables"].get("properties") or {}
    return {name: told["default"] for name, told in known.items() if isinstance(told, dict) and "default" in told}


def values(template: Mapping[str, Any], *layers: Mapping[str, Any] | None) -> dict[str, Any]:
    """The variables of a run: the pool's defaults, and over them its deployment's and its own.

    >>> values(BUILT_IN["process"], {"env": {"A": "1"}, "memory_mib": 64}, {"env": {"B": "2"}, "memory_mib": None})
    {'env': {'A': '1', 'B': '2'}}
    """
    found = defaults(template)
    for layer in layers:
        found = patched(found, layer)
    return found


def filled(template: Mapping[str, Any], given: Mapping[str, Any]) -> dict[str, Any]:
    """The job configuration with these values in place of the placeholders.

    A text that is one placeholder becomes the value, of whatever type; within a longer text values are written out.
    What has no value is left out, with the name or the place that it stands at. Never fails.

    >>> told = {"cpus": "{{ cpus }}", "tag": "v{{ cpus }}-{{ none }}", "none": "{{ none }}"}
    >>> filled({"job_configuration": told}, {"cpus": 2})
    {'cpus': 2, 'tag': 'v2-'}
    """
    return {
        name: value
        for name, part in template["job_configuration"].items()
        if (value := _filled(part, given)) is not _NOTHING
    }


def _filled(part: Any, given: Mapping[str, Any]) -> Any:
    if isinstance(part, str):
        return _text(part, given)
    if isinstance(part, Mapping):
        pairs = ((name, _filled(inner, given)) for name, inner in part.items())
        return {name: value for name, value in pairs if value is not _NOTHING}
    if isinstance(part, list):
        return [value for inner in part if (value := _filled(inner, given)) is not _NOTHING]
    return part


def _text(text: str, given: Mapping[str, Any]) -> Any:
    if alone := PLACEHOLDER.fullmatch(text.strip()):
        return given.get(alone[1], _NOTHING)
    return PLACEHOLDER.sub(lambda found: written(given.get(found[1], "")), text)


def written(value: Any) -> str:
    """A value as it stands in a text: texts as they are, all else as JSON.

    >>> written("a"), written(2.5), written(True), written(["a", 1])
    ('a', '2.5', 'true', '["a",1]')
    """
    return value if isinstance(value, str) else msgspec.json.encode(value).decode()


def placeholders(part: Any) -> Iterator[str]:
    """The variables that a configuration names, each as often as it does.

    >>> list(placeholders({"env": {"A": "{{ a }} and {{ b }}"}, "more": ["{{ a }}"]}))
    ['a', 'b', 'a']
    """
    if isinstance(part, str):
        yield from PLACEHOLDER.findall(part)
    elif isinstance(part, Mapping | list):
        for inner in part.values() if isinstance(part, Mapping) else part:
            yield from placeholders(inner)


def environment(configuration: Mapping[str, Any]) -> dict[str, str]:
    """What a job configuration adds to the environment of a process: all of it is text there.

    >>> environment({"env": {"PORT": 80, "DEBUG": True, "LEVEL": "info", "NONE": None}})
    {'PORT': '80', 'DEBUG': 'true', 'LEVEL': 'info'}
    """
    told = configuration.get("env")
    if not isinstance(told, Mapping):
        return {}
    return {name: written(value) for name, value in told.items() if value is not None}
