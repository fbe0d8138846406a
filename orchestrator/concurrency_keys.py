"""Concurrency keys: of which customer, say, a run is, so that keys share a deployment's slots fairly.

A deployment has a template over its runs' parameters. Shared by every server, so that they agree on each key.
"""

from __future__ import annotations

import hashlib
import string
from collections.abc import Iterable, Mapping
from typing import Any

import msgspec

MAX_KEY = 200
MAX_TEMPLATE = 500
_CUT = 160  # characters that are kept of a key that is too long, before its hash


def parameters_of(template: str) -> list[str]:
    """The parameters that a template names.

    Raises:
        ValueError: It is no template; the message says why.

    >>> parameters_of("{region}/{customer}")
    ['region', 'customer']
    """
    try:
        parts = list(string.Formatter().parse(template))
    except ValueError as error:
        raise ValueError(f"It is no template: {error}.") from error
    names = [name for _, name, _, _ in parts if name is not None]
    plain = all(not spec and not conversion for _, name, spec, conversion in parts if name is not None)
    if not plain or not all(name.isidentifier() for name in names):
        raise ValueError("Parameters stand in braces by their names alone, like {customer}.")
    return names


def wrong_in_template(template: str, known: Iterable[str] | None = None) -> str:
    """What is wrong with a template; nothing, if it can be used.

    Args:
        known: The deployment's parameters; None: any.

    >>> wrong_in_template("{customer}", ["customer"]), bool(wrong_in_template("{custmer}", ["customer"]))
    ('', True)
    """
    if len(template) > MAX_TEMPLATE:
        return f"{MAX_TEMPLATE} characters at most."
    try:
        names = parameters_of(template)
    except ValueError as error:
        return str(error)
    unknown = [name for name in names if known is not None and name not in set(known)]
    return f"The flow has no parameter {unknown[0]!r:.100}." if unknown else ""


def wrong_in_key(key: str) -> str:
    """What is wrong with a key that somebody gives a run; nothing, if it can be used."""
    return "" if len(key) <= MAX_KEY else f"{MAX_KEY} characters at most."


def fill(template: str, parameters: Mapping[str, Any], schema: Mapping[str, Any]) -> str:
    """The key of a run with these parameters. What it was not given has its default; without one it stands for nothing.

    >>> fill("{region}/{customer}", {"customer": 17}, {"properties": {"region": {"default": "eu"}}})
    'eu/17'
    """
    if not template:
        return ""
    known = schema.get("properties") or {}
    defaults = {name: (known.get(name) or {}).get("default") for name in parameters_of(template)}
    key = template.format_map({name: _text(parameters.get(name, default)) for name, default in defaults.items()})
    if len(key) <= MAX_KEY:
        return key
    return f"{key[:_CUT]}…{hashlib.sha256(key.encode()).hexdigest()[:32]}"


def _text(value: Any) -> str:
    if value is None:
        return ""
    return value if isinstance(value, str) else msgspec.json.encode(value).decode()
