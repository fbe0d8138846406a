"""`orchestrator flow-run …`."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import click

from orchestrator.cli.bulk import filter_of, hit_many, many_options
from orchestrator.cli.explaining import print_explanation
from orchestrator.cli.options import Command, together
from orchestrator.cli.output import (
    connect,
    limit_option,
    output_option,
    print_done,
    print_items,
    print_json,
    print_json_line,
    print_one,
    print_table,
    short_duration,
    short_time,
    state_of,
)
from orchestrator.cli.parameters import read_parameters
from orchestrator.cli.watching import follow_logs, print_log_line, print_logs, watch_run
from orchestrator.ids import uuid7

ORIGINS = ("local", "subflow", "api", "form", "schedule", "retry", "background", "backfill", "webhook", "automation")


def _between(what: str, prefix: str = "") -> Callable[[Command], Command]:
    """The options of a span of time."""
    return together(
        click.option(f"--{prefix}since", metavar="TIME", help=f"Only runs {what} from then on; ISO 8601 with a zone."),
        click.option(f"--{prefix}until", metavar="TIME", help=f"Only runs {what} before then."),
    )


@click.group()
def flow_run() -> None:
    """List, watch, explain, cancel, pause, retry and delete runs, read their logs."""


@flow_run.command()
@click.option("--state", help="Only these states, comma-separated: RUNNING,FAILED")
@click.option("--flow", help="Only runs of this flow.")
@click.option("--deployment", help="Only runs of this deployment: its id, or flow/name.")
@click.option("--deployment-version", type=click.IntRange(1), help="Only runs made from this version of it.")
@click.option("--version", help="Only runs with this label of a version.")
@click.option("--name", help="Only runs with this text in their names.")
@click.option("--tag", "tags", multiple=True, help="Only runs with this tag; several times: with all of them.")
@click.option("--origin", type=click.Choice(ORIGINS), help="Only runs that were triggered in this way.")
@click.option("--created-by", help="Only runs that this person, key or run has triggered.")
@click.option("--parent", type=click.UUID, help="Only runs that this run has called or triggered.")
@click.option("--root", type=click.UUID, help="Only this run and its subflows.")
@click.option("--retry-of", type=click.UUID, help="Only runs that retry this one.")
@click.option("--idempotency-key", help="Only the run that was triggered with this key.")
@click.option("--concurrency-key", help="Only runs that take turns by this key.")
@_between("made")
@_between("meant to start", "expected-")
@_between("started", "started-")
@_between("ended", "ended-")
@limit_option
@output_option
def ls(limit: int, output: str, state: str | None, tags: tuple[str, ...], **asked: Any) -> None:
    """List runs, the newest first."""
    wanted = state.upper() if state else None
    items = connect().pages("/flow-runs", limit, state=wanted, tag=",".join(tags) or None, **asked)
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
    print_one(told, output, {**told, "state": state_of(told), "message": told["state"].get("message")})


@flow_run.command()
@click.argument("run_id")
@click.option("-f", "--follow", is_flag=True, help="Go on until the run has ended.")
@output_option
def logs(run_id: str, follow: bool, output: str) -> None:
    """Print a run's log; as JSON and followed, one object a line."""
    client = connect()
    if follow:
        follow_logs(client, run_id, print_log_line if output == "table" else print_json_line)
    elif output == "table":
        print_logs(client, run_id, 0, print_log_line)
    else:
        lines: list[dict[str, object]] = []
        print_logs(client, run_id, 0, lines.append)
        print_json(lines)


@flow_run.command()
@click.argument("run_id")
@output_option
def explain(run_id: str, output: str) -> None:
    """Say why a run waits: the causes, the one that decides first, what to do, and when it may start."""
    print_explanation(connect().get(f"/flow-runs/{run_id}/explain"), output)


@flow_run.command()
@click.argument("run_id", required=False)
@many_options
@output_option
def cancel(run_id: str | None, output: str, **many: Any) -> None:
    """Ask a run to stop, or all runs that fit a filter, after a look at them."""
    words = filter_of(run_id, many)
    if words is not None:
        hit_many("cancel", words, many, output)
        return
    _ask(str(run_id), "cancel", output, again=True)


@flow_run.command()
@click.argument("run_ids", nargs=-1)
@many_options
@output_option
def delete(run_ids: tuple[str, ...], output: str, **many: Any) -> None:
    """Delete runs that have ended, with all that they told and made; or all such runs that fit a filter."""
    words = filter_of(run_ids[0] if run_ids else None, many)
    if words is not None:
        hit_many("delete", words, many, output)
        return
    if not many["yes"]:
        what = "this run" if len(run_ids) == 1 else f"these {len(run_ids)} runs"
        click.confirm(f"Delete {what}, with all that was told and made? It can't be undone.", abort=True, err=True)
    client = connect()
    for run_id in run_ids:
        client.delete(f"/flow-runs/{run_id}")
        click.echo(f"{run_id} is deleted.", err=output == "json")
    if output == "json":
        print_json({"deleted": list(run_ids)})


@flow_run.command()
@click.argument("run_id", required=False)
@many_options
@output_option
def pause(run_id: str | None, output: str, **many: Any) -> None:
    """Ask a run to wait, in its process, at its next call of a task or a flow; or all runs that fit a filter."""
    words = filter_of(run_id, many)
    if words is not None:
        hit_many("pause", words, many, output)
    else:
        _ask(str(run_id), "pause", output)


@flow_run.command()
@click.argument("run_id")
@output_option
def suspend(run_id: str, output: str) -> None:
    """Ask a run to end its process at its next call, until it is resumed."""
    _ask(run_id, "suspend", output)


def _ask(run_id: str, verb: str, output: str, body: dict[str, Any] | None = None, *, again: bool = False) -> None:
    told = connect().post(f"/flow-runs/{run_id}/{verb}", body, again=again)
    print_done(told, output, f"{told['name']} is {state_of(told)}.")


@flow_run.command()
@click.argument("run_id", required=False)
@many_options
@click.option("--param", "-p", "given", multiple=True, help="A value it asks for, as name=value; may be repeated.")
@click.option("--approve", "verdict", flag_value="approve", help="Say yes, where an approval is asked for.")
@click.option("--reject", "verdict", flag_value="reject", help="Say no.")
@click.option("--comment", default="", help="A word on it, which stays with the answer.")
@click.option("--key", help="Which of several things it waits for is meant.")
@output_option
def resume(
    run_id: str | None,
    given: tuple[str, ...],
    verdict: str | None,
    comment: str,
    key: str | None,
    output: str,
    **many: Any,
) -> None:
    """Let a run go on that waits, with an answer if it asks for one; or all that fit a filter and ask for none."""
    words = filter_of(run_id, many)
    if words is not None:
        if given or verdict or comment or key:
            raise click.UsageError("--param, --approve, --reject, --comment and --key are for one run.")
        hit_many("resume", words, many, output)
        return
    told: dict[str, Any] = {"verdict": verdict or "answer", "comment": comment, "key": key}
    told |= {"value": read_parameters(given)} if given else {}
    _ask(str(run_id), "resume", output, told)


@flow_run.command()
@click.argument("run_id", required=False)
@limit_option
@output_option
def inputs(run_id: str | None, limit: int, output: str) -> None:
    """List what a run has asked people, or what all runs wait for."""
    items = connect().pages(f"/flow-runs/{run_id}/inputs" if run_id else "/inputs", limit)
    heads = ("RUN", "FLOW", "KEY", "ASKS", "STATE", "ASKED", "ID")
    print_items(items, output, heads, _input_row)


def _input_row(asked: dict[str, Any]) -> tuple[str, ...]:
    what = "approval" if asked["quorum"] else "input" if asked["schema"] else "to go on"
    told = (asked["run_name"], asked["flow"], asked["key"], asked["title"] or what, asked["state"])
    return (*told, short_time(asked["created_at"]), asked["id"])


@flow_run.command()
@click.argument("run_id")
@output_option
def watch(run_id: str, output: str) -> None:
    """Follow a run to its end; exit code 3 if it ends otherwise than COMPLETED."""
    raise SystemExit(watch_run(connect(), run_id, output))


@flow_run.command()
@click.argument("run_id", required=False)
@many_options
@click.option("-p", "--param", "parameters", multiple=True, help="name=value; the value is JSON, or else a text.")
@click.option("--from-failure/--whole", default=True, help="Reuse what was stored (the default), or nothing.")
@click.option("--again", multiple=True, help="A task that runs again though its value is stored: its name, or an id.")
@click.option("--plan", is_flag=True, help="Only show what would be reused, what would run, and why.")
@click.option("--watch", "watched", is_flag=True, help="Follow the new run to its end.")
@output_option
def retry(
    run_id: str | None,
    parameters: tuple[str, ...],
    from_failure: bool,
    again: tuple[str, ...],
    plan: bool,
    watched: bool,
    output: str,
    **many: Any,
) -> None:
    """Retry a run that has ended, with its parameters and those given here; or all runs that fit a filter."""
    words = filter_of(run_id, many)
    if words is not None:
        if parameters or again or plan or watched:
            raise click.UsageError("--param, --again, --plan and --watch are for one run.")
        hit_many("retry", words, many, output, from_failure=from_failure)
        return
    client = connect()
    if plan:
        _print_plan(client.get(f"/flow-runs/{run_id}/retry", again=",".join(again) or None), output)
        return
    edits = read_parameters(parameters)
    body = {"from_failure": from_failure, "parameters": edits, "again": list(again), "idempotency_key": str(uuid7())}
    new = client.post(f"/flow-runs/{run_id}/retry", body, again=True)
    if watched:
        raise SystemExit(watch_run(client, new["id"], output))
    print_done(new, output, f"{new['name']} is {state_of(new)}: {new['url']}")


def _print_plan(told: dict[str, Any], output: str) -> None:
    if output == "json":
        print_json(told)
        return
    if told["why_not"]:
        click.echo(told["why_not"])
    heads = ("TASK OR SUBFLOW", "REUSED", "RUNS AGAIN", "NEVER BEGUN", "WHY")
    rows = [
        (
            line["task"],
            line["reused"],
            line["runs"],
            line["waits"],
            ", ".join(f"{number} {reason}" for reason, number in line["reasons"].items()),
        )
        for line in told["tasks"]
    ]
    print_table(heads, [*rows, ("all", told["reused"], told["runs"], told["waits"], "")])
    click.echo("With other parameters, calls whose inputs become others run again as well.")
