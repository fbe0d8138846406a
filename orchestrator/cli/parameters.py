"""`--param name=value`, `--job-variable name=value` and `--secret name=block` on the command line."""

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
    return _pairs("--param", given)


def _pairs(option: str, given: Iterable[str]) -> dict[str, Any]:
    found: dict[str, Any] = {}
    for pair in given:
        name, equals, text = pair.partition("=")
        if not equals or not name:
            raise click.UsageError(f"{option} is name=value, not {pair!r}.")
        try:
            found[name] = json.loads(text)
        except ValueError:
            found[name] = text
    return found


def read_job_variables(given: Iterable[str], env: Iterable[str] = (), memory: float | None = None) -> dict[str, Any]:
    """Read what is said of a run's surroundings: `name=value` pairs, variables of its environment, MiB of memory.

    `env.NAME=text` is a variable of the environment, too; its value is a text whatever it looks like.

    >>> read_job_variables(["memory_mib=512", "env.PORT=80"], env=["LEVEL=debug"])
    {'memory_mib': 512, 'env': {'PORT': '80', 'LEVEL': 'debug'}}
    """
    pairs = list(given)
    found = _pairs("--job-variable", [pair for pair in pairs if not pair.startswith("env.")])
    texts = [*(pair.removeprefix("env.") for pair in pairs if pair.startswith("env.")), *env]
    split = [text.partition("=") for text in texts]
    if not all(name and equals for name, equals, _ in split):
        raise click.UsageError("--env is NAME=TEXT; it may be given several times.")
    if split:
        own = found.get("env")
        found["env"] = (own if isinstance(own, dict) else {}) | {name: text for name, _, text in split}
    return found if memory is None else {**found, "memory_mib": memory}


def read_secrets(given: Iterable[str]) -> dict[str, Any]:
    """Read `name=block` pairs: the Secret block that a parameter is taken from.

    >>> read_secrets(["password=warehouse"])
    {'password': {'$block': 'secret/warehouse'}}
    """
    pairs = [pair.partition("=") for pair in given]
    if bad := next(("".join(pair) for pair in pairs if not (pair[0] and pair[2])), None):
        raise click.UsageError(f"--secret is a parameter and the name of a Secret block, name=block; not {bad!r}.")
    return {name: {"$block": f"secret/{block.removeprefix('secret/')}"} for name, _, block in pairs}
