"""The tables of tenants as the database's catalogue knows them: how they hang together, and what is whose.

Who removes or copies all that a tenant has asks here, so that a table that is added later is never forgotten.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from graphlib import TopologicalSorter

from django.db import connection


@dataclass(frozen=True, slots=True)
class Tie:
    """A foreign key within the organization."""

    column: str
    target: str
    required: bool


@dataclass(frozen=True, slots=True)
class Table:
    """A table with an `organization_id`. A tall one is partitioned, and has no ties."""

    name: str
    columns: Mapping[str, str]  # with their types
    ties: tuple[Tie, ...]
    tall: bool


_COLUMNS = """
    SELECT c.relname, c.relkind = 'p',
        (SELECT json_object_agg(a.attname, format_type(a.atttypid, NULL) ORDER BY a.attnum) FROM pg_attribute a
         WHERE a.attrelid = c.oid AND a.attnum > 0 AND NOT a.attisdropped)::text
    FROM pg_class c JOIN pg_attribute o ON o.attrelid = c.oid AND o.attname = 'organization_id' AND NOT o.attisdropped
    WHERE c.relkind IN ('r', 'p') AND NOT c.relispartition AND c.relnamespace = 'public'::regnamespace
"""

_TIES = """
    SELECT c.relname, a.attname, f.relname, a.attnotnull
    FROM pg_constraint k JOIN pg_class c ON c.oid = k.conrelid JOIN pg_class f ON f.oid = k.confrelid
    JOIN pg_attribute a ON a.attrelid = c.oid AND a.attnum = k.conkey[2]
    WHERE k.contype = 'f' AND cardinality(k.conkey) = 2 AND NOT c.relispartition
    AND c.relnamespace = 'public'::regnamespace ORDER BY 1, 2
"""


def tables() -> dict[str, Table]:
    """All of them by name, those first that nothing refers to: in this order rows can be removed."""
    with connection.cursor() as cursor:
        cursor.execute(_TIES)
        ties = cursor.fetchall()
        cursor.execute(_COLUMNS)
        found = {
            name: Table(name, json.loads(columns), tuple(Tie(*row[1:]) for row in ties if row[0] == name), tall)
            for name, tall, columns in cursor.fetchall()
        }
    order = TopologicalSorter(dict.fromkeys(sorted(found), ()))
    for table in found.values():
        for tie in table.ties:
            if tie.target != table.name:
                order.add(tie.target, table.name)
    return {name: found[name] for name in order.static_order()}


def of_workspace(known: Mapping[str, Table], table: Table, alias: str = "t") -> str | None:
    """The SQL that says of a row which workspace it belongs to, with one parameter; None: it belongs to none.

    A row without a workspace of its own belongs where that belongs which it is required to name.
    """
    if table.name == "workspace":
        return f"{alias}.id = %s"
    if "workspace_id" in table.columns:
        return f"{alias}.workspace_id = %s"
    for tie in table.ties:
        within = of_workspace(known, known[tie.target], f"{alias}_") if tie.required else None
        if within:
            return (
                f"EXISTS (SELECT 1 FROM {tie.target} {alias}_ WHERE {alias}_.organization_id = {alias}.organization_id"
                f" AND {alias}_.id = {alias}.{tie.column} AND {within})"
            )
    return None
