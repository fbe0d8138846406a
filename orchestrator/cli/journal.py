"""`orchestrator journal …`: what is still on this machine."""

from __future__ import annotations

import click

from orchestrator.cli.output import output_option, print_done, print_items
from orchestrator.config import require_api


@click.group()
def journal() -> None:
    """Journals that are still on this machine."""


@journal.command()
@output_option
def ls(output: str) -> None:
    """List journal files, live ones and those left behind."""
    from orchestrator.journal.recovery import found

    items = [
        {
            "run": left.root,
            "attempt": left.attempt,
            "bytes": left.size,
            "writer": "alive" if left.live else "gone",
            "api_url": left.api_url,
            "path": str(left.path),
        }
        for left in found()
    ]
    print_items(
        items,
        output,
        ("RUN", "ATTEMPT", "BYTES", "WRITER", "API"),
        lambda item: (item["run"], item["attempt"], item["bytes"], item["writer"], item["api_url"]),
    )


@journal.command()
@output_option
def ship(output: str) -> None:
    """Send the journals that dead processes left behind for the present API."""
    from orchestrator.journal.recovery import ship_all

    sent = ship_all(require_api(), lambda path, why: click.echo(why, err=True))
    print_done({"sent": sent}, output, f"{sent} sent.")
