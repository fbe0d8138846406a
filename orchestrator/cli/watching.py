"""Following a run: its log lines as they come, its state at the end."""

from __future__ import annotations

import logging
import shutil
import sys
import time
from collections.abc import Callable
from datetime import datetime
from typing import Any

import click

from orchestrator.cli.output import print_json, short_duration, state_of
from orchestrator.client import Client
from orchestrator.states import TERMINAL, StateType

LOOK_EVERY = 0.5
LINES = 1_000
NOT_COMPLETED = 3

_COLOURS = {logging.WARNING: "yellow", logging.ERROR: "red", logging.CRITICAL: "red"}


def watch_run(client: Client, run_id: str, output: str = "table") -> int:
    """Follow a run to its end; the exit code that fits it."""
    print_line = print_log_line if output == "table" else _say_nothing
    run = follow_logs(client, run_id, print_line)
    if output == "json":
        print_json(run)
    else:
        click.echo(f"{run['name']} ended {state_of(run)}{_lasted(run)}.")
        if run["state"].get("message"):
            click.echo(run["state"]["message"])
    return 0 if run["state"]["type"] == StateType.COMPLETED else NOT_COMPLETED


def _lasted(run: dict[str, Any]) -> str:
    """How long it ran; nothing for one that never did.

    >>> _lasted({"started_at": "2026-01-05T12:00:00Z", "ended_at": "2026-01-05T12:00:07Z", "duration": 0.0})
    ' after 7.0 s'
    >>> _lasted({"started_at": None, "ended_at": "2026-01-05T12:00:07Z", "duration": 0.0})
    ''
    """
    if not run.get("started_at"):
        return ""
    seconds = run.get("duration")
    if not seconds and run.get("ended_at"):  # Its process was lost: nobody told how long user code took.
        ended, started = (datetime.fromisoformat(run[name]) for name in ("ended_at", "started_at"))
        seconds = (ended - started).total_seconds()
    return f" after {short_duration(seconds or 0.0)}"


def follow_logs(client: Client, run_id: str, print_line: Callable[[dict[str, Any]], None]) -> dict[str, Any]:
    """Print a run's log as it grows, until the run has ended; the run."""
    after, progress = 0, Progress()
    while True:
        # The state first: what is logged before a final state is in the log by then.
        run = client.get(f"/flow-runs/{run_id}")
        after = print_logs(client, run_id, after, progress.above(print_line))
        if StateType(run["state"]["type"]) in TERMINAL:
            progress.clear()
            return run
        progress.show(run)
        time.sleep(LOOK_EVERY)


class Progress:
    """On a terminal, a last line that says how far a run is; nowhere else."""

    def __init__(self) -> None:
        self._on = sys.stderr.isatty()
        self._shown = False

    def show(self, run: dict[str, Any]) -> None:
        """Say it."""
        if self._on:
            width = shutil.get_terminal_size().columns - 1
            click.secho(f"\r\x1b[K{progress_of(run)[:width]}", dim=True, nl=False, err=True)
            self._shown = True

    def clear(self) -> None:
        """Leave the line as it was."""
        if self._shown:
            click.echo("\r\x1b[K", nl=False, err=True)
            self._shown = False

    def above(self, print_line: Callable[[dict[str, Any]], None]) -> Callable[[dict[str, Any]], None]:
        """What prints lines of a log above it."""

        def print_above(line: dict[str, Any]) -> None:
            self.clear()
            print_line(line)

        return print_above


def progress_of(run: dict[str, Any]) -> str:
    """How far a run is.

    >>> progress_of({"state": {"type": "RUNNING", "name": "Running"}, "tasks": {"COMPLETED": 1200, "RUNNING": 3}})
    'RUNNING · tasks: 1,200 completed, 3 running'
    >>> progress_of({"state": {"type": "SCHEDULED", "name": "Late"}, "tasks": {}})
    'SCHEDULED (Late)'
    """
    tasks = ", ".join(f"{number:,} {state.lower()}" for state, number in sorted(run.get("tasks", {}).items()))
    return f"{state_of(run)} · tasks: {tasks}" if tasks else state_of(run)


def print_logs(
    client: Client, run_id: str, after: int, print_line: Callable[[dict[str, Any]], None], task: str | None = None
) -> int:
    """Print the lines behind `after`, of one task run or of all; the number of the last one."""
    while True:
        page = client.get(f"/flow-runs/{run_id}/logs", after=after, limit=LINES, task=task)
        for line in page["items"]:
            print_line(line)
            after = line["line"]
        if len(page["items"]) < LINES:
            return after


def print_log_line(line: dict[str, Any]) -> None:
    """Print one line of a log."""
    level = int(line["level"])
    head = f"{line['t'][11:23]} {logging.getLevelName(level):<8}"
    click.echo(f"{click.style(head, fg=_COLOURS.get(level), dim=level <= logging.DEBUG)} {line['message']}")


def _say_nothing(line: dict[str, Any]) -> None:
    return
