"""`orchestrator work-queue …`."""

from __future__ import annotations

from typing import Any
from urllib.parse import quote

import click

from orchestrator.cli import work_pools
from orchestrator.cli.output import connect, output_option, print_done, print_items, print_one
from orchestrator.cli.work_pools import limited_option

pool_option = click.option("--pool", default="default", show_default=True, help="The work pool.")


@click.group()
def work_queue() -> None:
    """List, make, change, pause, resume and delete the queues of a work pool."""


@work_queue.command()
@pool_option
@output_option
def ls(pool: str, output: str) -> None:
    """List the queues of a pool in the order in which they are served."""
    items = connect().get(f"{work_pools.address(pool)}/queues")["items"]
    heads = ("QUEUE", "PRIORITY", "RUNNING", "WAITING", "AT ONCE", "PAUSED", "DESCRIPTION")
    print_items(
        items, output, heads, lambda q: (q["name"], q["priority"], q["running"], q["waiting"], *work_pools.shown(q))
    )


@work_queue.command()
@click.argument("name")
@pool_option
@click.option("--priority", type=int, default=100, show_default=True, help="Lower numbers go first.")
@limited_option
@click.option("--description", default="", help="What it is for.")
@output_option
def create(name: str, pool: str, priority: int, slots: int | None, description: str, output: str) -> None:
    """Make a queue."""
    body = {"name": name, "priority": priority, "concurrency_limit": slots, "description": description}
    told = connect().post(f"{work_pools.address(pool)}/queues", body)
    print_done(told, output, f"The queue {told['name']} of the pool {told['pool']} is there.")


@work_queue.command()
@click.argument("name")
@pool_option
@output_option
def inspect(name: str, pool: str, output: str) -> None:
    """Show a queue: what runs, what waits, its limit."""
    print_one(connect().get(_address(pool, name)), output)


@work_queue.command("set")
@click.argument("name")
@pool_option
@click.option("--priority", type=int, help="Lower numbers go first.")
@limited_option
@click.option("--no-limit", is_flag=True, help="Any number of runs at once.")
@click.option("--description", help="What it is for.")
@output_option
def set_(
    name: str, pool: str, priority: int | None, slots: int | None, no_limit: bool, description: str | None, output: str
) -> None:
    """Change a queue; what is not given stays."""
    if slots and no_limit:
        raise click.UsageError("Give --limit or --no-limit, not both.")
    given = {"priority": priority, "concurrency_limit": slots, "description": description}
    body: dict[str, Any] = {field: value for field, value in given.items() if value is not None}
    body |= {"concurrency_limit": None} if no_limit else {}
    if not body:
        raise click.UsageError("Say what to change: --priority, --limit, --no-limit, --description.")
    told = connect().patch(_address(pool, name), body)
    print_done(told, output, f"The queue {name}: priority {told['priority']}, {work_pools.shown(told)[0]} at once.")


@work_queue.command()
@click.argument("name")
@pool_option
@output_option
def pause(name: str, pool: str, output: str) -> None:
    """Hand out no more runs of a queue; what runs goes on."""
    print_done(connect().patch(_address(pool, name), {"paused": True}), output, f"The queue {name} is paused.")


@work_queue.command()
@click.argument("name")
@pool_option
@output_option
def resume(name: str, pool: str, output: str) -> None:
    """Hand out runs of a queue again."""
    told = connect().patch(_address(pool, name), {"paused": False})
    print_done(told, output, f"The queue {name} hands out runs again.")


@work_queue.command()
@click.argument("name")
@pool_option
@click.confirmation_option("-y", "--yes", prompt="Delete it?")
@output_option
def delete(name: str, pool: str, output: str) -> None:
    """Delete a queue that no deployment and no run that goes on names."""
    connect().delete(_address(pool, name))
    print_done({"deleted": [name]}, output, f"The queue {name} is deleted.")


def _address(pool: str, name: str) -> str:
    return f"{work_pools.address(pool)}/queues/{quote(name, safe='')}"
