"""Job variables: in what surroundings a run is started. A work pool gives some, a deployment others, a run its own.

What goes over another is a merge patch (RFC 7396): objects are changed name by name, null takes away, all else is put
in place. Pure, and shared by every server, so that they agree on what can be taken and on what an agent is told.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from itertools import starmap
from typing import Any

import msgspec

MAX_JOB_VARIABLES = 64 << 10  # bytes of JSON
MIN_MEMORY = 16  # MiB; no Python gets by with less
MAX_MEMORY = 1 << 24  # MiB
MAX_DEPTH = 20


def wrong(variables: Mapping[str, Any]) -> dict[str, str]:
    """What of them no work pool takes, by field; null takes away what they go over.

    `env` and `memory_mib` mean the same everywhere; what else a pool takes its template says (`job_template_checks`).

    >>> wrong({"env": {"LEVEL": None}}), wrong({"env": {"LEVEL": 1}})
    ({}, {'job_variables.env': 'Names of variables and their texts, like {"LEVEL": "debug"}.'})
    """
    found: dict[str, str] = {}
    if is_deeper(variables, MAX_DEPTH):
        found["job_variables"] = f"Nested {MAX_DEPTH} levels deep at most."
    elif len(msgspec.json.encode(variables)) > MAX_JOB_VARIABLES:
        found["job_variables"] = f"{MAX_JOB_VARIABLES >> 10} KiB at most."
    env = variables.get("env")
    if env is not None and not (isinstance(env, dict) and all(starmap(is_taken, env.items()))):
        found["job_variables.env"] = 'Names of variables and their texts, like {"LEVEL": "debug"}.'
    memory = variables.get("memory_mib")
    if memory is not None and (type(memory) not in (int, float) or not MIN_MEMORY <= memory <= MAX_MEMORY):
        found["job_variables.memory_mib"] = f"MiB, {MIN_MEMORY} or more."
    return found


def is_deeper(value: Any, levels: int) -> bool:
    """Whether something is nested more than so many levels deep."""
    parts = value.values() if isinstance(value, dict) else value if isinstance(value, list) else ()
    return levels < 0 or any(is_deeper(part, levels - 1) for part in parts)


def is_taken(name: str, text: Any) -> bool:
    """Whether this can stand in `env`: a variable of an environment, or None to take one away."""
    return is_variable(name, "" if text is None else text)


def is_variable(name: Any, text: Any) -> bool:
    """Whether a process can have such a variable in its environment.

    >>> is_variable("LEVEL", "debug"), is_variable("A=B", "x"), is_variable("A", 1)
    (True, False, False)
    """
    if not (isinstance(name, str) and isinstance(text, str)):
        return False
    return bool(name) and not set(name) & {"=", "\0"} and "\0" not in text


def patched(own: Mapping[str, Any], over: Mapping[str, Any] | None) -> dict[str, Any]:
    """What a run has whose deployment has its `own`.

    >>> patched({"env": {"A": "1", "B": "2"}, "memory_mib": 64}, {"env": {"A": "3", "B": None}, "memory_mib": None})
    {'env': {'A': '3'}}
    """
    found = dict(own)
    for name, value in (over or {}).items():
        if value is None:
            found.pop(name, None)
        elif isinstance(value, Mapping):
            former = found.get(name)
            found[name] = patched(former if isinstance(former, Mapping) else {}, value)
        else:
            found[name] = value
    return found


def changes(own: Mapping[str, Any], wanted: Mapping[str, Any]) -> dict[str, Any]:
    """The patch that makes what is `wanted` of what a deployment has; nothing is none.

    >>> changes({"env": {"A": "1"}, "memory_mib": 64}, {"env": {"A": "1", "B": "2"}})
    {'memory_mib': None, 'env': {'B': '2'}}
    """
    found: dict[str, Any] = {name: None for name in own if name not in wanted}
    for name, value in wanted.items():
        former = own.get(name)
        if isinstance(value, Mapping):
            inner = changes(former if isinstance(former, Mapping) else {}, value)
            if inner or (name in own and not isinstance(former, Mapping)):
                found[name] = inner
        elif name not in own or former != value:
            found[name] = value
    return found


def flat(variables: Mapping[str, Any], place: str = "", levels: int = MAX_DEPTH) -> Iterator[tuple[str, Any]]:
    """Each of them by its dotted place, for people.

    >>> list(flat({"env": {"LEVEL": "debug"}, "memory_mib": 64}))
    [('env.LEVEL', 'debug'), ('memory_mib', 64)]
    """
    for name, value in variables.items():
        if isinstance(value, Mapping) and value and levels:
            yield from flat(value, f"{place}{name}.", levels - 1)
        else:
            yield f"{place}{name}", value
