"""`orchestrator result …`: what is in a storage of results. It asks the storage, not the API."""

from __future__ import annotations

import time
from collections.abc import Iterator
from datetime import UTC, datetime
from itertools import islice
from typing import Any

import click

from orchestrator.cli.output import limit_option, output_option, print_done, print_items, short_time

storage_option = click.option(
    "--storage", help="A directory, an address or a block's type/name; ORCHESTRATOR_RESULTS_STORAGE by default."
)


@click.group()
def result() -> None:
    """List and delete stored values of runs."""


@result.command()
@click.argument("folder", default="")
@storage_option
@limit_option
@output_option
def ls(folder: str, storage: str | None, limit: int, output: str) -> None:
    """List values: all, or those below a FOLDER such as runs/RUN_ID."""
    items = islice(_found(folder, storage), limit)
    print_items(items, output, ("PATH", "OF", "SERIALIZER", "SIZE", "WRITTEN"), _row)


def _found(folder: str, storage: str | None) -> Iterator[dict[str, Any]]:
    from orchestrator.exceptions import MissingResult
    from orchestrator.results import get_result_store

    store = get_result_store(storage)
    for each in store.storage.list(folder):
        try:
            header = store.header(each.path)
        except MissingResult:
            continue  # Something else, or deleted meanwhile.
        written = datetime.fromtimestamp(each.written, UTC).isoformat()
        facts = {"of": header.of, "serializer": header.serializer, "at": header.at}
        yield {"path": each.path, **facts, "size": each.size, "written": written}


def _row(item: dict[str, Any]) -> tuple[Any, ...]:
    kept = item["serializer"] or f"at {item['at']}"
    return item["path"], item["of"], kept, item["size"], short_time(item["written"])


@result.command()
@click.argument("folder")
@click.option("--older-than", type=click.FloatRange(min=0), metavar="DAYS", help="Only what is older than this.")
@click.option("--yes", is_flag=True, help="Don't ask.")
@storage_option
@output_option
def delete(folder: str, older_than: float | None, yes: bool, storage: str | None, output: str) -> None:
    """Delete the values below a FOLDER such as runs/RUN_ID: their runs will execute these calls again."""
    from orchestrator.result_storage import storage_of

    place = storage_of(storage)
    before = time.time() - (older_than or 0) * 86_400
    found = [each for each in place.list(folder) if older_than is None or each.written < before]
    size = sum(each.size for each in found)
    if found and not yes:
        click.confirm(f"Delete {len(found):,} values ({size:,} bytes)?", abort=True)
    deleted = sum(place.delete(each.path) for each in found)
    print_done({"deleted": deleted}, output, f"{deleted:,} values deleted.")
