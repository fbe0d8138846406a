"""`orchestrator block …`."""

from __future__ import annotations

from pathlib import Path
from typing import Any
from urllib.parse import quote

import click

from orchestrator.cli.output import (
    connect,
    limit_option,
    output_option,
    print_done,
    print_facts,
    print_items,
    print_json,
    short_time,
)


@click.group()
def block() -> None:
    """List, look at and delete blocks, register types of your own.

    Secrets are never printed: code reads them by `Secret.load("name").get()`.
    """


@block.command()
@click.option("--type", "kind", help="Of one type only, such as s3-bucket.")
@limit_option
@output_option
def ls(kind: str | None, limit: int, output: str) -> None:
    """List blocks."""
    items = connect().pages("/blocks", limit, type=kind)
    print_items(
        items,
        output,
        ("BLOCK", "VERSION", "UPDATED", "BY"),
        lambda each: (_path(each), each["version"], short_time(each["updated_at"]), each["updated_by"]),
    )


@block.command()
@click.argument("name")
@output_option
def inspect(name: str, output: str) -> None:
    """Show a block, TYPE/NAME, without its secrets."""
    found = connect().get(_address(name))
    if output == "json":
        print_json(found)
        return
    facts = {"block": _path(found), "description": found["description"], "version": found["version"]}
    facts |= {"updated": short_time(found["updated_at"]), "by": found["updated_by"]}
    print_facts(facts | {f"data.{key}": _shown(value) for key, value in found["data"].items()})


@block.command()
@click.argument("name")
@click.confirmation_option("-y", "--yes", prompt="Delete it with all of its versions?")
@output_option
def delete(name: str, output: str) -> None:
    """Delete a block, TYPE/NAME, and all of its versions."""
    connect().delete(_address(name))
    print_done({"deleted": [name]}, output, f"{name} is deleted.")


@block.command()
@click.argument("name")
@click.argument("to")
@output_option
def rename(name: str, to: str, output: str) -> None:
    """Call a block, TYPE/NAME, otherwise. Blocks that have it in them follow."""
    found = connect().post(f"{_address(name)}/rename", {"name": to})
    print_done(found, output, f"{name} is {_path(found)} now.")


@block.command()
@click.argument("name")
@output_option
def users(name: str, output: str) -> None:
    """List what uses a block, TYPE/NAME."""
    items = connect().get(f"{_address(name)}/users")["items"]
    print_items(items, output, ("KIND", "NAME"), lambda each: (each["kind"], each["name"]))


@block.command()
@click.argument("name")
@limit_option
@output_option
def versions(name: str, limit: int, output: str) -> None:
    """List the versions of a block, TYPE/NAME, the newest first."""
    items = connect().pages(f"{_address(name)}/versions", limit)
    print_items(
        items,
        output,
        ("VERSION", "MADE", "BY", "NOTE"),
        lambda each: (each["version"], short_time(each["created_at"]), each["created_by"], each["note"]),
    )


@block.command()
@click.argument("name")
@click.argument("version", type=int)
@output_option
def rollback(name: str, version: int, output: str) -> None:
    """Make what a version of a block, TYPE/NAME, held the newest one."""
    made = connect().post(f"{_address(name)}/rollback", {"version": version})
    print_done(made, output, f"{name} holds what it held in version {version}, as version {made['version']}.")


@block.group("type")
def kinds() -> None:
    """Types of blocks."""


@kinds.command("ls")
@limit_option
@output_option
def list_types(limit: int, output: str) -> None:
    """List types of blocks."""
    items = connect().pages("/block-types", limit)
    print_items(
        items,
        output,
        ("TYPE", "NAME", "FROM", "DESCRIPTION"),
        lambda each: (
            each["slug"],
            each["name"],
            "orchestrator" if each["built_in"] else "workspace",
            each["description"].partition("\n")[0][:80],
        ),
    )


@block.command()
@click.argument("file", type=click.Path(exists=True, dir_okay=False, path_type=Path))
@output_option
def register(file: Path, output: str) -> None:
    """Register the types that a Python file defines, so that the portal has forms for them."""
    from orchestrator.blocks.documents import register as tell

    client = connect()
    found = _types_in(file)
    for kind in found:
        tell(client, kind, again=True)
    rows = [{"slug": kind.get_block_type_slug(), "name": kind.get_block_type_name()} for kind in found]
    print_items(rows, output, ("TYPE", "NAME"), lambda each: (each["slug"], each["name"]))


def _types_in(file: Path) -> list[Any]:
    """The classes of blocks that a file defines itself."""
    from orchestrator.blocks import Block
    from orchestrator.loading import load_module

    module = load_module(file)
    found = [
        each
        for each in vars(module).values()
        if isinstance(each, type) and issubclass(each, Block) and each.__module__ == module.__name__
    ]
    if not found:
        raise click.ClickException(f"{file} defines no class of blocks.")
    return found


def _address(name: str) -> str:
    kind, slash, own = name.partition("/")
    if not slash or not kind or not own:
        raise click.BadParameter("Say the type too: TYPE/NAME, such as s3-bucket/raw.", param_hint="NAME")
    return f"/blocks/{quote(kind, safe='')}/{quote(own, safe='')}"


def _path(found: dict[str, Any]) -> str:
    return f"{found['type']}/{found['name']}"


def _shown(value: Any) -> Any:
    if value == {"$secret": True}:
        return "********"
    return value["$block"] if isinstance(value, dict) and value.keys() == {"$block"} else value
