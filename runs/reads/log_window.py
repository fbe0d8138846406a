"""A window of numbered log lines: upwards from a line, downwards from one, or the end."""

from __future__ import annotations

from typing import Any

from django.db.models import QuerySet

MAX_LINES = 1_000  # in one answer


def window(
    rows: QuerySet, *, after: int | None, before: int | None, limit: int, level: int, text: str
) -> tuple[list[Any], bool]:
    """The lines of a window in the order of their numbers, and whether there are more on that side.

    Args:
        level: That and worse; 0 for all.
        text: What the message contains.
    """
    if level:
        rows = rows.filter(level__gte=level)
    if text:
        rows = rows.filter(message__icontains=text[:200])
    limit = min(max(limit, 1), MAX_LINES)
    if after is not None:
        found = list(rows.filter(line_no__gt=after).order_by("line_no")[: limit + 1])
        return found[:limit], len(found) > limit
    rows = rows.filter(line_no__lt=before) if before is not None else rows
    found = list(rows.order_by("-line_no")[: limit + 1])
    return found[:limit][::-1], len(found) > limit
