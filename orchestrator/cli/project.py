"""What `orchestrator deploy` does with an orchestrator.yaml, and `orchestrator init`, which writes one."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click
import msgspec

from orchestrator.cli.output import connect, or_none, output_option, print_json
from orchestrator.deployments import Deployment, deploy
from orchestrator.exceptions import ProjectError
from orchestrator.project.discovery import new_file
from orchestrator.project.file import NAME, read
from orchestrator.project.plan import Change, all_described, change_of, chosen

SIGNS = {"create": "+", "change": "~", "none": "="}
WIDTH = 60  # of a value


@click.command()
@click.argument("directory", type=click.Path(exists=True, file_okay=False, path_type=Path), default=".")
@click.option("--force", is_flag=True, help="Write it anew where there is one.")
@output_option
def init(directory: Path, force: bool, output: str) -> None:
    """Write an orchestrator.yaml that deploys each flow of DIRECTORY. No code of it is executed."""
    path = directory / NAME
    if path.exists() and not force:
        raise ProjectError(f"{path} is there already. --force writes it anew.")
    text, found = new_file(directory)
    path.write_text(text, encoding="utf-8")
    if output == "json":
        print_json({"file": str(path), "deployments": list(found)})
        return
    click.echo(f"{path} has {len(found)} deployment{'s' * (len(found) != 1)}.")
    for entrypoint in found:
        click.echo(f"  {entrypoint}")
    if not found:
        click.echo("No function decorated with @flow was found. Write one, and its entrypoint into the file.")
    click.echo("Next: orchestrator deploy --all --dry-run")


def deploy_project(
    path: Path, names: tuple[str, ...], everything: bool, dry_run: bool, message: str, canary: int | None, output: str
) -> None:
    """Deploy what a file names, or say what that would change."""
    project = read(path)
    wanted = chosen(project, names)
    if len(wanted) > 1 and not names and not everything:
        listed = ", ".join(sorted({each.text.name for each in wanted})[:20])
        raise click.UsageError(f"{path} has {len(wanted)} deployments: choose by --name ({listed}), or take --all.")
    deployments = all_described(project, wanted, message=message, canary=canary)
    if dry_run:
        print_changes(deployments, output)
    else:
        made = deploy_all(deployments, output)
        if output == "json":
            print_json(made)


def deploy_all(deployments: list[Deployment], output: str) -> list[dict[str, Any]]:
    """Make them known, one after the other, and say so of each; what the server tells of them."""
    client, made = connect(), []
    for each in deployments:
        told = client.get(f"/deployments/{deploy(each)[0]}")
        made.append(told)
        if output == "table":
            tried = f", on trial as version {told['canary']['number']}" if told.get("canary") else ""
            click.echo(f"Deployed {told['flow']}/{told['name']} (version {told['number']}{tried}): {told.get('url')}")
    return made


def print_changes(deployments: list[Deployment], output: str) -> None:
    """Say what deploying them would change."""
    client = connect()
    changes: list[Change] = [change_of(client, each) for each in deployments]
    if output == "json":
        print_json(msgspec.to_builtins(changes))
        return
    for each in changes:
        click.echo(f"{SIGNS[each.change]} {each.deployment}{' (unchanged)' if each.change == 'none' else ''}")
        for setting in each.settings:
            click.echo(f"    {setting.name}: {_short(setting.before)} -> {_short(setting.after)}")
    made, changed = (sum(each.change == kind for each in changes) for kind in ("create", "change"))
    click.echo(f"{made} to make, {changed} to change, {len(changes) - made - changed} unchanged. Nothing was deployed.")


def _short(value: str | None) -> str:
    text = or_none(value)
    return text if len(text) <= WIDTH else f"{text[: WIDTH - 1]}…"
