"""`orchestrator webhook …`."""

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

SIGNATURES = ("github", "stripe", "header")


@click.group()
def webhook() -> None:
    """List, make, look at, rotate, pause and delete addresses at which others trigger runs."""


@webhook.command()
@limit_option
@output_option
def ls(limit: int, output: str) -> None:
    """List webhooks, newest first."""
    items = connect().pages("/webhooks", limit)
    heads = ("WEBHOOK", "DEPLOYMENT", "TOKEN", "SIGNED", "STATE", "ACTS AS")
    print_items(items, output, heads, _row)


def _row(told: dict[str, Any]) -> tuple[Any, ...]:
    state = "paused" if told["paused"] else "on"
    return told["name"], told["deployment"], f"{told['prefix']}…", told["signature"] or "no", state, told["acts_as"]


@webhook.command()
@click.argument("name")
@click.argument("deployment")
@click.option("--signature", type=click.Choice(SIGNATURES), help="How senders sign.")
@click.option("--signature-header", default="", help="The header of it, where it is another one.")
@click.option("--secret", help="What senders sign with; asked for, where it is needed and not given.")
@click.option("--parameter", default="", help="The parameter that takes the whole body.")
@click.option("--parameters", default="", metavar="TEMPLATE", help="Makes JSON of the body: the parameters.")
@click.option("--filter", "condition", default="", metavar="TEMPLATE", help="What it doesn't call true is skipped.")
@click.option("--idempotency", default="", metavar="TEMPLATE", help="Makes the key by which a delivery is known.")
@click.option("--debounce", type=float, metavar="SECONDS", help="Start when no other delivery came for so long.")
@click.option("--debounce-key", default="", metavar="TEMPLATE", help="Gather only deliveries of this key.")
@output_option
def create(name: str, deployment: str, condition: str, output: str, **options: Any) -> None:
    """Make the webhook NAME of DEPLOYMENT, or change it. The address of a new one is shown this once."""
    if options["signature"] and not options["secret"]:
        options["secret"] = click.prompt("Secret", hide_input=True, default="", show_default=False, err=True) or None
    options["signature"] = options["signature"] or ""
    told = connect().put(_path(name), {"deployment": deployment, "filter": condition, **options})
    _print(told, output)


@webhook.command()
@click.argument("name")
@click.option("--deliveries", "number", type=click.IntRange(0, 100), default=10, help="How many of the last ones.")
@output_option
def inspect(name: str, number: int, output: str) -> None:
    """Show a webhook, and what came to it last."""
    client = connect()
    told = client.get(_path(name))
    came = client.get(f"{_path(name)}/deliveries", limit=number)["items"] if number else []
    if output == "json":
        print_json({**told, "deliveries": came})
        return
    print_facts(told)
    for each in came:
        click.echo(f"{short_time(each['at'])}  {each['status']}  {each['outcome']}  {each['run'] or each['error']}")


@webhook.command()
@click.argument("name")
@click.option(
    "--overlap", type=float, default=3600.0, metavar="SECONDS", help="The former address is good for so long."
)
@output_option
def rotate(name: str, overlap: float, output: str) -> None:
    """Give a webhook another address, which is shown this once."""
    _print(connect().post(f"{_path(name)}/rotate", {"overlap": overlap}), output)


@webhook.command()
@click.argument("name")
@output_option
def pause(name: str, output: str) -> None:
    """Refuse what comes to a webhook."""
    print_done(connect().post(f"{_path(name)}/pause", again=True), output, f"{name} is paused.")


@webhook.command()
@click.argument("name")
@output_option
def resume(name: str, output: str) -> None:
    """Take what comes to a webhook again."""
    print_done(connect().post(f"{_path(name)}/resume", again=True), output, f"{name} is on again.")


@webhook.command()
@click.argument("name")
@click.option("-y", "--yes", is_flag=True, help="Don't ask.")
@output_option
def delete(name: str, yes: bool, output: str) -> None:
    """Delete a webhook and what is kept of its deliveries."""
    if not yes:
        click.confirm(f"Delete {name}? Nobody triggers anything at its address then.", abort=True, err=True)
    connect().delete(_path(name))
    print_done({"deleted": [name]}, output, f"{name} is deleted.")


def _path(name: str) -> str:
    return f"/webhooks/{quote(name, safe='')}"


def _print(told: dict[str, Any], output: str) -> None:
    if output == "json":
        print_json(told)
        return
    print_facts(told)
    if told.get("address"):
        click.echo("Keep the address: it is shown this once, and whoever knows it triggers the deployment.")
