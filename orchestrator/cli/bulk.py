"""Many runs at once: the commands of `flow-run` that take a filter, and `orchestrator bulk-operation …`."""

from __future__ import annotations

import sys
import time
from typing import Any

import click

from orchestrator.bulk import DID, FOR_GOOD, MAX_DELAY, OPEN
from orchestrator.cli.options import together
from orchestrator.cli.output import (
    connect,
    limit_option,
    output_option,
    print_items,
    print_json,
    print_one,
    print_table,
    short_time,
    state_of,
)
from orchestrator.client import Client

LOOK_EVERY = 0.5
_SHORT_OF_ALL = 3  # the exit code where not everything was done, as of a watched run that does not complete


# Of a command that takes a run, or a filter in its place.
many_options = together(
    click.option("--state", help="All runs in these states, comma-separated: RUNNING,FAILED"),
    click.option("--flow", help="All runs of this flow."),
    click.option("--deployment", help="All runs of this deployment: its id, or flow/name."),
    click.option("--where", multiple=True, metavar="NAME=VALUE", help="Another filter of the API's list of runs."),
    click.option("--all", "everything", is_flag=True, help="All runs of the workspace."),
    click.option("--dry-run", is_flag=True, help="Only show which runs would be hit."),
    click.option("--yes", "-y", is_flag=True, help="Don't ask."),
    click.option("--delay", type=click.FloatRange(0, MAX_DELAY), default=0, help="Seconds in which it can be undone."),
    click.option("--no-wait", is_flag=True, help="Don't follow it to its end."),
)


def filter_of(run_id: str | None, many: dict[str, Any]) -> dict[str, Any] | None:
    """The filter that was asked for; None where one run is.

    Raises:
        UsageError: Neither is asked for, or both.
    """
    words = {name: [many[name]] for name in ("state", "flow", "deployment") if many[name] is not None}
    for pair in many["where"]:
        name, equals, value = pair.partition("=")
        if not equals or not name:
            raise click.UsageError(f"--where is name=value, not {pair!r}.")
        words.setdefault(name, []).append(value)
    if run_id is not None:
        if words or many["everything"]:
            raise click.UsageError("Name a run or a filter, not both.")
        if many["dry_run"] or many["delay"] or many["no_wait"]:
            raise click.UsageError("--dry-run, --delay and --no-wait are for a filter.")
        return None
    if not words and not many["everything"]:
        raise click.UsageError("Name a run, or say which are meant: --state, --flow, --deployment, --where, --all.")
    return {name: values if len(values) > 1 else values[0] for name, values in words.items()}


def hit_many(what: str, words: dict[str, Any], many: dict[str, Any], output: str, **more: Any) -> None:
    """Show which runs fit, ask, and follow what is done to them."""
    client, body = connect(), {"filter": words, **more}
    seen = client.post(f"/flow-runs/{what}", {**body, "dry_run": True}, again=True)
    if output == "table":
        _print_preview(what, seen)
    if many["dry_run"] or not seen["count"]:
        if output == "json":
            print_json(seen)
        return
    if not many["yes"]:
        click.confirm(f"{what.capitalize()} {_runs(seen['count'])}?", abort=True, err=True)
    made = client.post(f"/flow-runs/{what}", {**body, "delay": many["delay"]})["operation"]
    told = made if many["no_wait"] else _follow(client, made)
    if output == "json":
        print_json(told)
    else:
        _print_end(told)
    if told["state"] in ("cancelled", "failed"):
        raise SystemExit(_SHORT_OF_ALL)


def _print_preview(what: str, seen: dict[str, Any]) -> None:
    rows = [
        (run["name"], run["flow"], state_of(run), short_time(run["created_at"]), run["id"]) for run in seen["first"]
    ]
    if rows:
        print_table(("NAME", "FLOW", "STATE", "MADE", "ID"), rows)
    more = seen["count"] - len(rows)
    click.echo(f"{_runs(seen['count'])} to {what}" + (f", {more} of them not shown." if more else "."))
    _print_reasons("Left out", seen["left_out"])
    if what == "delete" and seen["count"]:
        click.echo(FOR_GOOD)


def _print_reasons(head: str, reasons: list[dict[str, Any]]) -> None:
    for each in reasons:
        click.echo(f"{head}: {_runs(each['runs'])}, {each['why']}.")


def _runs(number: int) -> str:
    return f"{number} run{'' if number == 1 else 's'}"


def _follow(client: Client, made: dict[str, Any]) -> dict[str, Any]:
    """Its state at the end. Ctrl-C stops the operation, not only the look at it."""
    try:
        while made["state"] in OPEN:
            _show_progress(made)
            time.sleep(LOOK_EVERY)
            made = client.get(f"/bulk-operations/{made['id']}")
    except KeyboardInterrupt:
        made = client.post(f"/bulk-operations/{made['id']}/cancel")
    return made


def _show_progress(made: dict[str, Any]) -> None:
    if sys.stderr.isatty():
        begins = f"begins at {short_time(made['begins_at'])}" if made["state"] == "waiting" else ""
        click.echo(f"\r{begins or _progress(made)}; Ctrl-C stops it.\x1b[K", err=True, nl=False)


def _progress(made: dict[str, Any]) -> str:
    return f"{made['done']} of {_runs(made['count'])} {DID[made['kind']]}"


def _print_end(made: dict[str, Any]) -> None:
    if sys.stderr.isatty():
        click.echo("\r\x1b[K", err=True, nl=False)
    if made["state"] in OPEN:
        click.echo(f"Begins at {short_time(made['begins_at'])}. Undo: orchestrator bulk-operation cancel {made['id']}")
        return
    click.echo(f"{_progress(made)}." + (f" {made['message']}" if made["message"] else ""))
    _print_reasons("Not done", made["refused"])


@click.group()
def bulk_operation() -> None:
    """List, look at and undo what is done to many runs at once."""


@bulk_operation.command()
@limit_option
@output_option
def ls(limit: int, output: str) -> None:
    """List bulk operations, the newest first."""
    print_items(
        connect().pages("/bulk-operations", limit),
        output,
        ("KIND", "STATE", "DONE", "RUNS", "MADE", "BY", "ID"),
        lambda made: (
            *(made[name] for name in ("kind", "state", "done", "count")),
            *(short_time(made["created_at"]), made["created_by"], made["id"]),
        ),
    )


@bulk_operation.command()
@click.argument("operation_id")
@output_option
def inspect(operation_id: str, output: str) -> None:
    """Show one, and how far it has come."""
    told = connect().get(f"/bulk-operations/{operation_id}")
    print_one(told, output)


@bulk_operation.command()
@click.argument("operation_id")
@output_option
def cancel(operation_id: str, output: str) -> None:
    """Undo one that has not begun, or stop one; what is done stays done."""
    told = connect().post(f"/bulk-operations/{operation_id}/cancel")
    print_json(told) if output == "json" else _print_end(told)
