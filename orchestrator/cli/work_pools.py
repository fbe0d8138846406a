"""`orchestrator work-pool …`."""

from __future__ import annotations

import json
from typing import IO, TYPE_CHECKING, Any
from urllib.parse import quote

import click

from orchestrator.cli.output import connect, output_option, print_done, print_facts, print_items, print_json
from orchestrator.exceptions import PoolTypeError
from orchestrator.job_templates import PROCESS

if TYPE_CHECKING:
    from orchestrator.pool_types import Installed

SHAPE = 'It is an object like {"variables": {"type": "object", "properties": {…}}, "job_configuration": {…}}.'

limited_option = click.option("--limit", "slots", type=click.IntRange(1), help="Runs at once; any number by default.")


def _read_template(ctx: click.Context, parameter: click.Parameter, file: IO[str] | None) -> dict[str, Any] | None:
    if file is None:
        return None
    try:
        template = json.load(file)
    except json.JSONDecodeError as error:
        told = f"{file.name}, line {error.lineno}, column {error.colno}: this is no JSON: {error.msg}."
        raise click.BadParameter(told, ctx, parameter) from error
    except ValueError as error:
        raise click.BadParameter(f"{file.name} is no text in UTF-8: {error}.", ctx, parameter) from error
    if not isinstance(template, dict):
        raise click.BadParameter(f"{file.name} holds no base job template. {SHAPE}", ctx, parameter)
    return template


template_option = click.option(
    "--base-job-template", "template", metavar="FILE", type=click.File(encoding="utf-8"), callback=_read_template,
    help="A JSON file of what its job variables are, and what agents are told of them; - is standard input.",
)  # fmt: skip


@click.group()
def work_pool() -> None:
    """List, make, look at, change, pause and resume work pools; list their types."""


@work_pool.command()
@output_option
def ls(output: str) -> None:
    """List the pools, by name."""
    items = connect().get("/work-pools")["items"]
    heads = ("POOL", "TYPE", "AT ONCE", "PAUSED", "DESCRIPTION")
    print_items(items, output, heads, lambda p: (p["name"], p["type"], *shown(p)))


def shown(told: dict[str, Any]) -> tuple[Any, str, str]:
    """What tables tell of a pool or a queue: its limit, whether it is paused, the first line of its description."""
    limit = "any" if told["concurrency_limit"] is None else told["concurrency_limit"]
    return limit, "yes" if told["paused"] else "", told["description"].partition("\n")[0][:80]


@work_pool.command()
@click.argument("name")
@click.option("--type", default=PROCESS, show_default=True, help="What its agents start: see `work-pool types`.")
@template_option
@click.option("--description", default="", help="What it is for.")
@limited_option
@output_option
def create(
    name: str, type: str, template: dict[str, Any] | None, description: str, slots: int | None, output: str
) -> None:
    """Make a pool, with its default queue.

    Without a base job template it gets that of its type, which has to be installed here unless it is `process`.
    """
    body: dict[str, Any] = {"name": name, "description": description, "concurrency_limit": slots}
    if type != PROCESS:
        body["type"] = type
        template = template or _template_of(type, "Or give a template by --base-job-template.")
    told = connect().post("/work-pools", body | ({"base_job_template": template} if template else {}))
    started = f"orchestrator agent start --pool {told['name']}"
    print_done(told, output, f"The pool {told['name']} is there. Start an agent: {started}")


def _template_of(type: str, otherwise: str) -> dict[str, Any]:
    from orchestrator import pool_types

    try:
        return pool_types.find(type).base_job_template
    except PoolTypeError as error:
        raise click.ClickException(f"{error} {otherwise}".strip()) from error


@work_pool.command()
@click.argument("name")
@template_option
@click.option("--reset-template", is_flag=True, help="Take the template of its type again.")
@click.option("--description", help="What it is for.")
@limited_option
@click.option("--no-limit", is_flag=True, help="Any number of runs at once.")
@output_option
def update(
    name: str,
    template: dict[str, Any] | None,
    reset_template: bool,
    description: str | None,
    slots: int | None,
    no_limit: bool,
    output: str,
) -> None:
    """Change a pool; what is not given stays."""
    if slots and no_limit:
        raise click.UsageError("Give --limit or --no-limit, not both.")
    if template is not None and reset_template:
        raise click.UsageError("Give --base-job-template or --reset-template, not both.")
    given = {"description": description, "concurrency_limit": slots, "base_job_template": template}
    body: dict[str, Any] = {field: value for field, value in given.items() if value is not None}
    body |= {"concurrency_limit": None} if no_limit else {}
    body |= {"base_job_template": None} if reset_template else {}
    if not body:
        raise click.UsageError("Say what to change: --description, --limit, --base-job-template, …")
    told = connect().patch(address(name), body)
    print_done(told, output, f"The pool {name} is changed: {shown(told)[0]} at once, job variables {_names(told)}.")


def _names(told: dict[str, Any]) -> str:
    """The job variables that a pool's template knows."""
    template = told.get("base_job_template") or {"variables": {}}  # Servers before it had none.
    return ", ".join(template["variables"].get("properties") or {}) or "none"


@work_pool.command()
@click.argument("name", required=False)
@click.option("--type", help="That which new pools of an installed type get, instead of a pool's.")
def template(name: str | None, type: str | None) -> None:
    """Print the base job template of a pool or a type as JSON, to be changed and given to `update` or `create`."""
    if (name is None) == (type is None):
        raise click.UsageError("Give the name of a pool, or --type.")
    print_json(_template_of(type, "") if type else connect().get(address(name or ""))["base_job_template"])


@work_pool.command()
@output_option
def types(output: str) -> None:
    """List the types of pools whose runs can be executed by agents of this Python environment."""
    from orchestrator import pool_types

    print_items(map(_told_of, pool_types.installed()), output, ("TYPE", "FROM", "DESCRIPTION"), _type_row)


def _told_of(installed: Installed) -> dict[str, Any]:
    told: dict[str, Any] = {"type": installed.type, "from": list(installed.origin), "description": "", "error": None}
    try:
        return told | {"description": installed.load().description}
    except PoolTypeError as error:
        return told | {"error": str(error)}


def _type_row(told: dict[str, Any]) -> tuple[str, str, str]:
    problem = f"can't be used: {told['error']}" if told["error"] else ""
    return told["type"], ", ".join(told["from"]), problem or told["description"]


@work_pool.command()
@click.argument("name")
@output_option
def inspect(name: str, output: str) -> None:
    """Show a pool and its queues."""
    client = connect()
    told, queues = client.get(address(name)), client.get(f"{address(name)}/queues")["items"]
    if output == "json":
        print_json({**told, "queues": queues})
        return
    print_facts({**told, "base_job_template": f"knows {_names(told)}; see orchestrator work-pool template {name}"})
    print_facts({f"queue {each['name']}": _queue(each) for each in queues})


def _queue(told: dict[str, Any]) -> str:
    paused = ", paused" if told["paused"] else ""
    return f"priority {told['priority']}, {told['running']} running, {told['waiting']} waiting{paused}"


@work_pool.command()
@click.argument("name")
@output_option
def pause(name: str, output: str) -> None:
    """Hand out no more runs of a pool; what runs goes on."""
    print_done(connect().patch(address(name), {"paused": True}), output, f"The pool {name} is paused.")


@work_pool.command()
@click.argument("name")
@output_option
def resume(name: str, output: str) -> None:
    """Hand out runs of a pool again."""
    print_done(connect().patch(address(name), {"paused": False}), output, f"The pool {name} hands out runs again.")


def address(name: str) -> str:
    """Where the API has a pool."""
    return f"/work-pools/{quote(name, safe='')}"
