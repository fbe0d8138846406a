"""`orchestrator backfill …`."""

from __future__ import annotations

import os
import sys
import time
from datetime import datetime
from typing import Any
from zoneinfo import ZoneInfo

import click

from orchestrator.backfills import AT_ONCE, EXISTING, PRIORITY
from orchestrator.cli.deployments import find
from orchestrator.cli.output import (
    connect,
    limit_option,
    output_option,
    print_items,
    print_json,
    print_one,
    print_table,
    short_duration,
    short_time,
)
from orchestrator.cli.parameters import read_parameters
from orchestrator.cli.schedules import times_options, times_told
from orchestrator.client import Client
from orchestrator.parameter_sets import read_sets

LOOK_EVERY = 1.0
_SHORT_OF_ALL = 3  # the exit code where not every run went well, as of a watched run that does not complete
TIMES = ("cron", "day_and", "interval", "anchor", "rrule", "timezone")


@click.group()
def backfill() -> None:
    """Run a deployment over a past range or a list of parameter sets, a few runs at a time."""


@backfill.command()
@click.argument("deployment")
@click.option("--schedule", help="The times of this schedule of the deployment, by its slug.")
@times_options
@click.option("--from", "since", help="The begin of the range: a date, or ISO 8601; without a zone by the timezone.")
@click.option("--to", "until", help="Its end, which is not within it; now by default.")
@click.option("--sets", type=click.File(encoding="utf-8"), help="Parameter sets: CSV, JSON lines or a JSON array; -.")
@click.option("-p", "--param", "params", multiple=True, metavar="K=V", help="A parameter of all runs.")
@click.option("--time-parameter", help="The parameter that is given the time of each run.")
@click.option("--next-parameter", help="The parameter that is given the time after it.")
@click.option(
    "--existing", type=click.Choice(list(EXISTING)), default="skip", show_default=True,
    help="What becomes of times that have a run already: left out, run again where it failed, or all run again.",
)  # fmt: skip
@click.option("--newest-first", is_flag=True, help="Begin with the last time.")
@click.option("--at-once", type=int, default=AT_ONCE, show_default=True, help="So many of its runs at a time.")
@click.option("--per-minute", type=int, help="Make so many runs within a minute at most.")
@click.option("--pause-after-failures", type=int, help="Pause when so many runs in a row have failed.")
@click.option("--priority", type=int, default=PRIORITY, show_default=True, help="Higher goes first within its queue.")
@click.option("--tag", "tags", multiple=True, help="A tag of its runs; may be given several times.")
@click.option("--name", default="", help="What it is called.")
@click.option("--idempotency-key", help="The same key begins it once.")
@click.option("--dry-run", is_flag=True, help="Only show what it would make.")
@click.option("--yes", "-y", is_flag=True, help="Don't ask.")
@click.option("--watch", is_flag=True, help="Follow it to its end.")
@output_option
def create(deployment: str, dry_run: bool, yes: bool, watch: bool, output: str, **given: Any) -> None:
    """Show which runs of DEPLOYMENT it would make, ask, and begin."""
    client = connect()
    body = _body(client, deployment, given)
    seen = client.post("/backfills", {**body, "dry_run": True}, again=True)
    if output == "table":
        _print_preview(seen)
    if dry_run:
        if output == "json":
            print_json(seen)
        return
    if seen["wrong"]:
        raise click.ClickException("Mend these sets first.")
    if seen["count"] and not yes:
        click.confirm(f"Make {_runs(seen['count'])}?", abort=True, err=True)
    key = given["idempotency_key"] or f"cli-{os.urandom(16).hex()}"
    made = client.post("/backfills", {**body, "idempotency_key": key}, again=True)["backfill"]
    if watch:
        _follow(client, made, output)
    elif output == "json":
        print_json(made)
    else:
        click.echo(f"Begun: {made['id']}\n{made['url']}\nFollow it: orchestrator backfill watch {made['id']}")


def _body(client: Client, deployment: str, given: dict[str, Any]) -> dict[str, Any]:
    found = find(client, deployment)
    names = (
        "time_parameter",
        "next_parameter",
        "existing",
        "at_once",
        "per_minute",
        "pause_after_failures",
        "priority",
    )
    body: dict[str, Any] = {"deployment": found["id"], "parameters": read_parameters(given["params"])}
    body |= {name: given[name] for name in names if given[name] is not None}
    body |= {"name": given["name"], "tags": list(given["tags"])}
    body |= {"order": "newest"} if given["newest_first"] else {}
    times = times_told(**{name: given[name] for name in TIMES})
    if given["sets"] is not None:
        try:
            return body | {"sets": read_sets(given["sets"].read(), found.get("parameter_schema") or {})}
        except ValueError as error:
            raise click.ClickException(f"--sets: {error}") from error
    if given["schedule"] is not None:
        body |= {"schedule": given["schedule"]}
        zone = next((each["timezone"] for each in _schedules(found) if each["slug"] == given["schedule"]), "UTC")
    else:
        body |= {"times": times} if times.keys() & {"cron", "interval", "rrule"} else {}
        zone = times.get("timezone", "UTC")
    return body | {
        name: _moment(f"--{word}", given[name], zone)
        for name, word in (("since", "from"), ("until", "to"))
        if given[name]
    }


def _schedules(found: dict[str, Any]) -> list[dict[str, Any]]:
    return found.get("schedules") or []


def _moment(option: str, text: str, zone: str) -> str:
    """A date or a time, without a zone by that of the schedule, as the API takes it."""
    try:
        moment = datetime.fromisoformat(text)
        return (moment if moment.tzinfo else moment.replace(tzinfo=ZoneInfo(zone))).isoformat()
    except (ValueError, KeyError, OSError):
        raise click.UsageError(f"{option} is a date or a time such as 2026-05-01T06:00, not {text!r}.") from None


def _print_preview(seen: dict[str, Any]) -> None:
    rows = [_place_row(place) for place in seen["first"]]
    hidden = seen["places"] - len(rows) - len(seen["last"])
    rows += [("…", f"{hidden} more", "", "")] if hidden else []
    if seen["places"]:
        print_table(("TIME", "PARAMETERS", "THERE", "RUN"), rows + [_place_row(place) for place in seen["last"]])
    for each in seen["wrong"]:
        told = "; ".join(f"{name.removeprefix('parameters.') or 'it'}: {what}" for name, what in each["fields"].items())
        click.echo(f"Row {each['row'] + 1}: {told}")
    if seen["more_wrong"]:
        click.echo(f"{seen['more_wrong']} other rows can't be taken.")
    there = ", ".join(f"{number} {state.lower()}" for state, number in sorted(seen["there"].items()))
    click.echo(f"{_runs(seen['count'])} to make{f'; {there} already there' if there else ''}.")
    for warning in seen["warnings"]:
        click.echo(f"Note: {warning}")
    if seen["seconds"]:
        click.echo(f"It takes about {short_duration(seen['seconds'])}, by the last runs of the deployment.")


def _place_row(place: dict[str, Any]) -> tuple[Any, ...]:
    parameters = ", ".join(f"{name}={value}" for name, value in place["parameters"].items())
    at = short_time(place["time"]) or f"#{place['ordinal'] + 1}"
    return at, parameters, place["state"] or "", "left out" if place["outcome"] == "skipped" else "yes"


def _runs(number: int) -> str:
    return f"{number:,} run{'' if number == 1 else 's'}"


@backfill.command()
@click.option("--deployment", help="Those of this deployment: its id, or flow/name.")
@limit_option
@output_option
def ls(deployment: str | None, limit: int, output: str) -> None:
    """List backfills, the newest first."""
    client = connect()
    more = {"deployment": deployment} if deployment else {}
    print_items(
        client.pages("/backfills", limit, **more),
        output,
        ("DEPLOYMENT", "NAME", "STATE", "MADE", "LEFT", "BEGUN", "ID"),
        lambda b: (
            *(b[name] for name in ("deployment", "name", "state", "made", "left")),
            short_time(b["created_at"]),
            b["id"],
        ),
    )


@backfill.command()
@click.argument("backfill_id")
@output_option
def inspect(backfill_id: str, output: str) -> None:
    """Show one: how far it has come, and why it makes no run now."""
    told = connect().get(f"/backfills/{backfill_id}")
    print_one(told, output)


@backfill.command()
@click.argument("backfill_id")
@output_option
def watch(backfill_id: str, output: str) -> None:
    """Follow one to its end. Ctrl-C ends the look at it, not the backfill."""
    client = connect()
    _follow(client, client.get(f"/backfills/{backfill_id}"), output)


def _follow(client: Client, made: dict[str, Any], output: str) -> None:
    """Say how far it has come until it has ended, or pauses; exits with 3 where not every run went well."""
    seen = ""
    while True:
        told = client.get(f"/backfills/{made['id']}")
        if (line := _progress(told)) != seen and output == "table":
            seen = _show(line)
        if told["state"] != "running":
            break
        time.sleep(LOOK_EVERY)
    if output == "json":
        print_json(told)
    else:
        _print_end(told)
    if told["state"] != "completed" or set(told["states"]) - {"COMPLETED"} or told["refused"]:
        raise SystemExit(_SHORT_OF_ALL)


def _show(line: str) -> str:
    if sys.stderr.isatty():
        click.echo(f"\r{line}\x1b[K", err=True, nl=False)
    else:
        click.echo(line, err=True)
    return line


def _progress(told: dict[str, Any]) -> str:
    states = ", ".join(f"{number} {state.lower()}" for state, number in sorted(told["states"].items()))
    why = f" · {told['why']['sentence']}" if told["state"] == "running" and told["left"] else ""
    return f"{told['made']} of {_runs(told['made'] + told['left'])} made{f': {states}' if states else ''}{why}"


def _print_end(told: dict[str, Any]) -> None:
    if sys.stderr.isatty():
        click.echo("\r\x1b[K", err=True, nl=False)
    click.echo(f"{_progress(told)}. {told['state'].capitalize()}. {told['message']}".rstrip())
    if told["state"] == "paused":
        click.echo(f"Go on: orchestrator backfill resume {told['id']}")
    if told["states"].keys() & {"FAILED", "CRASHED"}:
        click.echo(
            f"Retry what failed: orchestrator flow-run retry --state FAILED,CRASHED --where backfill={told['id']}"
        )


@backfill.command()
@click.argument("backfill_id")
@output_option
def pause(backfill_id: str, output: str) -> None:
    """Make no more runs until somebody resumes it; those that are there go on."""
    _print(connect().post(f"/backfills/{backfill_id}/pause", again=True), output)


@backfill.command()
@click.argument("backfill_id")
@output_option
def resume(backfill_id: str, output: str) -> None:
    """Go on."""
    _print(connect().post(f"/backfills/{backfill_id}/resume", again=True), output)


@backfill.command()
@click.argument("backfill_id")
@click.option("--at-once", type=int, help="So many of its runs at a time.")
@click.option("--per-minute", type=int, help="Make so many runs within a minute at most; 0: any number.")
@click.option("--pause-after-failures", type=int, help="Pause when so many in a row have failed; 0: never.")
@output_option
def drip(backfill_id: str, output: str, **given: int | None) -> None:
    """Let it drip otherwise from now on."""
    told = {name: value for name, value in given.items() if value is not None}
    if not told:
        raise click.UsageError("Say what changes: --at-once, --per-minute, --pause-after-failures.")
    none = {name: None for name, value in told.items() if value == 0 and name != "at_once"}
    _print(connect().patch(f"/backfills/{backfill_id}", {**told, **none}), output)


@backfill.command()
@click.argument("backfill_id")
@click.option(
    "--runs", type=click.Choice(["none", "waiting", "all"]), default="none", show_default=True,
    help="Cancel its runs too: those that wait for an agent, or all that have not ended.",
)  # fmt: skip
@output_option
def cancel(backfill_id: str, runs: str, output: str) -> None:
    """End it. What it has made goes on, unless --runs says otherwise."""
    _print(connect().post(f"/backfills/{backfill_id}/cancel", {"runs": runs}), output)


def _print(told: dict[str, Any], output: str) -> None:
    if output == "json":
        print_json(told)
        return
    rate = f", {told['per_minute']} a minute" if told["per_minute"] else ""
    click.echo(
        f"{told['state'].capitalize()}: {told['made']} made, {told['left']} left; {told['at_once']} at once{rate}."
    )
