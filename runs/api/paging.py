"""Keyset pages of API lists."""

from __future__ import annotations

from typing import Any

from django.db.models import QuerySet
from rest_framework.request import Request

from tenants.cursors import newest
from tenants.messages import page_size


def page(request: Request, rows: QuerySet, by: str) -> tuple[list[Any], str | None]:
    """The newest rows by a time column, then id; and the cursor of what follows, or None.

    Raises:
        Invalid: The cursor is none of ours, or the limit is out of bounds.
    """
    return newest(rows, by=by, cursor=request.query_params.get("cursor", ""), limit=page_size(request))
