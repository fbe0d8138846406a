"""`--param name=value` on the command line."""

from __future__ import annotations

import json
from collections.abc import Iterable
from typing import Any

import click


def read_parameters(given: Iterable[str]) -> dict[str, Any]:
    """Read `name=value` pairs: a value that is JSON is taken as such, any other as a text.

    >>> read_parameters(["n=3", "day=2026-01-01", 'names=["a"]', 'code="7"'])
    {'n': 3, 'day': '2026-01-01', 'names': ['a'], 'code': '7'}
    """
    parameters: dict[str, Any] = {}
    for pair in given:
        name, equals, text = pair.partition("=")
        if not equals or not name:
            raise click.UsageError(f"--param is name=value, not {pair!r}.")
        try:
            parameters[name] = json.loads(text)
        except ValueError:
            parameters[name] = text
    return parameters
