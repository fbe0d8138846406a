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


def rows_by_index(sql: str, values: dict[str, Any]) -> list[tuple[Any, ...]]:
    """Read rows by a statement that has to follow the order of indexes, whatever the planner believes of the tables.

    Right after very many rows came, its statistics say that there are none, and it reads and sorts them all.
    """
    cursor = raw_cursor()
    with connection.wrap_database_errors, connection.connection.pipeline():
        raw_cursor().execute(_BY_INDEX)
        cursor.execute(sql, values, prepare=True)  # type: ignore[arg-type]
        raw_cursor().execute(_AS_EVER)
        return cursor.fetchall()


# Planned once for each connection: to plan such a statement takes longer than to execute it.
_BY_INDEX, _AS_EVER = (
    f"SELECT set_config('enable_sort', '{word}', true), set_config('enable_bitmapscan', '{word}', true),"
    f" set_config('plan_cache_mode', '{mode}', true)"
    for word, mode in (("off", "force_generic_plan"), ("on", "auto"))
)
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
