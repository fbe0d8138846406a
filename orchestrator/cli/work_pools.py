"""`orchestrator work-pool …`."""

from __future__ import annotations

from typing import Any
from urllib.parse import quote

import click

from orchestrator.cli.output import connect, output_option, print_facts, print_items, print_json

limited_option = click.option("--limit", "slots", type=click.IntRange(1), help="Runs at once; any number by default.")


@click.group()
def work_pool() -> None:
    """List, make, look at, pause and resume work pools."""


@work_pool.command()
@output_option
def ls(output: str) -> None:
    """List the pools, by name."""
    items = connect().get("/work-pools")["items"]
    heads = ("POOL", "TYPE", "AT ONCE", "PAUSED", "DESCRIPTION")
    print_items(items, output, heads, lambda p: (p["name"], p["type"], *shown(p)))


def shown(told: dict[str, Any]) -> tuple[Any, str, str]:
    """What tables tell of a pool or a queue: its limit, whether it is paused, the first line of its description."""
    limit = "any" if told["concurrency_limit"] is None else told["concurrency_limit"]
    return limit, "yes" if told["paused"] else "", told["description"].partition("\n")[0][:80]


@work_pool.command()
@click.argument("name")
@click.option("--description", default="", help="What it is for.")
@limited_option
@output_option
def create(name: str, description: str, slots: int | None, output: str) -> None:
    """Make a pool, with its default queue."""
    body = {"name": name, "description": description, "concurrency_limit": slots}
    told = connect().post("/work-pools", body)
    if output == "json":
        print_json(told)
    else:
        click.echo(f"The pool {told['name']} is there. Start an agent: orchestrator agent start --pool {told['name']}")


@work_pool.command()
@click.argument("name")
@output_option
def inspect(name: str, output: str) -> None:
    """Show a pool and its queues."""
    client = connect()
    told, queues = client.get(address(name)), client.get(f"{address(name)}/queues")["items"]
    if output == "json":
        print_json({**told, "queues": queues})
        return
    print_facts(told)
    print_facts({f"queue {each['name']}": _queue(each) for each in queues})


def _queue(told: dict[str, Any]) -> str:
    paused = ", paused" if told["paused"] else ""
    return f"priority {told['priority']}, {told['running']} running, {told['waiting']} waiting{paused}"


@work_pool.command()
@click.argument("name")
def pause(name: str) -> None:
    """Hand out no more runs of a pool; what runs goes on."""
    connect().patch(address(name), {"paused": True})
    click.echo(f"The pool {name} is paused.")


@work_pool.command()
@click.argument("name")
def resume(name: str) -> None:
    """Hand out runs of a pool again."""
    connect().patch(address(name), {"paused": False})
    click.echo(f"The pool {name} hands out runs again.")


def address(name: str) -> str:
    """Where the API has a pool."""
    return f"/work-pools/{quote(name, safe='')}"
