"""Cursors of keyset pages: the place of the last row, so that page 1,000 costs what page 1 does."""

from __future__ import annotations

import base64
from datetime import datetime
from uuid import UUID

from tenants.errors import Invalid


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
