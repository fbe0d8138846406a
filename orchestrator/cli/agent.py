"""`orchestrator agent …`."""

from __future__ import annotations

import logging
import time
from typing import Any

import click

from orchestrator.agent.settings import Settings
from orchestrator.cli.output import (
    connect,
    limit_option,
    output_option,
    print_facts,
    print_items,
    print_json,
    print_json_line,
    short_time,
)
from orchestrator.config import require_api

LOOK_EVERY = 2.0  # seconds


@click.group()
def agent() -> None:
    """Execute runs on this machine; list agents, look at one, read its log."""


@agent.command()
@click.option("--pool", default="default", show_default=True, help="The work pool to work for.")
@click.option("--queue", "queues", multiple=True, help="Only this queue of it; may be given several times.")
@click.option("--limit", type=click.IntRange(1, 1000), help="Runs at once; 10, or ORCHESTRATOR_AGENT_LIMIT.")
@click.option("--name", help="Its name; the host's by default. A restarted agent goes on under the same one.")
@click.option(
    "--health", metavar="[HOST:]PORT", help="Answer /health/live and /health/ready here; of 127.0.0.1 by default."
)
def start(pool: str, queues: tuple[str, ...], limit: int | None, name: str | None, health: str | None) -> None:
    """Claim runs and execute them until told to stop.

    SIGTERM or Ctrl-C: claim no more and wait for the runs; a second time: stop them.
    """
    from orchestrator.agent.agent import Agent

    settings = Settings(pool=pool, queues=list(queues))
    if limit is not None:
        settings.limit = limit
    if name is not None:
        settings.name = name
    if health is not None:
        settings.health = health
    agent = Agent(require_api(), settings)
    agent.run()
    if agent.key_refused:
        raise click.ClickException("The server refuses this agent's key. Make a new one, and start the agent with it.")


@agent.command()
@click.option("--pool", help="Only agents of this work pool.")
@click.option("--connected/--gone", default=None, help="Only those that are heard of, or only those that are not.")
@limit_option
@output_option
def ls(pool: str | None, connected: bool | None, limit: int, output: str) -> None:
    """List agents, the newest first."""
    there = None if connected is None else str(connected).lower()
    items = connect().pages("/agents", limit, pool=pool, connected=there)
    print_items(items, output, ("NAME", "POOL", "RUNS", "STATE", "LAST HEARD OF", "HOST", "VERSION", "ID"), _row)


def _row(told: dict[str, Any]) -> tuple[str, ...]:
    runs, state = f"{told['running']} of {told['slots']}", "connected" if told["connected"] else "gone"
    heard = short_time(told["last_seen_at"])
    return (told["name"], told["pool"], runs, state, heard, told["host"], told["version"], told["id"])


@agent.command()
@click.argument("agent_id")
@output_option
def inspect(agent_id: str, output: str) -> None:
    """Show an agent, and the runs that it holds."""
    told = connect().get(f"/agents/{agent_id}")
    if output == "json":
        print_json(told)
        return
    runs = [f"{run['flow']} / {run['name']} ({run['state']}), {run['id']}" for run in told.pop("runs")]
    print_facts({**told, "runs": runs or None})


@agent.command()
@click.argument("agent_id")
@click.option("-f", "--follow", is_flag=True, help="Go on until Ctrl-C.")
@output_option
def logs(agent_id: str, follow: bool, output: str) -> None:
    """Print an agent's own log: what it started, lost, could not reach; as JSON and followed, one object a line."""
    client = connect()
    items, after = _lines(client, agent_id, 0)
    if output == "json" and not follow:
        print_json(items)
        return
    print_line = _print_line if output == "table" else print_json_line
    while True:
        for line in items:
            print_line(line)
        if not follow:
            return
        time.sleep(LOOK_EVERY)
        items, after = _lines(client, agent_id, after)


def _print_line(line: dict[str, Any]) -> None:
    level = logging.getLevelName(int(line["level"]))
    click.echo(f"{short_time(line['t'])} {level:<8} {line['message']}")


def _lines(client: Any, agent_id: str, after: int) -> tuple[list[dict[str, Any]], int]:
    """What an agent has logged behind a line, and the last one's number. At most as many lines are kept as are read."""
    page = client.get(f"/agents/{agent_id}/log", after=after, limit=2_000)
    return page["items"], page["next"]
