"""`orchestrator agent start`."""

from __future__ import annotations

import click

from orchestrator.agent.settings import Settings
from orchestrator.config import require_api


@click.group()
def agent() -> None:
    """Execute runs on this machine."""


@agent.command()
@click.option("--pool", default="default", show_default=True, help="The work pool to work for.")
@click.option("--queue", "queues", multiple=True, help="Only this queue of it; may be given several times.")
@click.option("--limit", type=click.IntRange(1, 1000), help="Runs at once; 10, or ORCHESTRATOR_AGENT_LIMIT.")
@click.option("--name", help="Its name; the host's by default. A restarted agent goes on under the same one.")
def start(pool: str, queues: tuple[str, ...], limit: int | None, name: str | None) -> None:
    """Claim runs and execute them until told to stop.

    SIGTERM or Ctrl-C: claim no more and wait for the runs; a second time: stop them.
    """
    from orchestrator.agent.agent import Agent

    settings = Settings(pool=pool, queues=list(queues))
    if limit is not None:
        settings.limit = limit
    if name is not None:
        settings.name = name
    agent = Agent(require_api(), settings)
    agent.run()
    if agent.key_refused:
        raise click.ClickException("The server refuses this agent's key. Make a new one, and start the agent with it.")
