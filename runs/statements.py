"""SQL that is bound on the server's side and prepared when it repeats; sent in one go where nobody needs answers."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import psycopg
from django.db import connection


def raw_cursor() -> psycopg.Cursor:
    """A cursor that binds on the server's side and prepares what it repeats; Django's own merges text."""
    connection.ensure_connection()
    return psycopg.Cursor(connection.connection)


Statement = tuple[str, list[Any]]
"""SQL and its parameters."""


def run_together(statements: Sequence[Statement]) -> None:
    """Send statements whose results nobody needs in one go, and wait once."""
    if not statements:
        return
    cursor = raw_cursor()
    with connection.wrap_database_errors, connection.connection.pipeline():
        for statement, values in statements:
            cursor.execute(statement, values)  # type: ignore[arg-type]
