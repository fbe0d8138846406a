"""What runs tell of the cache: values that they put there, and uses of them. Both are rows of `cache_entry`."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Any
from uuid import UUID

from orchestrator.cleaned import CacheWord, cache_word_of
from orchestrator.ids import uuid7
from orchestrator.wire import TaskState, encode
from runs import live
from runs.ingest.staging import Statement
from runs.ingest.streams import OpenStream
from runs.ingest.tall import MICROS, run_of
from runs.transitions import RunRow
from tenants.database import ORGANIZATION

USERS = 20  # of an entry that are remembered

# In the order of the keys, so that two batches about the same ones wait for each other in one order; and among the last
# statements of their batch, for the entry of a popular key is one that many runs tell of. A newer value has no uses
# yet, and is not what was invalidated before it was made.
_NEWER = "(excluded.run_id IS NOT NULL AND (e.run_id IS NULL OR excluded.made_at >= e.made_at))"
_ANOTHER = f"(e.run_id IS NOT NULL AND {_NEWER})"
_OF_NEWEST = ("task", "url", "serializer", "size", "run_id", "task_id", "made_at", "expires_at")
_UPSERT = f"""
    INSERT INTO cache_entry AS e (
        organization_id, id, workspace_id, key, task, url, serializer, size, run_id, task_id, made_at, expires_at, hits,
        used_at, used_by)
    SELECT {ORGANIZATION}, n.id, n.workspace_id, n.key, n.task, n.url, n.serializer, n.size, n.run_id, n.task_id,
        {MICROS.format("made")}, {MICROS.format("expires")}, n.hits, {MICROS.format("used")}, n.used_by
    FROM unnest(%s::uuid[], %s::uuid[], %s::text[], %s::text[], %s::text[], %s::text[], %s::bigint[], %s::uuid[],
        %s::uuid[], %s::bigint[], %s::bigint[], %s::bigint[], %s::bigint[], %s::jsonb[])
        n (id, workspace_id, key, task, url, serializer, size, run_id, task_id, made, expires, hits, used, used_by)
    ORDER BY n.key
    ON CONFLICT (organization_id, workspace_id, key) DO UPDATE SET
        {", ".join(f"{name} = CASE WHEN {_NEWER} THEN excluded.{name} ELSE e.{name} END" for name in _OF_NEWEST)},
        invalidated_at = CASE WHEN {_NEWER} AND excluded.made_at >= e.invalidated_at THEN NULL
            ELSE e.invalidated_at END,
        hits = excluded.hits + CASE WHEN {_ANOTHER} THEN 0 ELSE e.hits END,
        used_at = CASE WHEN {_ANOTHER} THEN excluded.used_at ELSE greatest(e.used_at, excluded.used_at) END,
        used_by = jsonb_path_query_array(
            excluded.used_by || CASE WHEN {_ANOTHER} THEN '[]' ELSE e.used_by END, '$[0 to {USERS - 1}]')
"""


@dataclass
class _Told:
    """What a batch tells of one key."""

    word: CacheWord
    workspace_id: UUID
    made: tuple[int, UUID, UUID] | None = None  # When (µs UTC), and by which run and task run.
    uses: list[tuple[int, UUID, UUID]] = field(default_factory=list)

    def row(self) -> tuple[Any, ...]:
        """Its place in the columns of the statement."""
        word, uses = self.word, sorted(self.uses, reverse=True)
        at, run, task = self.made or (uses[-1][0], None, None)
        used_by = [[run_id, task_id, used] for used, run_id, task_id in uses[:USERS]]
        return (
            uuid7(), self.workspace_id, word.key, word.task, word.url, word.serializer, word.size, run, task, at,
            word.expires, len(uses), uses[0][0] if uses else None, encode(used_by).decode(),
        )  # fmt: skip


def statements(opened: Iterable[OpenStream], subflows: dict[UUID, RunRow]) -> list[Statement]:
    """What a batch tells, as one statement, and to those who look at it; none, where it tells nothing."""
    told: dict[str, _Told] = {}
    for stream in opened:
        for entry in stream.entries:
            word = cache_word_of(entry) if isinstance(entry, TaskState) else None
            run_id = run_of(stream, entry, subflows) if word is not None else None
            if word is not None and run_id is not None:
                by = (stream.at(entry.ended or entry.t), run_id, entry.id)
                _note(told.setdefault(word.key, _Told(word, stream.root.workspace_id)), word, by)
    if not told:
        return []
    for workspace_id in {each.workspace_id for each in told.values()}:
        live.changed(workspace_id=workspace_id, what="cache")
    rows = [told[key].row() for key in sorted(told)]
    return [(_UPSERT, [list(column) for column in zip(*rows, strict=True)])]


def _note(told: _Told, word: CacheWord, by: tuple[int, UUID, UUID]) -> None:
    """Of several values under a key the newest counts, and the uses of it."""
    if word.is_use:
        told.uses.append(by)
    elif told.made is None or by >= told.made:
        told.word, told.made = word, by
        told.uses = [use for use in told.uses if use[0] >= by[0]]
