"""`orchestrator limit …`."""

from __future__ import annotations

from typing import Any
from urllib.parse import quote

import click

from orchestrator.cli.output import (
    connect,
    limit_option,
    output_option,
    print_done,
    print_facts,
    print_items,
    print_json,
    short_time,
)


@click.group()
def limit() -> None:
    """List, make, change and delete limits that code names, and take their slots away."""


@limit.command()
@click.option("--prefix", help="Whose names begin so; tag: for those of tags.")
@limit_option
@output_option
def ls(prefix: str | None, limit: int, output: str) -> None:
    """List limits by name."""
    items = connect().pages("/limits", limit, prefix=prefix)
    print_items(items, output, ("NAME", "SLOTS", "A SECOND", "HELD", "WAITING", "ACTIVE"), _row)


def _row(told: dict[str, Any]) -> tuple[Any, ...]:
    shown = (told["name"], told["slots"], told["rate"] or "", told["held"], told["waiting"])
    return (*shown, "yes" if told["active"] else "no")


@limit.command()
@click.argument("name")
@output_option
def inspect(name: str, output: str) -> None:
    """Show a limit: who holds its slots, and who waits since when."""
    told = connect().get(_address(name))
    if output == "json":
        print_json(told)
        return
    holders, queue = told.pop("holders"), told.pop("queue")
    print_facts({**told, "holders": _people(holders), "queue": _people(queue)})


def _people(rows: list[dict[str, Any]]) -> list[str] | None:
    return [f"{row['label']} since {short_time(row['since'])} ({row['occupy']}), {row['id']}" for row in rows] or None


@limit.command("set")
@click.argument("name")
@click.argument("slots", type=int, required=False)
@click.option("--rate", type=float, help="Slots that come back by themselves, per second; 0: none.")
@click.option("--active/--inactive", default=None, help="One that is inactive limits nothing.")
@output_option
def set_(name: str, slots: int | None, rate: float | None, active: bool | None, output: str) -> None:
    """Make a limit with SLOTS slots, or change it; what is not given stays. NAME is tag:TAG for a tag of tasks."""
    given = {"slots": slots, "rate": rate, "active": active}
    told = connect().put(_address(name), {field: value for field, value in given.items() if value is not None})
    more = f", {told['rate']:g} come back a second" if told["rate"] else ""
    print_done(told, output, f"The limit {name}: {told['slots']} slots{more}{'' if told['active'] else ', inactive'}.")


@limit.command()
@click.argument("name")
@click.confirmation_option("-y", "--yes", prompt="Delete it?")
@output_option
def delete(name: str, output: str) -> None:
    """Delete a limit: who waits goes on, and nothing is limited any more."""
    connect().delete(_address(name))
    print_done({"deleted": [name]}, output, f"The limit {name} is deleted.")


@limit.command()
@click.argument("name")
@click.option("--holder", help="The id of one holder, as `inspect` shows it; all without.")
@click.confirmation_option("-y", "--yes", prompt="Take slots away from code that runs?")
@output_option
def reset(name: str, holder: str | None, output: str) -> None:
    """Take slots away from those who hold them, and hand them to those who wait."""
    told = connect().post(f"{_address(name)}/reset", {"id": holder} if holder else {})
    print_done(told, output, f"Taken away: {told['taken_away']}.")


def _address(name: str) -> str:
    return f"/limits/{quote(name, safe='')}"
