"""What runs make for people."""

from __future__ import annotations

import json
from typing import Any
from uuid import UUID

from orchestrator.cleaned import summary_of
from orchestrator.storable import clean_text, json_value
from orchestrator.testing.memory import paging
from orchestrator.testing.memory.asked import Asked, Refusal, invalid
from orchestrator.testing.memory.rows import Artifact
from orchestrator.testing.memory.shown import show_artifact
from orchestrator.testing.memory.store import Store
from orchestrator.wire import ARTIFACT_TYPES, MAX_DESCRIPTION
from orchestrator.wire import Artifact as Entry


def write(store: Store, entry: Entry, *, run: UUID, at: int) -> None:
    """The last word counts on progress, the first one on all else."""
    data, type = _read(entry), clean_text(entry.type, 40)
    description = clean_text(entry.description or "", MAX_DESCRIPTION)
    told = Artifact(
        id=entry.id, run=run, task=entry.task, type=type, key=entry.key or "", data=data,
        summary=summary_of(type, data), description=description, created_at=at, updated_at=at,
    )  # fmt: skip
    known = store.artifacts.setdefault(entry.id, told)
    if known is told or not known.type == type == "progress":
        return
    known.key = known.key or told.key
    known.created_at = min(known.created_at, at)
    if at >= known.updated_at:
        known.data, known.summary, known.updated_at = data, told.summary, at
        known.description = description or known.description
    known.description = known.description or description


def _read(entry: Entry) -> Any:
    try:
        return json_value(json.loads(bytes(entry.data) or b"null"))
    except RecursionError:
        return None


def page(store: Store, asked: Asked) -> dict[str, Any]:
    """The newest, of one run or of one type where asked."""
    rows = list(store.artifacts.values())
    if type := asked.query.get("type"):
        if type not in ARTIFACT_TYPES:
            raise invalid("There is no such type.", "type", f"One of {', '.join(ARTIFACT_TYPES)}.")
        rows = [row for row in rows if row.type == type]
    if run := asked.uuid("flow_run"):
        rows = [row for row in rows if row.run == run]
    return _page(rows, asked)


def one(store: Store, asked: Asked) -> dict[str, Any]:
    """One, with its data."""
    found = store.artifacts.get(asked.id)
    if found is None:
        raise Refusal("not_found", "There is no such artifact here.")
    return {**show_artifact(found), "data": found.data}


def of_key(store: Store, asked: Asked) -> dict[str, Any]:
    """The versions of a key."""
    rows = [row for row in store.artifacts.values() if row.key == asked.names["key"]]
    if not rows:
        raise Refusal("not_found", "There is no artifact of this key here.")
    return _page(rows, asked)


def _page(rows: list[Artifact], asked: Asked) -> dict[str, Any]:
    items, cursor = paging.newest(rows, asked, "created_at")
    return {"items": [show_artifact(row) for row in items], "next": cursor}
