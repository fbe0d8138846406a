"""`orchestrator deploy`: of an orchestrator.yaml, or `orchestrator deploy path/to/file.py:flow`, or `…:task`."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import click

from orchestrator.agent_messages import PROCESSES
from orchestrator.bodies import ON_LIMIT
from orchestrator.cli.options import given_options
from orchestrator.cli.output import output_option, print_json
from orchestrator.cli.parameters import read_job_variables, read_parameters
from orchestrator.cli.project import deploy_all, deploy_project, print_changes
from orchestrator.cli.schedules import missed_options, schedule_of, times_options
from orchestrator.delayable import BACKGROUND
from orchestrator.job_variables import MIN_MEMORY
from orchestrator.project.file import NAME


@click.command()
@click.argument("entrypoint", required=False)
@click.option(
    "-f",
    "--file",
    "file",
    type=click.Path(dir_okay=False, path_type=Path),
    default=NAME,
    show_default=True,
    help="Which deployments there are, where no ENTRYPOINT is given.",
)
@click.option("--all", "everything", is_flag=True, help="All deployments of the file.")
@click.option(
    "-n",
    "--name",
    "names",
    multiple=True,
    help="A deployment of the file, * allowed; may be given several times. With an ENTRYPOINT its name: `default`, or"
    " `background` for a task, where .delay goes.",
)
@click.option("--dry-run", is_flag=True, help="Say what would change; deploy nothing.")
@click.option("-m", "--message", default="", help="What the new version is about, for its history.")
@click.option("--canary", type=click.IntRange(1, 99), metavar="PERCENT", help="Try it on a share of the new runs.")
@click.option("--pool", default="default", show_default=True, help="The work pool.")
@click.option("--queue", help="A queue of the pool.")
@click.option("-p", "--param", "params", multiple=True, metavar="K=V", help="A default; V is JSON, or else a text.")
@click.option("--tag", "tags", multiple=True, help="A tag; may be given several times.")
@click.option("--description", help="What it is for; the function's docstring by default.")
@click.option("--version", help="A label for this version, to be found again by.")
@times_options
@missed_options
@click.option("--from-path", is_flag=True, help="Run from the file's directory, which agents must have, not a bundle.")
@click.option("--limit", "concurrency_limit", type=click.IntRange(1), metavar="N", help="So many runs at once.")
@click.option("--on-limit", type=click.Choice(ON_LIMIT), default="ENQUEUE", show_default=True, help="What then.")
@click.option("--concurrency-key", default="", metavar="TEMPLATE", help="Whose run it is, as in {customer}.")
@click.option("--key-slots", type=click.IntRange(1), metavar="N", help="So many runs of each key at once.")
@click.option("--process", type=click.Choice(PROCESSES), default="warm", show_default=True, help="Of each run.")
@click.option(
    "--job-variable", "job_variables", multiple=True, metavar="K=V",
    help="What the pool's template knows; V is JSON, or else a text, and null takes away what the pool gives.",
)  # fmt: skip
@click.option("--env", "env", multiple=True, metavar="K=V", help="A variable of the runs' environment.")
@click.option("--memory", type=click.FloatRange(MIN_MEMORY), metavar="MIB", help="More of it ends a run.")
@click.option("--debounce", type=float, metavar="SECONDS", help="Triggers that are closer than this become one run.")
@click.option("--crash-retries", type=click.IntRange(0), metavar="N", help="Try a run again whose process was lost.")
@output_option
def deploy(
    entrypoint: str | None,
    file: Path,
    everything: bool,
    names: tuple[str, ...],
    dry_run: bool,
    message: str,
    canary: int | None,
    pool: str,
    queue: str | None,
    params: tuple[str, ...],
    tags: tuple[str, ...],
    description: str | None,
    version: str | None,
    from_path: bool,
    concurrency_limit: int | None,
    on_limit: str,
    concurrency_key: str,
    key_slots: int | None,
    process: str,
    job_variables: tuple[str, ...],
    env: tuple[str, ...],
    memory: float | None,
    debounce: float | None,
    crash_retries: int | None,
    output: str,
    **when: Any,
) -> None:
    """Make deployments known to the server: those of an orchestrator.yaml, or the flow or task ENTRYPOINT.

    An ENTRYPOINT is `file.py:name`; the other options say of it what a file says of its deployments.
    """
    if entrypoint is None:
        _refuse_options_of_entrypoint()
        deploy_project(file, names, everything, dry_run, message, canary, output)
        return
    if len(names) > 1 or everything:
        raise click.UsageError("An ENTRYPOINT is deployed under one name. Without one, a file is deployed.")
    directory, found = _load(entrypoint)
    deployment = found.to_deployment(
        names[0] if names else ("default" if found.kind_of_run == "flow" else BACKGROUND),
        work_pool_name=pool,
        work_queue_name=queue,
        parameters=read_parameters(params),
        tags=tags,
        description=description,
        version=version,
        schedule=schedule_of(**when),
        concurrency_limit=concurrency_limit,
        on_limit=on_limit,
        concurrency_key=concurrency_key,
        key_slots=key_slots,
        source=directory if from_path else None,
        process=process,
        job_variables=read_job_variables(job_variables, env, memory),
        debounce=debounce,
        crash_retries=crash_retries,
        canary=canary,
        message=message,
    )
    if dry_run:
        print_changes([deployment], output)
        return
    (told,) = deploy_all([deployment], output)
    if output == "json":
        print_json(told)
    else:
        name = f"{deployment.settings['flow']}/{deployment.settings['name']}"
        click.echo(f"Run it: orchestrator deployment run {json.dumps(name)} --watch")


OF_FILES = {"entrypoint", "file", "everything", "names", "dry_run", "message", "canary", "output"}


def _refuse_options_of_entrypoint() -> None:
    """What a file says is not said by options as well."""
    if given := given_options(lambda name: name not in OF_FILES):
        raise click.UsageError(f"{given[0]} goes with an ENTRYPOINT; of a project, write it into {NAME}.")


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
