"""Cursors of keyset pages: the place of the last row, so that page 1,000 costs what page 1 does."""

from __future__ import annotations

import base64
from datetime import datetime
from typing import Any
from uuid import UUID

from django.db.models import QuerySet

from tenants.errors import Invalid


def newest(rows: QuerySet, *, by: str, cursor: str, limit: int) -> tuple[list[Any], str | None]:
    """The newest rows by a time column, then id, from a cursor on; and the cursor of what follows, or None.

    Raises:
        Invalid: The cursor is none of ours.
    """
    rows = after(rows, by=by, cursor=cursor)
    items = list(rows.order_by(f"-{by}", "-id")[: limit + 1])
    if len(items) <= limit:
        return items, None
    last = items[limit - 1]
    return items[:limit], write_cursor(getattr(last, by), last.id)


def after(rows: QuerySet, *, by: str, cursor: str) -> QuerySet:
    """The rows that follow a cursor, newest first; without one all of them.

    Raises:
        Invalid: The cursor is none of ours.
    """
    if not cursor:
        return rows
    at, id = read_cursor(cursor)
    # One side bound first: the row comparison alone would not use the index's order.
    return rows.filter(**{f"{by}__lte": at}).exclude(**{by: at, "id__gte": id})


def by_address(rows: QuerySet, *, after: str, limit: int) -> tuple[list[Any], str]:
    """Rows of people by their addresses, from the one after `after` on; and where what follows begins, or nothing."""
    found = list(rows.filter(user__email__gt=after).select_related("user").order_by("user__email")[: limit + 1])
    return found[:limit], found[limit - 1].user.email if len(found) > limit else ""


def write_cursor(at: datetime, id: UUID) -> str:
    """A cursor."""
    return base64.urlsafe_b64encode(f"{at.isoformat()}|{id}".encode()).decode().rstrip("=")


def read_cursor(cursor: str) -> tuple[datetime, UUID]:
    """The place that a cursor names.

    Raises:
        Invalid: It is none of ours.
    """
    try:
        text = base64.urlsafe_b64decode(cursor[:200] + "=" * (-len(cursor[:200]) % 4)).decode()
        at, _, id = text.partition("|")
        moment = datetime.fromisoformat(at)
        if moment.tzinfo is None:
            raise ValueError("no zone")
        return moment, UUID(id)
    except ValueError as error:
        raise Invalid("This cursor is none of ours.", fields={"cursor": "Take `next` of the page before."}) from error
