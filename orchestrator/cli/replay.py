"""`orchestrator replay`."""

from __future__ import annotations

import traceback

import click

from orchestrator import replay as replays
from orchestrator.cli.output import connect
from orchestrator.cli.parameters import read_parameters

SHOWN = 2_000  # characters of a value


@click.command()
@click.argument("run_id")
@click.option("--entrypoint", help="path/to/file.py:flow, instead of what its deployment was made of.")
@click.option(
    "-p", "--param", "parameters", multiple=True, help="name=value, over the run's own; JSON, or else a text."
)
@click.option("--debug/--no-debug", default=True, help="Stop in the debugger where it fails (the default).")
@click.option("--attach", is_flag=True, help="Tell the server of it, as of any flow that is called by hand.")
def replay(run_id: str, entrypoint: str | None, parameters: tuple[str, ...], debug: bool, attach: bool) -> None:
    """Execute a run once more on this machine, replaying what it had stored."""
    client = connect()
    former = replays.fetch(client, run_id)
    given = replays.parameters_of(former, read_parameters(parameters))
    flow = replays.code_of(former, client, entrypoint)
    _say_what_is_there(former, replays.values_of(former, client))
    try:
        value = replays.execute(flow, given, former, attach=attach)
    except Exception as error:
        _fail(error, debug)
    else:
        click.echo(f"It completed here, with {repr(value)[:SHOWN]}")


def _say_what_is_there(former: replays.Former, values: replays.Values) -> None:
    click.echo(f"{former.name} of {former.flow} ended {former.state}. Its calls with a stored value: {values.stored}.")
    if values.elsewhere:
        click.echo(
            f"{len(values.elsewhere)} of them are files of another machine, such as {values.elsewhere[0]}:"
            " these calls are executed here. Stored in a bucket or on the server, they could be read."
        )


def _fail(error: Exception, debug: bool) -> None:
    traceback.print_exception(error)
    if debug:
        import pdb  # noqa: T100 - it is what the command is for

        click.echo("Here it failed. `up` and `down` go through the calls, `p` prints, `q` ends.")
        pdb.post_mortem(error.__traceback__)
    raise SystemExit(1)
