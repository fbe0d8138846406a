"""Whom to talk to, and as whom."""

from __future__ import annotations

import os
import sys

import click

from orchestrator.cli.output import connect, output_option, print_facts, print_json
from orchestrator.client import Client
from orchestrator.config import Api, current_api, home, profiles, profiles_path, require_api, save_profile


@click.command()
@click.option("--url", prompt="API URL", help="Where the API is; it ends in /api/v1.")
@click.option("--key", help="The API key. Left out, it is asked for; `-` reads it from standard input.")
@click.option("--profile", default="default", show_default=True, help="The name to keep it under.")
def login(url: str, key: str | None, profile: str) -> None:
    """Check an API key and keep it in a profile that only you can read."""
    if key == "-":
        key = sys.stdin.readline().strip()
    api = Api(url.rstrip("/"), key or click.prompt("API key", hide_input=True))
    told = click.get_current_context().with_resource(Client(api)).get("/me")
    facts = {"organization": str(told["organization"]), "workspace": str(told["workspace"])}
    path = save_profile(profile, api, facts)
    click.echo(f"Logged in to {told['organization']}/{told['workspace']} as {told['actor']}. Kept in {path}.")


@click.command()
@output_option
def whoami(output: str) -> None:
    """Show whom the API takes you for."""
    told = connect().get("/me")
    if output == "json":
        print_json(told)
    else:
        print_facts(told)


@click.command()
@output_option
def config(output: str) -> None:
    """Show which API is used, and where that comes from."""
    api = current_api()
    from_environment = bool(os.environ.get("ORCHESTRATOR_API_URL") and os.environ.get("ORCHESTRATOR_API_KEY"))
    facts = {
        "api_url": api.url if api else None,
        "api_key": f"{api.key[:8]}…" if api else None,
        "from": None if api is None else "environment" if from_environment else str(profiles_path()),
        "home": str(home()),
        "profiles": sorted(profiles()),
    }
    if output == "json":
        print_json(facts)
    else:
        print_facts(facts)
        require_api()
