"""Hand many rows to one SQL statement, in the way that is cheaper for their number.

Up to some 50 rows travel as arrays and are unnested; more are copied into a temporary table. (Row-level security
refuses COPY into the real one.) One entry costs 0.9 ms of CPU the first way and 3.0 the second; from 100 up it is the
other way round.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import psycopg

from runs.statements import Statement, raw_cursor, run_together

__all__ = ["Staged", "Statement", "array_literal", "raw_cursor", "run_together"]
COPY_FROM = 50  # rows


class Staged:
    """Rows of named, typed columns, as something to select from.

    Args:
        name: The temporary table's name, when one is needed.
        columns: SQL type by column name, in the order of each row's values.
    """

    def __init__(self, name: str, columns: dict[str, str], rows: Sequence[Sequence[Any]]) -> None:
        self.name, self.columns, self.rows = f"staged_{name}", columns, rows
        self.names = ", ".join(columns)

    def run(self, cursor: psycopg.Cursor, statement: str, *parameters: Any) -> psycopg.Cursor:
        """Run a statement in which `{rows}` stands for the rows, aliased n. Its parameters follow in it."""
        if len(self.rows) < COPY_FROM:
            arrays = ", ".join(f"%s::{type}[]" for type in self.columns.values())
            source, values = (
                f"unnest({arrays}) n ({self.names})",
                [list(column) for column in zip(*self.rows, strict=True)],
            )
        else:
            self._copy(cursor)
            source, values = f"{self.name} n", []
        return cursor.execute(statement.format(rows=source), [*values, *parameters])  # type: ignore[arg-type]

    def _copy(self, cursor: psycopg.Cursor) -> None:
        definition = ", ".join(f"{name} {type}" for name, type in self.columns.items())
        cursor.execute("SET LOCAL client_min_messages = warning")
        cursor.execute(f"CREATE TEMP TABLE IF NOT EXISTS {self.name} ({definition}) ON COMMIT DELETE ROWS")  # type: ignore[arg-type]
        cursor.execute(f"TRUNCATE {self.name}")  # type: ignore[arg-type]
        with cursor.copy(f"COPY {self.name} ({self.names}) FROM STDIN") as copy:  # type: ignore[arg-type]
            for row in self.rows:
                copy.write_row(row)


def array_literal(values: Sequence[Any]) -> str | None:
    """A PostgreSQL array as text, for arrays inside rows (unnest would flatten them). None for an empty one."""
    if not values:
        return None
    escaped = (str(value).replace("\\", "\\\\").replace('"', '\\"') for value in values)
    return "{" + ",".join(f'"{value}"' for value in escaped) + "}"
