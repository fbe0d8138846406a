"""Why a run waits, as the command line says it."""

from __future__ import annotations

from typing import Any

import click

from orchestrator.causes import LEASED, MOST
from orchestrator.cli.output import print_json, short_time, state_of


def print_explanation(told: dict[str, Any], output: str) -> None:
    """Print the causes in their order, each with what to do and what it names."""
    if output == "json":
        print_json(told)
        return
    if not told["waits"]:
        click.echo(f"It does not wait: it is {state_of(told)}.")
        return
    _print_causes(told)


def print_estimate(told: dict[str, Any], output: str) -> None:
    """Print what a run would be like that is triggered now."""
    if output == "json":
        print_json(told)
        return
    click.echo(f"Nothing was triggered. A run of {told['deployment']} can be.\n{told['history']}")
    _print_causes(told)


def _print_causes(told: dict[str, Any]) -> None:
    for place, cause in enumerate(told["causes"], 1):
        _print_cause(place, cause)
    if told["before"] is not None:
        more = "+" if told["before"] >= MOST else ""
        click.echo(f"Before it: {told['before']:,}{more} due runs of its pool.")
    if told["estimate"]:
        at = f"{short_time(told['expected_at'])}. " if told["expected_at"] else ""
        click.echo(f"Starts: {at}{told['estimate']}")


def _print_cause(place: int, cause: dict[str, Any]) -> None:
    click.echo(f"{place}. {cause['text']}")
    until = "leased until" if cause["code"] in LEASED else "until"
    times = [f"{word} {short_time(cause[key])}" for key, word in (("since", "since"), ("until", until)) if cause[key]]
    names = [
        f"{thing['kind']} {thing['name']}" + (f" ({thing['id']})" if thing["id"] else "") for thing in cause["things"]
    ]
    for line in (", ".join(times), *names, f"-> {cause['todo']}"):
        if line:
            click.echo(f"   {line}")
