"""`orchestrator deployment …`."""

from __future__ import annotations

import os
from typing import Any
from urllib.parse import quote

import click

from orchestrator.bodies import ON_LIMIT
from orchestrator.cli.explaining import print_estimate
from orchestrator.cli.options import given_options
from orchestrator.cli.output import (
    connect,
    limit_option,
    or_none,
    output_option,
    print_done,
    print_items,
    print_json,
    print_one,
    short_time,
)
from orchestrator.cli.parameters import read_job_variables, read_parameters, read_secrets
from orchestrator.cli.schedules import schedule, when
from orchestrator.cli.watching import watch_run
from orchestrator.client import Client
from orchestrator.job_variables import MIN_MEMORY

NOT_ESTIMATED = {"run_name", "at", "debounce", "debounce_key", "debounce_max", "watch"}  # options
ESTIMATED = ("parameters", "tags", "priority", "concurrency_key", "work_queue", "job_variables")


@click.group()
def deployment() -> None:
    """List, run, pause, roll back and delete deployments."""


deployment.add_command(schedule)


@deployment.command()
@limit_option
@output_option
def ls(limit: int, output: str) -> None:
    """List deployments, the last changed first."""
    items = connect().pages("/deployments", limit)
    heads = ("DEPLOYMENT", "POOL", "SCHEDULE", "ID")
    print_items(items, output, heads, lambda d: (f"{d['flow']}/{d['name']}", d["work_pool"], _schedule(d), d["id"]))


def _schedule(told: dict[str, Any]) -> str:
    texts = []
    for each in told.get("schedules") or ():
        text = when(each)
        texts.append(text if each.get("active", True) else f"{text} (paused)")
    return ", ".join(texts)


@deployment.command()
@click.argument("name")
@output_option
def inspect(name: str, output: str) -> None:
    """Show one deployment: its id, or flow/name."""
    told = find(connect(), name)
    print_one(told, output, {key: value for key, value in told.items() if key != "parameter_schema"})


@deployment.command()
@click.argument("name")
@click.option("-p", "--param", "params", multiple=True, metavar="K=V", help="A parameter; V is JSON, or else a text.")
@click.option("--secret", "secrets", multiple=True, metavar="K=BLOCK", help="A parameter, taken from a Secret block.")
@click.option("--run-name", help="The run's name.")
@click.option("--tag", "tags", multiple=True, help="A tag; may be given several times.")
@click.option("--queue", help="Another queue of the deployment's pool.")
@click.option("--priority", type=int, help="Higher goes first within its queue.")
@click.option("--concurrency-key", help="Whose run it is, if not as the deployment says.")
@click.option("--at", help="When, in ISO 8601 with a zone; now by default.")
@click.option("--idempotency-key", help="The same key triggers once.")
@click.option(
    "--debounce", type=float, metavar="SECONDS", help="Start when no other trigger came for so long; 0: at once."
)
@click.option("--debounce-key", help="Gather only triggers of this key.")
@click.option("--debounce-max", type=float, metavar="SECONDS", help="Postpone it no longer; ten times as long.")
@click.option(
    "--job-variable", "job_variables", multiple=True, metavar="K=V",
    help="In place of the deployment's, for this run; V is JSON, or else a text, and null takes it away.",
)  # fmt: skip
@click.option("--env", multiple=True, metavar="K=V", help="A variable of this run's environment.")
@click.option("--memory", type=click.FloatRange(MIN_MEMORY), metavar="MIB", help="More of it ends this run.")
@click.option("--dry-run", is_flag=True, help="Trigger nothing: check it, and say when it would begin and end.")
@click.option("--watch", is_flag=True, help="Follow it to its end: its log, its states.")
@output_option
def run(
    name: str,
    params: tuple[str, ...],
    secrets: tuple[str, ...],
    run_name: str | None,
    tags: tuple[str, ...],
    queue: str | None,
    priority: int | None,
    concurrency_key: str | None,
    at: str | None,
    idempotency_key: str | None,
    debounce: float | None,
    debounce_key: str | None,
    debounce_max: float | None,
    job_variables: tuple[str, ...],
    env: tuple[str, ...],
    memory: float | None,
    dry_run: bool,
    watch: bool,
    output: str,
) -> None:
    """Trigger a run of a deployment: its id, or flow/name."""
    if dry_run:
        _refuse_beside_dry_run()
    body: dict[str, Any] = {
        "deployment": name,
        "parameters": read_parameters(params) | read_secrets(secrets),
        "idempotency_key": idempotency_key or f"cli-{os.urandom(16).hex()}",
    }
    body.update({"name": run_name} if run_name else {})
    body.update({"tags": list(tags)} if tags else {})
    body.update({"work_queue": queue} if queue else {})
    body.update({"priority": priority} if priority is not None else {})
    body.update({"concurrency_key": concurrency_key} if concurrency_key is not None else {})
    body.update({"scheduled_at": at} if at else {})
    gathered = {"debounce": debounce, "debounce_key": debounce_key, "debounce_max": debounce_max}
    body.update({field: value for field, value in gathered.items() if value is not None})
    variables = read_job_variables(job_variables, env, memory)
    body.update({"job_variables": variables} if variables else {})
    client = connect()
    if dry_run:
        asked = {field: value for field, value in body.items() if field in ESTIMATED}
        told = client.post(f"/deployments/{find(client, name)['id']}/estimate", asked, again=True)
        print_estimate(told, output)
        return
    made = client.post("/flow-runs", body, again=True)
    if watch:
        if output == "table":
            click.echo(f"{made['name']} {made['url']}")
        raise SystemExit(watch_run(client, made["id"], output))
    due = short_time(made.get("scheduled_at"))
    print_done(made, output, f"{made['name']}  {made['id']}  {due}\n{made.get('url') or ''}".rstrip())


def _refuse_beside_dry_run() -> None:
    """An estimate is of a run that is triggered now: what it can't take into account must not look checked."""
    if given := given_options(NOT_ESTIMATED.__contains__):
        raise click.UsageError(f"--dry-run checks a run that would begin now: leave out {', '.join(given)}.")


@deployment.command()
@click.argument("name")
@click.option("--slots", "concurrency_limit", type=int, help="So many of its runs at once; 0: any number.")
@click.option("--key-slots", type=int, help="So many of each key at once; 0: any number.")
@click.option("--on-limit", type=click.Choice(ON_LIMIT), help="What becomes of runs beyond these.")
@output_option
def limit(name: str, concurrency_limit: int | None, key_slots: int | None, on_limit: str | None, output: str) -> None:
    """Change how many runs of a deployment run at once; those under way go on."""
    given = {"concurrency_limit": concurrency_limit, "key_slots": key_slots}
    body: dict[str, Any] = {field: slots or None for field, slots in given.items() if slots is not None}
    body.update({"on_limit": on_limit} if on_limit else {})
    if not body:
        raise click.UsageError("Say what changes: --slots, --key-slots, --on-limit.")
    client = connect()
    told = client.patch(f"/deployments/{find(client, name)['id']}", body)
    print_one(told, output, {field: told[field] for field in ("concurrency_limit", "key_slots", "on_limit")})


@deployment.command()
@click.argument("name")
@output_option
def pause(name: str, output: str) -> None:
    """Stop the schedules of a deployment."""
    client = connect()
    told = client.post(f"/deployments/{find(client, name)['id']}/pause", again=True)
    print_done(told, output, f"The schedules of {told['flow']}/{told['name']} are paused.")


@deployment.command()
@click.argument("name")
@output_option
def resume(name: str, output: str) -> None:
    """Start the schedules of a deployment again."""
    client = connect()
    told = client.post(f"/deployments/{find(client, name)['id']}/resume", again=True)
    print_done(told, output, f"The schedules of {told['flow']}/{told['name']} run again.")


@deployment.command()
@click.argument("name")
@limit_option
@output_option
def versions(name: str, limit: int, output: str) -> None:
    """List what a deployment was, the newest version first."""
    client = connect()
    items = client.pages(f"/deployments/{find(client, name)['id']}/versions", limit)
    heads = ("VERSION", "NOW", "COMMIT", "BY", "AT", "MESSAGE")
    print_items(items, output, heads, _version)


def _version(told: dict[str, Any]) -> tuple[Any, ...]:
    git = told.get("git") or {}
    commit = f"{git.get('commit', '')[:10]}{' (changed)' if git.get('dirty') else ''}"
    message = told["message"] or (f"Back to {told['rollback_of']}." if told.get("rollback_of") else "")
    return told["number"], told["role"], commit, told["created_by"], short_time(told["created_at"]), message


@deployment.command()
@click.argument("name")
@click.argument("version", type=click.IntRange(min=1), required=False)
@click.option(
    "--from", "before", type=click.IntRange(min=1), help="Compare with this one; with the one before it, else."
)
@output_option
def diff(name: str, version: int | None, before: int | None, output: str) -> None:
    """Show what VERSION changed, the one in force by default: settings, and the code line by line."""
    client = connect()
    present = find(client, name)
    asked = {"from": before} if before is not None else {}
    told = client.get(f"/deployments/{present['id']}/versions/{version or present['number']}/diff", **asked)
    if output == "json":
        print_json(told)
        return
    click.echo(
        f"Version {told['to']} of {present['flow']}/{present['name']}, compared with {told['from'] or 'nothing'}:"
    )
    for setting in told["settings"]:
        click.echo(f"  {setting['name']}: {or_none(setting['before'])} -> {or_none(setting['after'])}")
    for file in told["files"]:
        click.secho(f"\n{file['change']} {file['name']}{'  ' + file['note'] if file['note'] else ''}", bold=True)
        for line in file["lines"]:
            click.secho(line, fg={"+": "green", "-": "red", "@": "cyan"}.get(line[:1]))
    if told["note"]:
        click.echo(told["note"])
    if not (told["settings"] or told["files"]):
        click.echo("  Nothing differs.")


@deployment.command()
@click.argument("name")
@click.argument("version", type=click.IntRange(min=1))
@click.option("-m", "--message", default="", help="Why, for the history.")
@output_option
def rollback(name: str, version: int, message: str, output: str) -> None:
    """Put a former version in force, as a new one. The schedules and the limit stay as they are."""
    client = connect()
    body = {"version": version, "message": message}
    told = client.post(f"/deployments/{find(client, name)['id']}/rollback", body)
    text = f"{told['flow']}/{told['name']} is what it was in version {version}; that is version {told['number']}."
    print_done(told, output, text)


@deployment.command()
@click.argument("name")
@output_option
def promote(name: str, output: str) -> None:
    """Put the canary in force."""
    client = connect()
    told = client.post(f"/deployments/{find(client, name)['id']}/promote")
    print_done(told, output, f"Version {told['number']} of {told['flow']}/{told['name']} is in force.")


@deployment.command()
@click.argument("name")
@click.argument("share", type=click.IntRange(0, 99))
@output_option
def canary(name: str, share: int, output: str) -> None:
    """Let SHARE percent of the new runs be made from the canary; 0 withdraws it."""
    client = connect()
    told = client.post(f"/deployments/{find(client, name)['id']}/canary", {"share": share}, again=True)
    begun = f"{share} % of the new runs are made from version {told['canary']['number']}." if told["canary"] else ""
    print_done(told, output, begun or f"The canary of {told['flow']}/{told['name']} is withdrawn.")


@deployment.command()
@click.argument("name")
@click.option("-y", "--yes", is_flag=True, help="Don't ask.")
@output_option
def delete(name: str, yes: bool, output: str) -> None:
    """Delete a deployment, its schedules and versions. Runs that wait are cancelled."""
    client = connect()
    told = find(client, name)
    if not yes:
        click.confirm(f"Delete {told['flow']}/{told['name']} and cancel its runs that wait?", abort=True, err=True)
    client.delete(f"/deployments/{told['id']}")
    print_done({"deleted": [told["id"]]}, output, f"{told['flow']}/{told['name']} is deleted.")


def find(client: Client, name: str) -> dict[str, Any]:
    """A deployment by its id or by flow/name."""
    flow, slash, own = name.partition("/")
    if not slash:
        return client.get(f"/deployments/{quote(name, safe='')}")
    return client.get(f"/deployments/by-name/{quote(flow, safe='')}/{quote(own, safe='')}")
