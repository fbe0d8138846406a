"""`orchestrator cache …`."""

from __future__ import annotations

from typing import Any

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
def cache() -> None:
    """List, look at and invalidate what is cached."""


@cache.command()
@click.option("--task", help="Of this task only.")
@click.option("--prefix", help="Whose keys begin so.")
@click.option("--state", type=click.Choice(["live", "expired", "invalidated"]), help="In this state only.")
@limit_option
@output_option
def ls(task: str | None, prefix: str | None, state: str | None, limit: int, output: str) -> None:
    """List entries, newest value first."""
    items = connect().pages("/cache-entries", limit, task=task, prefix=prefix, state=state)
    print_items(items, output, ("KEY", "TASK", "STATE", "HITS", "SIZE", "MADE", "EXPIRES"), _row)


def _row(entry: dict[str, Any]) -> tuple[Any, ...]:
    times = (short_time(entry["made_at"]), short_time(entry["expires_at"]) or "never")
    return (entry["key"], entry["task"], entry["state"], entry["hits"], entry["size"], *times)


@cache.command()
@click.argument("key")
@output_option
def inspect(key: str, output: str) -> None:
    """Show the entry of a key: who made it, who used it."""
    client = connect()
    entry = client.get(f"/cache-entries/{client.get(f'/cache-entries/by-key/{_quoted(key)}')['id']}")
    if output == "json":
        print_json(entry)
        return
    users = entry.pop("used_by")
    print_facts({**entry, "used_by": [f"{use['flow_run']} at {short_time(use['at'])}" for use in users] or None})


@cache.command()
@click.argument("key", required=False)
@click.option("--prefix", help="All whose keys begin so.")
@click.option("--task", help="All of a task.")
@click.option("--all", "everything", is_flag=True, help="All of the workspace.")
@output_option
def invalidate(key: str | None, prefix: str | None, task: str | None, everything: bool, output: str) -> None:
    """Let no call use these values any more: of a KEY, of a prefix, of a task, or all."""
    given = {"key": key, "prefix": prefix, "task": task, "all": everything}
    wanted = {name: value for name, value in given.items() if value}
    if len(wanted) != 1:
        raise click.UsageError("Name one of KEY, --prefix, --task, or say --all.")
    client, done, more = connect(), 0, True
    while more:
        told = client.post("/cache-entries/invalidate", wanted, again=True)
        done, more = done + told["invalidated"], told["more"]
    text = "1 value is computed anew." if done == 1 else f"{done} values are computed anew."
    print_done({"invalidated": done}, output, text)


def _quoted(key: str) -> str:
    from urllib.parse import quote

    return quote(key, safe="")
