"""`orchestrator deployment schedule …`."""

from __future__ import annotations

from typing import Any
from urllib.parse import quote

import click

from orchestrator.cli.options import together
from orchestrator.cli.output import connect, output_option, print_done, print_items, short_time
from orchestrator.cli.parameters import read_parameters
from orchestrator.client import Client
from orchestrator.schedules import CATCH_UPS, Schedule, from_json


@click.group()
def schedule() -> None:
    """List, make, pause, resume and delete the schedules of a deployment, and look ahead."""


# When a schedule is due.
times_options = together(
    click.option("--cron", help="Five fields: minute hour day month weekday."),
    click.option("--day-and", is_flag=True, help="With both day fields: on days that match both."),
    click.option("--interval", type=float, help="Seconds."),
    click.option("--anchor", help="What an interval is counted from: ISO 8601 with a zone."),
    click.option("--rrule", help="A recurrence rule, like FREQ=MONTHLY;BYDAY=-1FR."),
    click.option("--timezone", help="A name such as Europe/Berlin; UTC by default."),
)
# Its name, and what becomes of times that were missed.
missed_options = together(
    click.option("--slug", help="The schedule's name among those of the deployment."),
    click.option(
        "--catch-up", type=click.Choice(CATCH_UPS), help="What is made up for after an outage; skip by default."
    ),
    click.option("--catch-up-max", type=int, help="How many at most, of all."),
    click.option("--skip-if-late", type=float, metavar="SECONDS", help="Give up a run that nobody started by then."),
)


def schedule_of(**given: Any) -> Schedule | None:
    """The schedule that options say; None where none is asked for.

    Raises:
        UsageError: They say two, or none that can be.
    """
    told = times_told(**given)
    if not told:
        return None
    if sum(name in told for name in ("cron", "interval", "rrule")) != 1:
        raise click.UsageError("Give one of --cron, --interval and --rrule: it says when the schedule is due.")
    try:
        return from_json(told)
    except ValueError as error:
        raise click.UsageError(f"There can be no such schedule: {error}") from error


def times_told(**given: Any) -> dict[str, Any]:
    """What was given of a schedule, as the API takes it."""
    told = {name: value for name, value in given.items() if value is not None and value is not False}
    return told | ({"day_or": False} if told.pop("day_and", False) else {})


@schedule.command()
@click.argument("deployment")
@output_option
def ls(deployment: str, output: str) -> None:
    """List the schedules of DEPLOYMENT: its id, or flow/name."""
    client = connect()
    items = client.get(_path(client, deployment))["items"]
    print_items(items, output, ("SCHEDULE", "WHEN", "TIMEZONE", "NEXT", "PAUSED BY", "REFUSAL"), _row)


def _row(told: dict[str, Any]) -> tuple[Any, ...]:
    next_at = short_time(told["next"][0]) if told["next"] else ""
    return told["slug"], when(told), told["timezone"], next_at, told["paused_by"], told["refusal"]


def when(told: dict[str, Any]) -> str:
    """When a schedule is due, in a word."""
    return told.get("cron") or " ".join((told.get("rrule") or "").split()) or f"every {told.get('interval'):g} s"


@schedule.command()
@click.argument("deployment")
@times_options
@missed_options
@click.option("-p", "--param", "params", multiple=True, metavar="K=V", help="A parameter of its runs.")
@click.option("--paused", is_flag=True, help="Make it paused.")
@output_option
def create(deployment: str, params: tuple[str, ...], paused: bool, output: str, **given: Any) -> None:
    """Give DEPLOYMENT another schedule, which deploys leave alone."""
    told = times_told(**given) | ({"parameters": read_parameters(params)} if params else {})
    client = connect()
    made = client.post(_path(client, deployment), told | ({"active": False} if paused else {}))
    _print(made, output, "made")


@schedule.command()
@click.argument("deployment")
@click.argument("slug")
@output_option
def pause(deployment: str, slug: str, output: str) -> None:
    """Stop one schedule until somebody resumes it."""
    client = connect()
    _print(client.post(f"{_path(client, deployment, slug)}/pause", again=True), output, "paused")


@schedule.command()
@click.argument("deployment")
@click.argument("slug")
@output_option
def resume(deployment: str, slug: str, output: str) -> None:
    """Start one schedule again, from now on."""
    client = connect()
    _print(client.post(f"{_path(client, deployment, slug)}/resume", again=True), output, "resumed")


@schedule.command()
@click.argument("deployment")
@click.argument("slug")
@click.option("-y", "--yes", is_flag=True, help="Don't ask.")
@output_option
def delete(deployment: str, slug: str, yes: bool, output: str) -> None:
    """Delete one schedule, and its runs that are not due yet."""
    client = connect()
    path = _path(client, deployment, slug)
    if not yes:
        click.confirm(f"Delete the schedule {slug} and its runs that are not due yet?", abort=True, err=True)
    client.delete(path)
    print_done({"deleted": [slug]}, output, f"The schedule {slug} is deleted.")


@schedule.command()
@times_options
@click.option("-n", "--number", type=click.IntRange(1, 100), default=10, show_default=True, help="How many times.")
@output_option
def preview(number: int, output: str, **given: Any) -> None:
    """Show the next times that a schedule would have, by its own clock and in UTC. Nothing is made."""
    items = connect().post("/schedules/preview", {**times_told(**given), "number": number}, again=True)["items"]
    print_items(items, output, ("LOCAL", "ZONE", "UTC", "CLOCK"), _preview_row)


def _preview_row(told: dict[str, Any]) -> tuple[str, ...]:
    local, at = told["local"][:19].replace("T", " "), told["at"][:19].replace("T", " ")
    return local, told["zone"], at, told["clock"]


def _path(client: Client, deployment: str, slug: str | None = None) -> str:
    from orchestrator.cli.deployments import find

    path = f"/deployments/{find(client, deployment)['id']}/schedules"
    return path if slug is None else f"{path}/{quote(slug, safe='')}"


def _print(told: dict[str, Any], output: str, done: str) -> None:
    following = f"; next {short_time(told['next'][0])}" if told["next"] else ""
    print_done(told, output, f"The schedule {told['slug']} ({when(told)}) is {done}{following}.")
