"""What runs tell of assets: the assets, their materializations, and what was made of what."""

from __future__ import annotations

import json
from datetime import date
from typing import Any
from uuid import UUID

from orchestrator.cleaned import Made, made_of
from orchestrator.wire import Event
from runs.ingest.staging import array_literal, raw_cursor
from runs.ingest.streams import OpenStream
from runs.partitions import kept_until
from tenants.database import ORGANIZATION

Row = tuple[UUID, UUID, UUID, int, date, Made]
"""The event's id, workspace, run, time (µs UTC), the day until which it is kept, and what was told."""

# In the order of their keys, so that two batches about the same assets wait for each other in one order. What nobody
# has said anything new about is left alone: else every run would wait for the others.
_ASSETS = f"""
    INSERT INTO asset AS a (organization_id, id, workspace_id, key, name, description, url, owners, created_at)
    SELECT {ORGANIZATION}, gen_random_uuid(), %s, key, name, description, url, owners::text[], now()
    FROM unnest(%s::text[], %s::text[], %s::text[], %s::text[], %s::text[]) n (key, name, description, url, owners)
    ORDER BY key
    ON CONFLICT (organization_id, workspace_id, key) DO UPDATE SET
        name = coalesce(nullif(excluded.name, ''), a.name),
        description = coalesce(nullif(excluded.description, ''), a.description),
        url = coalesce(nullif(excluded.url, ''), a.url),
        owners = CASE WHEN excluded.owners = '{{}}' THEN a.owners ELSE excluded.owners END
    WHERE (excluded.name NOT IN ('', a.name)) OR (excluded.description NOT IN ('', a.description))
        OR (excluded.url NOT IN ('', a.url)) OR (excluded.owners <> '{{}}' AND excluded.owners <> a.owners)
"""
_MATERIALIZATIONS = f"""
    INSERT INTO asset_materialization (
        organization_id, id, workspace_id, asset_id, run_id, task_id, at, succeeded, by, metadata, upstream, keep_until)
    SELECT {ORGANIZATION}, n.id, a.workspace_id, a.id, n.run_id, n.task_id,
        'epoch'::timestamptz + n.at * interval '1 microsecond', n.succeeded, n.by, n.metadata, n.upstream::text[],
        n.keep_until
    FROM unnest(%s::uuid[], %s::text[], %s::uuid[], %s::uuid[], %s::bigint[], %s::boolean[], %s::text[], %s::jsonb[],
        %s::text[], %s::date[]) n (id, key, run_id, task_id, at, succeeded, by, metadata, upstream, keep_until)
    JOIN asset a ON a.workspace_id = %s AND a.key = n.key
    ON CONFLICT DO NOTHING
"""
_EDGES = f"""
    INSERT INTO asset_edge (organization_id, id, workspace_id, upstream_id, downstream_id)
    SELECT {ORGANIZATION}, gen_random_uuid(), d.workspace_id, u.id, d.id
    FROM unnest(%s::text[], %s::text[]) n (upstream, downstream)
    JOIN asset u ON u.workspace_id = %s AND u.key = n.upstream
    JOIN asset d ON d.workspace_id = u.workspace_id AND d.key = n.downstream
    ON CONFLICT DO NOTHING
"""


def rows_of(stream: OpenStream, run_id: UUID, entry: Event) -> list[Row]:
    """What an event tells of an asset; nothing, if it is about something else."""
    made = made_of(entry)
    if made is None:
        return []
    root = stream.root
    keep_until = kept_until((root.retention, root.bucket))
    return [(entry.id, root.workspace_id, run_id, stream.at(entry.t), keep_until, made)]


def write(rows: list[Row]) -> None:
    """Write them. They are of one workspace."""
    cursor, workspace_id = raw_cursor(), rows[0][1]
    cursor.execute(_ASSETS, [workspace_id, *_columns(_told_of([row[-1] for row in rows]))])  # type: ignore[arg-type]
    cursor.execute(_MATERIALIZATIONS, [*_columns([_told(row) for row in rows]), workspace_id])  # type: ignore[arg-type]
    edges = sorted({(upstream, row[-1].key) for row in rows for upstream in row[-1].upstream})
    if edges:
        cursor.execute(_EDGES, [*_columns(edges), workspace_id])  # type: ignore[arg-type]


def _told_of(made: list[Made]) -> list[tuple]:
    """Each asset once, with what is said of it: those that were made, and those that they were made of."""
    known: dict[str, tuple] = {key: ("", "", "", "") for each in made for key in (each.key, *each.upstream)}
    for each in made:
        told = (each.name, each.description, each.url, array_literal(each.owners))
        known[each.key] = tuple(new or old for new, old in zip(told, known[each.key], strict=True))
    return [(key, *known[key][:3], known[key][3] or "{}") for key in sorted(known)]


def _told(row: Row) -> tuple:
    id, _, run_id, at, keep_until, made = row
    upstream = array_literal(made.upstream) or "{}"
    told = (made.task, at, made.succeeded, made.by, json.dumps(made.metadata), upstream, keep_until)
    return (id, made.key, run_id, *told)


def _columns(rows: list[tuple]) -> list[list[Any]]:
    return [list(column) for column in zip(*rows, strict=True)]
