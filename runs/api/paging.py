"""Keyset pages of API lists."""

from __future__ import annotations

from typing import Any

from django.db.models import QuerySet
from rest_framework.request import Request

from runs.cursors import read_cursor, write_cursor
from tenants.messages import page_size


def page(request: Request, rows: QuerySet, by: str) -> tuple[list[Any], str | None]:
    """The newest rows by a time column, then id; and the cursor of what follows, or None.

    Raises:
        Invalid: The cursor is none of ours, or the limit is out of bounds.
    """
    limit = page_size(request)
    cursor = request.query_params.get("cursor")
    if cursor:
        at, id = read_cursor(cursor)
        # One side bound first: the row comparison alone would not use the index's order.
        rows = rows.filter(**{f"{by}__lte": at}).exclude(**{by: at, "id__gte": id})
    items = list(rows.order_by(f"-{by}", "-id")[: limit + 1])
    if len(items) <= limit:
        return items, None
    last = items[limit - 1]
    return items[:limit], write_cursor(getattr(last, by), last.id)
