"""Whom to talk to, and as whom."""

from __future__ import annotations

import sys

import click

from orchestrator.cli.output import connect, output_option, print_done, print_one
from orchestrator.client import Client
from orchestrator.config import Api, save_profile


@click.command()
@click.option("--url", prompt="API URL", help="Where the API is; it ends in /api/v1.")
@click.option("--key", help="The API key. Left out, it is asked for; `-` reads it from standard input.")
@click.option("--profile", default="default", show_default=True, help="The name to keep it under.")
@output_option
def login(url: str, key: str | None, profile: str, output: str) -> None:
    """Check an API key and keep it in a profile that only you can read."""
    if key == "-":
        key = sys.stdin.readline().strip()
    api = Api(url.rstrip("/"), key or click.prompt("API key", hide_input=True))
    told = click.get_current_context().with_resource(Client(api)).get("/me")
    facts = {"organization": str(told["organization"]), "workspace": str(told["workspace"])}
    path = save_profile(profile, api, facts)
    where = f"{told['organization']}/{told['workspace']}"
    text = f"Logged in to {where} as {told['actor']}. Kept in {path}."
    print_done({**told, "profile": profile, "file": str(path)}, output, text)


@click.command()
@output_option
def whoami(output: str) -> None:
    """Show whom the API takes you for."""
    print_one(connect().get("/me"), output)
