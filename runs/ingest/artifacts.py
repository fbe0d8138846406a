"""What runs make for people: rows of `artifact`. The last word counts on progress, the first one on all else."""

from __future__ import annotations

from typing import Any
from uuid import UUID

import msgspec

from orchestrator.cleaned import summary_of
from orchestrator.storable import clean_text
from orchestrator.wire import MAX_DESCRIPTION, Artifact, encode
from runs.ingest.staging import Staged, raw_cursor
from runs.ingest.streams import OpenStream
from runs.ingest.tall import MICROS, json_text
from runs.partitions import kept_until
from tenants.database import ORGANIZATION

COLUMNS = {
    "id": "uuid", "workspace_id": "uuid", "run_id": "uuid", "task_id": "uuid", "type": "text", "key": "text",
    "data": "text", "summary": "text", "description": "text", "created": "bigint", "updated": "bigint",
    "keep_until": "date",
}  # fmt: skip
_PLACE = {name: place for place, name in enumerate(COLUMNS)}

# Words about progress may come in any order: from another writer, or in a later batch. Whoever knows an artifact's id
# in its workspace may tell of it.
_UPSERT = f"""
    INSERT INTO artifact AS a (
        organization_id, id, workspace_id, run_id, task_id, type, key, data, summary, description, created_at,
        updated_at, keep_until)
    SELECT {ORGANIZATION}, n.id, n.workspace_id, n.run_id, n.task_id, n.type, n.key, n.data::jsonb, n.summary::jsonb,
        n.description, {MICROS.format("created")}, {MICROS.format("updated")}, n.keep_until
    FROM {{rows}}
    ON CONFLICT (organization_id, id) DO UPDATE SET
        key = coalesce(nullif(a.key, ''), excluded.key),
        created_at = least(a.created_at, excluded.created_at), updated_at = greatest(a.updated_at, excluded.updated_at),
        data = CASE WHEN excluded.updated_at >= a.updated_at THEN excluded.data ELSE a.data END,
        summary = CASE WHEN excluded.updated_at >= a.updated_at THEN excluded.summary ELSE a.summary END,
        description = CASE WHEN excluded.description <> '' AND (excluded.updated_at >= a.updated_at
            OR a.description = '') THEN excluded.description ELSE a.description END
    WHERE a.workspace_id = excluded.workspace_id AND a.type = 'progress' AND excluded.type = 'progress'
"""


def artifact_row(stream: OpenStream, run_id: UUID, entry: Artifact) -> tuple:
    """One artifact as COLUMNS."""
    root, at = stream.root, stream.at(entry.t)
    data, summary = _read(entry)
    return (
        entry.id, root.workspace_id, run_id, entry.task, clean_text(entry.type, 40), entry.key or "", data, summary,
        clean_text(entry.description or "", MAX_DESCRIPTION), at, at,
        kept_until((root.retention, root.bucket)),
    )  # fmt: skip


def _read(entry: Artifact) -> tuple[str | None, str]:
    """Its data and its summary as JSON; no data where it is nested deeper than can be read."""
    try:
        data = json_text(entry.data)
        told = msgspec.json.decode(data) if data else None
    except RecursionError:
        data = told = None
    return data, encode(summary_of(entry.type, told)).decode()


def write_artifacts(rows: list[tuple]) -> None:
    """Write artifacts."""
    Staged("artifact", COLUMNS, last_words(rows)).run(raw_cursor(), _UPSERT)


def last_words(rows: list[tuple]) -> list[tuple]:
    """Of several words about one artifact one: a statement can't touch a row twice."""
    best: dict[Any, tuple] = {}
    for row in rows:
        known = best.get(row[0])
        if known is None:
            best[row[0]] = row
        elif known[_PLACE["type"]] == row[_PLACE["type"]] == "progress":
            best[row[0]] = _merged(known, row)
    return list(best.values())


def _merged(one: tuple, other: tuple) -> tuple:
    """The newer word, with what only the older one says."""
    updated = _PLACE["updated"]
    older, newer = (one, other) if other[updated] >= one[updated] else (other, one)
    kept = {name: newer[_PLACE[name]] or older[_PLACE[name]] for name in ("key", "description")}
    kept |= {name: one[_PLACE[name]] for name in ("run_id", "task_id")}
    kept["created"] = min(older[_PLACE["created"]], newer[_PLACE["created"]])
    return tuple(kept.get(name, newer[place]) for name, place in _PLACE.items())
