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


def read_secrets(given: Iterable[str]) -> dict[str, Any]:
    """Read `name=block` pairs: the Secret block that a parameter is taken from.

    >>> read_secrets(["password=warehouse"])
    {'password': {'$block': 'secret/warehouse'}}
    """
    pairs = [pair.partition("=") for pair in given]
    if bad := next(("".join(pair) for pair in pairs if not (pair[0] and pair[2])), None):
        raise click.UsageError(f"--secret is a parameter and the name of a Secret block, name=block; not {bad!r}.")
    return {name: {"$block": f"secret/{block.removeprefix('secret/')}"} for name, _, block in pairs}
