"""`orchestrator variable …`."""

from __future__ import annotations

import json
from typing import Any

import click

from orchestrator.cli.output import connect, limit_option, output_option, print_items, print_json
from orchestrator.exceptions import NotFound
from orchestrator.variables import Variable


@click.group()
def variable() -> None:
    """Read and write variables."""


@variable.command()
@limit_option
@output_option
def ls(limit: int, output: str) -> None:
    """List variables."""
    items = connect().pages("/variables", limit)
    print_items(
        items, output, ("NAME", "VALUE"), lambda v: (v["name"], json.dumps(v["value"], ensure_ascii=False)[:80])
    )


@variable.command()
@click.argument("name")
def get(name: str) -> None:
    """Print a variable's value as JSON."""
    missing = object()
    value = Variable.get(name, missing)
    if value is missing:
        raise NotFound(f"There is no variable {name!r}.")
    print_json(value)


@variable.command("set")
@click.argument("name")
@click.argument("value")
def set_(name: str, value: str) -> None:
    """Give a variable a value: JSON, or else a text."""
    parsed: Any
    try:
        parsed = json.loads(value)
    except ValueError:
        parsed = value
    Variable.set(name, parsed)


@variable.command()
@click.argument("name")
def unset(name: str) -> None:
    """Remove a variable."""
    if not Variable.unset(name):
        raise NotFound(f"There is no variable {name!r}.")
