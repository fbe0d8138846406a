"""The command `orchestrator`, and how its errors are told."""

from __future__ import annotations

import os
import sys
from importlib import import_module
from typing import Any

import click

from orchestrator._version import __version__
from orchestrator.exceptions import OrchestratorError

_COMMANDS = {
    "agent": ("agent", "Execute runs on this machine; list agents, read their logs."),
    "backfill": ("backfills", "Run a deployment over a past range or parameter sets, a few runs at a time."),
    "block": ("blocks", "List, look at and delete blocks, register types."),
    "bulk-operation": ("bulk", "List, look at and undo what is done to many runs at once."),
    "cache": ("cache", "List, look at and invalidate what is cached."),
    "completion": ("completion", "Print what lets a shell complete commands."),
    "config": ("config", "Show which API and settings are used, and why; change settings."),
    "deploy": ("deploy", "Make flows known to the server."),
    "deployment": ("deployments", "List, run, pause, roll back and delete deployments."),
    "flow-run": ("flow_runs", "List, watch, cancel and retry runs, read their logs."),
    "init": ("project", "Write an orchestrator.yaml that deploys the flows of a directory."),
    "journal": ("journal", "Journals that are still on this machine."),
    "limit": ("limits", "List, make and change limits that code names."),
    "login": ("login", "Keep an API key in a profile."),
    "profile": ("profiles", "List, choose, rename and delete profiles."),
    "replay": ("replay", "Execute a run once more on this machine, into the debugger where it fails."),
    "result": ("results", "List and delete stored values of runs."),
    "task-run": ("task_runs", "List the task runs of a run, look at one, read its log."),
    "variable": ("variables", "Read and write variables."),
    "webhook": ("webhooks", "Addresses at which others trigger runs."),
    "work-pool": ("work_pools", "List, make, look at, change, pause and resume work pools; list their types."),
    "work-queue": ("work_queues", "List, make, change, pause and delete the queues of a pool."),
    "whoami": ("login", "Show whom the API takes you for."),
}


class _Lazy(click.Group):
    """Imports a command when it is called: `orchestrator --help` shall not wait for all of them."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        return sorted(_COMMANDS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        if cmd_name not in _COMMANDS:
            return None
        module = import_module(f"orchestrator.cli.{_COMMANDS[cmd_name][0]}")
        return getattr(module, cmd_name.replace("-", "_"))

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        with formatter.section("Commands"):
            formatter.write_dl([(name, told) for name, (_, told) in sorted(_COMMANDS.items())])


@click.group(cls=_Lazy, context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(__version__, prog_name="orchestrator")
def cli() -> None:
    """Workflows as plain Python functions.

    The API is the one of ORCHESTRATOR_API_URL and ORCHESTRATOR_API_KEY, or of the profile of `orchestrator login`.
    Colours are left out where the output is no terminal, or NO_COLOR is set.
    """
    click.get_current_context().color = _colour()


def _colour() -> bool | None:
    """False where none is wanted. None leaves it to the output: only a terminal has any."""
    return False if os.environ.get("NO_COLOR") else None


def main(args: list[str] | None = None) -> Any:
    """Run the command line; errors of ours are one line on standard error."""
    try:
        return cli.main(args, prog_name="orchestrator", standalone_mode=True)
    except OrchestratorError as error:
        _tell(error)
        for name, message in (getattr(error, "fields", None) or {}).items():
            click.echo(f"  {name}: {message}", err=True)
    except (ValueError, OSError) as error:
        _tell(error)
    sys.exit(1)


def _tell(error: Exception) -> None:
    click.echo(f"{click.style('Error:', fg='red')} {error}", err=True, color=_colour())
