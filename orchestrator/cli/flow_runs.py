"""`orchestrator flow-run …`."""

from __future__ import annotations

import click

from orchestrator.cli.output import (
    connect,
    limit_option,
    output_option,
    print_facts,
    print_items,
    print_json,
    short_duration,
    short_time,
    state_of,
)
from orchestrator.cli.watching import follow_logs, print_log_line, print_logs, watch_run


@click.group()
def flow_run() -> None:
    """List, watch and cancel runs, read their logs."""


@flow_run.command()
@click.option("--state", help="Only these states, comma-separated: RUNNING,FAILED")
@click.option("--flow", help="Only runs of this flow.")
@click.option("--deployment", help="Only runs of this deployment: its id, or flow/name.")
@limit_option
@output_option
def ls(state: str | None, flow: str | None, deployment: str | None, limit: int, output: str) -> None:
    """List runs, the newest first."""
    wanted = state.upper() if state else None
    items = connect().pages("/flow-runs", limit, state=wanted, flow=flow, deployment=deployment)
    heads = ("NAME", "FLOW", "STATE", "STARTED", "DURATION", "ID")
    print_items(
        items,
        output,
        heads,
        lambda run: (
            run["name"],
            run["flow"],
            state_of(run),
            short_time(run.get("started_at")),
            short_duration(run.get("duration")),
            run["id"],
        ),
    )


@flow_run.command()
@click.argument("run_id")
@output_option
def inspect(run_id: str, output: str) -> None:
    """Show one run."""
    told = connect().get(f"/flow-runs/{run_id}")
    if output == "json":
        print_json(told)
    else:
        print_facts({**told, "state": state_of(told), "message": told["state"].get("message")})


@flow_run.command()
@click.argument("run_id")
@click.option("-f", "--follow", is_flag=True, help="Go on until the run has ended.")
@output_option
def logs(run_id: str, follow: bool, output: str) -> None:
    """Print a run's log."""
    client = connect()
    if output == "json":
        lines: list[dict[str, object]] = []
        print_logs(client, run_id, 0, lines.append)
        print_json(lines)
    elif follow:
        follow_logs(client, run_id, print_log_line)
    else:
        print_logs(client, run_id, 0, print_log_line)


@flow_run.command()
@click.argument("run_id")
def cancel(run_id: str) -> None:
    """Ask a run to stop."""
    told = connect().post(f"/flow-runs/{run_id}/cancel", again=True)
    click.echo(f"{told['name']} is {state_of(told)}.")


@flow_run.command()
@click.argument("run_id")
@output_option
def watch(run_id: str, output: str) -> None:
    """Follow a run to its end; exit code 3 if it ends otherwise than COMPLETED."""
    raise SystemExit(watch_run(connect(), run_id, output))
