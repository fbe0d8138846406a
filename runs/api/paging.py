"""Keyset pages of API lists."""

from __future__ import annotations

from typing import Any

from django.db.models import QuerySet

from tenants.cursors import newest
from tenants.declared import PageQuery


def page(asked: PageQuery, rows: QuerySet, by: str) -> tuple[list[Any], str | None]:
    """The newest rows by a time column, then id; and the cursor of what follows, or None.

    Raises:
        Invalid: The cursor is none of ours.
    """
    return newest(rows, by=by, cursor=asked.cursor, limit=asked.limit)
