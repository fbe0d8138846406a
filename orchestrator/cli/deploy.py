"""`orchestrator deploy path/to/file.py:flow`, or `…:task`."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import click

from orchestrator.agent_messages import PROCESSES
from orchestrator.bodies import ON_LIMIT
from orchestrator.cli.output import connect, output_option, print_json
from orchestrator.cli.parameters import read_parameters
from orchestrator.delayable import BACKGROUND
from orchestrator.deployments import MIN_MEMORY
from orchestrator.deployments import deploy as deploy_all
from orchestrator.schedules import Cron, Interval, RRule


@click.command()
@click.argument("entrypoint")
@click.option("--name", help="The deployment's name: `default`, or `background` for a task, where .delay goes.")
@click.option("--pool", default="default", show_default=True, help="The work pool.")
@click.option("--queue", help="A queue of the pool.")
@click.option("-p", "--param", "params", multiple=True, metavar="K=V", help="A default; V is JSON, or else a text.")
@click.option("--tag", "tags", multiple=True, help="A tag; may be given several times.")
@click.option("--cron", help="Five fields.")
@click.option("--interval", type=float, help="Seconds.")
@click.option("--rrule", help="A recurrence rule, like FREQ=MONTHLY;BYDAY=-1FR.")
@click.option("--timezone", default="UTC", show_default=True, help="Of the schedule.")
@click.option("--from-path", is_flag=True, help="Run from the file's directory, which agents must have, not a bundle.")
@click.option("--limit", "concurrency_limit", type=click.IntRange(1), metavar="N", help="So many runs at once.")
@click.option("--on-limit", type=click.Choice(ON_LIMIT), default="ENQUEUE", show_default=True, help="What then.")
@click.option("--concurrency-key", default="", metavar="TEMPLATE", help="Whose run it is, as in {customer}.")
@click.option("--key-slots", type=click.IntRange(1), metavar="N", help="So many runs of each key at once.")
@click.option("--process", type=click.Choice(PROCESSES), default="warm", show_default=True, help="Of each run.")
@click.option("--env", "env", multiple=True, metavar="K=V", help="A variable of the runs' environment.")
@click.option("--memory", type=click.FloatRange(MIN_MEMORY), metavar="MIB", help="More of it ends a run.")
@output_option
def deploy(
    entrypoint: str,
    name: str | None,
    pool: str,
    queue: str | None,
    params: tuple[str, ...],
    tags: tuple[str, ...],
    cron: str | None,
    interval: float | None,
    rrule: str | None,
    timezone: str,
    from_path: bool,
    concurrency_limit: int | None,
    on_limit: str,
    concurrency_key: str,
    key_slots: int | None,
    process: str,
    env: tuple[str, ...],
    memory: float | None,
    output: str,
) -> None:
    """Make the flow or task ENTRYPOINT (`file.py:name`) known to the server."""
    directory, found = _load(entrypoint)
    if sum(given is not None for given in (cron, interval, rrule)) > 1:
        raise click.UsageError("Give one of --cron, --interval and --rrule.")
    schedule = Cron(cron, timezone) if cron else Interval(interval, timezone=timezone) if interval else None
    schedule = RRule(rrule, timezone) if rrule else schedule
    deployment = found.to_deployment(
        name or ("default" if found.kind_of_run == "flow" else BACKGROUND),
        work_pool_name=pool,
        work_queue_name=queue,
        parameters=read_parameters(params),
        tags=tags,
        schedule=schedule,
        concurrency_limit=concurrency_limit,
        on_limit=on_limit,
        concurrency_key=concurrency_key,
        key_slots=key_slots,
        source=directory if from_path else None,
        process=process,
        job_variables=_job_variables(env, memory),
    )
    made = deploy_all(deployment)[0]
    told = connect().get(f"/deployments/{made}")
    if output == "json":
        print_json(told)
    else:
        click.echo(f"Deployed {told['flow']}/{told['name']}: {told.get('url') or made}")
        click.echo(f"Run it: orchestrator deployment run {json.dumps(told['flow'] + '/' + told['name'])} --watch")


def _job_variables(env: tuple[str, ...], memory: float | None) -> dict[str, Any]:
    pairs = [pair.partition("=") for pair in env]
    if not all(name and equals for name, equals, _ in pairs):
        raise click.UsageError("--env is NAME=TEXT; it may be given several times.")
    variables = {"env": {name: text for name, _, text in pairs}} if pairs else {}
    return variables if memory is None else {**variables, "memory_mib": memory}


def _load(entrypoint: str) -> tuple[Path, Any]:
    from orchestrator.loading import load

    path, colon, name = entrypoint.rpartition(":")
    if not colon:
        raise click.UsageError("ENTRYPOINT is a file and a name: path/to/file.py:name.")
    file = Path(path).resolve()
    root = file.parent
    # In a package the dotted name counts from outside of it.
    while (root / "__init__.py").exists():
        root = root.parent
    return root, load(f"{file.relative_to(root).as_posix()}:{name}", root)
