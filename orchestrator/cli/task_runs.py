"""`orchestrator task-run …`."""

from __future__ import annotations

from typing import Any

import click

from orchestrator.cli.output import (
    connect,
    limit_option,
    output_option,
    print_items,
    print_json,
    print_one,
    short_duration,
    short_time,
    state_of,
)
from orchestrator.cli.watching import print_log_line, print_logs


@click.group()
def task_run() -> None:
    """List the task runs of a run, look at one, read its log."""


@task_run.command()
@click.argument("flow_run_id")
@click.option("--state", help="Only these states, comma-separated: RUNNING,FAILED")
@click.option("--task", help="Only runs of this task.")
@limit_option
@output_option
def ls(flow_run_id: str, state: str | None, task: str | None, limit: int, output: str) -> None:
    """List the task runs of a run, about in the order in which they were made."""
    wanted = state.upper() if state else None
    items = connect().pages(f"/flow-runs/{flow_run_id}/task-runs", limit, state=wanted, task=task)
    print_items(items, output, ("NAME", "TASK", "STATE", "STARTED", "DURATION", "ID"), _row)


def _row(told: dict[str, Any]) -> tuple[str, ...]:
    lasted = short_duration(told["duration"])
    return (told["name"], told["task"], state_of(told), short_time(told["started_at"]), lasted, told["id"])


@task_run.command()
@click.argument("flow_run_id")
@click.argument("task_run_id")
@output_option
def inspect(flow_run_id: str, task_run_id: str, output: str) -> None:
    """Show one task run."""
    told = connect().get(f"/flow-runs/{flow_run_id}/task-runs/{task_run_id}")
    print_one(told, output, {**told, "state": state_of(told), "message": told["state"].get("message")})


@task_run.command()
@click.argument("flow_run_id")
@click.argument("task_run_id")
@output_option
def logs(flow_run_id: str, task_run_id: str, output: str) -> None:
    """Print what a task run logged."""
    lines: list[dict[str, Any]] = []
    print_logs(connect(), flow_run_id, 0, lines.append if output == "json" else print_log_line, task=task_run_id)
    if output == "json":
        print_json(lines)
