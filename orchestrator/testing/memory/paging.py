"""Pages: the newest rows by a time, and a cursor to what follows."""

from __future__ import annotations

import base64
from typing import Any, TypeVar
from uuid import UUID

from orchestrator.testing.memory.asked import Asked, invalid

T = TypeVar("T")


def newest(rows: list[T], asked: Asked, by: str) -> tuple[list[T], str | None]:
    """The newest rows by a time, then id; and the cursor of what follows, or None."""
    limit, cursor = asked.limit(), asked.query.get("cursor", "")

    def place(row: Any) -> tuple[int, UUID]:
        return getattr(row, by), row.id

    ordered = sorted(rows, key=place, reverse=True)
    if cursor:
        after = _read(cursor)
        ordered = [row for row in ordered if place(row) < after]
    return ordered[:limit], _write(*place(ordered[limit - 1])) if len(ordered) > limit else None


def _write(at: int, id: UUID) -> str:
    return base64.urlsafe_b64encode(f"{at}|{id}".encode()).decode().rstrip("=")


def _read(cursor: str) -> tuple[int, UUID]:
    try:
        text = base64.urlsafe_b64decode(cursor[:200] + "=" * (-len(cursor[:200]) % 4)).decode()
        at, _, id = text.partition("|")
        return int(at), UUID(id)
    except ValueError as error:
        raise invalid("This cursor is none of ours.", "cursor", "Take `next` of the page before.") from error
