"""`orchestrator profile …`: APIs that this machine knows, by name."""

from __future__ import annotations

from typing import Any

import click

from orchestrator.cli.output import output_option, print_done, print_items, print_one
from orchestrator.config import active_profile_name, delete_profile, find_profile, profiles, rename_profile, use_profile


@click.group()
def profile() -> None:
    """List, choose, rename and delete profiles. `orchestrator login` makes one."""


@profile.command()
@output_option
def ls(output: str) -> None:
    """List the profiles; the active one has a star."""
    active = active_profile_name()
    items = [{"name": name, "active": name == active, **_shown(told)} for name, told in sorted(profiles().items())]
    print_items(items, output, ("", "NAME", "WORKSPACE", "API"), _row)


def _shown(told: dict[str, Any]) -> dict[str, Any]:
    """A profile without its key."""
    where = f"{told['organization']}/{told['workspace']}" if told.get("organization") else None
    return {"workspace": where, "api_url": told.get("api_url")}


def _row(told: dict[str, Any]) -> tuple[Any, ...]:
    return ("*" if told["active"] else "", told["name"], told["workspace"], told["api_url"])


@profile.command()
@click.argument("name", required=False)
@output_option
def inspect(name: str | None, output: str) -> None:
    """Show a profile, the active one by default; its key is cut."""
    found = find_profile(name or active_profile_name() or "")
    told = {key: f"{value[:8]}…" if key == "api_key" else value for key, value in found.items() if key != "active"}
    print_one(told, output)


@profile.command()
@click.argument("name")
@output_option
def use(name: str, output: str) -> None:
    """Make a profile the active one."""
    use_profile(name)
    print_done({"active": name}, output, f"{name} is used from now on.")


@profile.command()
@click.argument("name")
@click.argument("new")
@output_option
def rename(name: str, new: str, output: str) -> None:
    """Give a profile another name."""
    rename_profile(name, new)
    print_done({"name": new}, output, f"{name} is called {new} now.")


@profile.command()
@click.argument("name")
@click.confirmation_option("-y", "--yes", prompt="Delete it, and the key in it?")
@output_option
def delete(name: str, output: str) -> None:
    """Delete a profile. Its key stays valid until it is revoked in the portal."""
    delete_profile(name)
    print_done({"deleted": [name]}, output, f"The profile {name} is deleted.")
