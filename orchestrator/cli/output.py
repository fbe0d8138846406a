"""What commands print: tables for people, JSON for programs. Colours only on a terminal."""

from __future__ import annotations

import json
import shutil
import sys
from collections.abc import Callable, Iterable, Sequence
from datetime import datetime
from typing import Any

import click

from orchestrator.client import Client

_COLOURS = {
    "COMPLETED": "green",
    "FAILED": "red",
    "CRASHED": "red",
    "CANCELLED": "yellow",
    "CANCELLING": "yellow",
    "RUNNING": "blue",
    "SCHEDULED": "cyan",
    "PENDING": "cyan",
}

SHORTEST = 8  # characters that are left of a column

output_option = click.option(
    "-o", "--output", type=click.Choice(["table", "json"]), default="table", help="How to print it."
)
limit_option = click.option("--limit", type=click.IntRange(1, 10_000), default=20, help="How many at most.")


def connect() -> Client:
    """A client of the API that is closed when the command ends."""
    return click.get_current_context().with_resource(Client())


def print_json(value: Any) -> None:
    """Print a value as JSON."""
    click.echo(json.dumps(value, indent=2, ensure_ascii=False, default=str))


def print_json_line(value: Any) -> None:
    """Print a value as JSON on one line, at once: who reads a pipe sees what comes while it comes."""
    click.echo(json.dumps(value, ensure_ascii=False, default=str))


def print_done(told: Any, output: str, text: str) -> None:
    """Say what was done: a sentence for people, what the API told of it for programs."""
    if output == "json":
        print_json(told)
    else:
        click.echo(text)


def print_one(told: dict[str, Any], output: str, facts: dict[str, Any] | None = None) -> None:
    """Show one thing: names and values for people, which are `facts` where these say it better; JSON for programs."""
    if output == "json":
        print_json(told)
    else:
        print_facts(told if facts is None else facts)


def print_items(items: Iterable[Any], output: str, heads: Sequence[str], row: Callable[[Any], Sequence[Any]]) -> None:
    """Print a list, as a table or as JSON."""
    items = list(items)
    if output == "json":
        print_json(items)
    else:
        print_table(heads, [row(item) for item in items])


def print_table(heads: Sequence[str], rows: Sequence[Sequence[Any]]) -> None:
    """Print columns as wide as they need to be; on a terminal, the widest ones are cut until all have room.

    The last one is never cut: where there is an id, it is the last.
    """
    texts = [[_text(cell) for cell in row] for row in rows]
    widths = [max(len(text) for text in column) for column in zip(heads, *texts, strict=True)]
    if sys.stdout.isatty():
        widths = fitting(widths, shutil.get_terminal_size().columns)
        texts = [[_cut(text, width) for text, width in zip(row, widths, strict=True)] for row in texts]
    click.secho("  ".join(head.ljust(width) for head, width in zip(heads, widths, strict=True)).rstrip(), bold=True)
    for row in texts:
        cells = [_coloured(text, width) for text, width in zip(row, widths, strict=True)]
        click.echo("  ".join(cells).rstrip())


def fitting(widths: Sequence[int], room: int) -> list[int]:
    """Widths that fit into so many columns, as far as can be: the widest give way first, the last does not.

    >>> fitting([10, 40, 36], 80)
    [10, 30, 36]
    """
    fitted = list(widths)
    while sum(fitted) + 2 * (len(fitted) - 1) > room and max(fitted[:-1], default=0) > SHORTEST:
        fitted[fitted.index(max(fitted[:-1]))] -= 1
    return fitted


def _cut(text: str, width: int) -> str:
    return text if len(text) <= width else f"{text[: width - 1]}…"


def print_facts(facts: dict[str, Any]) -> None:
    """Print names and values, one a line."""
    width = max((len(name) for name in facts), default=0)
    for name, value in facts.items():
        text = json.dumps(value, ensure_ascii=False, default=str) if isinstance(value, dict | list) else _text(value)
        click.echo(f"{click.style(name.ljust(width), bold=True)}  {_coloured(text, 0)}".rstrip())


def _text(value: Any) -> str:
    return "" if value is None else str(value)


def _coloured(text: str, width: int) -> str:
    padded = text.ljust(width)
    colour = _COLOURS.get(text.partition(" ")[0].upper())
    return click.style(padded, fg=colour) if colour else padded


def or_none(text: str | None) -> str:
    """A text, or that there is none."""
    return "(none)" if text is None else text


def short_time(text: str | None) -> str:
    """A moment of the API as local time to the second."""
    if not text:
        return ""
    return datetime.fromisoformat(text).astimezone().strftime("%Y-%m-%d %H:%M:%S")


def short_duration(seconds: float | None) -> str:
    """Seconds as people say them.

    >>> short_duration(3725.2)
    '1 h 2 min'
    """
    if seconds is None:
        return ""
    if seconds < 60:
        return f"{seconds:.1f} s"
    if seconds < 3600:
        return f"{int(seconds // 60)} min {int(seconds % 60)} s"
    return f"{int(seconds // 3600)} h {int(seconds % 3600 // 60)} min"


def state_of(run: dict[str, Any]) -> str:
    """A run's state: the type, and its name when that says more."""
    state = run["state"]
    name = state.get("name") or ""
    return state["type"] if name.upper() in ("", state["type"]) else f"{state['type']} ({name})"
