"""`orchestrator config …`: settings of the SDK, in the active profile."""

from __future__ import annotations

import os

import click

from orchestrator.cli.output import output_option, print_done, print_facts, print_json
from orchestrator.config import (
    SETTINGS,
    active_profile_name,
    change_profile,
    current_api,
    home,
    profiles,
    profiles_path,
    require_api,
    setting_and_source,
)

_setting = click.Choice(sorted(SETTINGS), case_sensitive=False)


@click.group(invoke_without_command=True)
@output_option
@click.pass_context
def config(ctx: click.Context, output: str) -> None:
    """Show which API and settings are used, and where they come from; change settings."""
    if ctx.invoked_subcommand is None:
        _print(output)


@config.command()
@output_option
def view(output: str) -> None:
    """Show which API and settings are used, and where they come from."""
    _print(output)


def _print(output: str) -> None:
    api = current_api()
    from_environment = bool(os.environ.get("ORCHESTRATOR_API_URL") and os.environ.get("ORCHESTRATOR_API_KEY"))
    facts = {
        "api_url": api.url if api else None,
        "api_key": f"{api.key[:8]}…" if api else None,
        "from": None if api is None else "environment" if from_environment else str(profiles_path()),
        "home": str(home()),
        "profile": active_profile_name(),
        "profiles": sorted(profiles()),
        "settings": {name: {"value": value, "from": source} for name, (value, source) in _settings().items()},
    }
    if output == "json":
        print_json(facts)
        return
    print_facts(
        {**facts, "settings": [f"{name} = {value} ({source})" for name, (value, source) in _settings().items()]}
    )
    require_api()


def _settings() -> dict[str, tuple[str, str]]:
    """Of each setting that is set, its value and where that comes from."""
    return {name: told for name in sorted(SETTINGS) if (told := setting_and_source(name)) is not None}


@config.command("set")
@click.argument("name", type=_setting)
@click.argument("value")
@output_option
def set_(name: str, value: str, output: str) -> None:
    """Set NAME in the active profile; an environment variable ORCHESTRATOR_NAME goes before it."""
    change_profile(name.lower(), value)
    print_done({name: value}, output, f"{name} = {value}")


@config.command()
@click.argument("name", type=_setting)
@output_option
def unset(name: str, output: str) -> None:
    """Take NAME out of the active profile."""
    change_profile(name.lower(), None)
    print_done({name: None}, output, f"{name} is not set any more.")
