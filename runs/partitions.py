"""The partitions of the tall tables: one list partition a retention class, below it ranges of days.

They are made by CREATE (LIKE) + ATTACH and taken away by DETACH CONCURRENTLY + DROP, because plain CREATE … PARTITION
OF and DROP wait for, and then block, every writer of the table. There is no default partition: it would forbid the
concurrent detach. All of this needs the owner of the tables.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from typing import Any
from uuid import UUID

from tenants.database import policies
from tenants.models import Organization

TALL_TABLES = ("task_run", "log_line", "event", "usage_delta")
CLASSES = (7, 30, 90, 365)  # days
AHEAD = timedelta(days=7)

_PARTITION_KEY = "retention smallint NOT NULL, bucket date NOT NULL, organization_id uuid NOT NULL"
_BODIES = {
    "task_run": """
        attempt integer NOT NULL, run_count smallint NOT NULL, rank smallint NOT NULL, run_id uuid NOT NULL,
        id uuid NOT NULL, seq bigint NOT NULL, started_at timestamptz, ended_at timestamptz, duration bigint,
        parent_task_id uuid, state_type text NOT NULL, state_name text, message text, task text NOT NULL,
        label text NOT NULL, parents uuid[], tags text[], history jsonb, error jsonb,
        PRIMARY KEY (run_id, id, organization_id, retention, bucket)""",
    "log_line": """
        attempt integer NOT NULL, root_id uuid NOT NULL, line_no bigint NOT NULL, run_id uuid NOT NULL, task_id uuid,
        t timestamptz NOT NULL, level smallint NOT NULL, logger text NOT NULL, message text NOT NULL, extra jsonb,
        PRIMARY KEY (root_id, line_no, organization_id, retention, bucket)""",
    "event": """
        id uuid NOT NULL, workspace_id uuid NOT NULL, run_id uuid, t timestamptz NOT NULL, event text NOT NULL,
        resource jsonb NOT NULL, payload jsonb, PRIMARY KEY (organization_id, id, retention, bucket)""",
    "usage_delta": """
        id uuid NOT NULL, workspace_id uuid NOT NULL, run_id uuid NOT NULL, t timestamptz NOT NULL,
        flow_runs integer NOT NULL, task_runs integer NOT NULL, log_bytes bigint NOT NULL, run_time bigint NOT NULL,
        cpu bigint NOT NULL, PRIMARY KEY (organization_id, id, retention, bucket)""",
}


def schema() -> Iterator[str]:
    """The statements that make the tall tables and their list partitions. Used by the first migration."""
    for table in TALL_TABLES:
        yield f"CREATE TABLE {table} ({_PARTITION_KEY}, {_BODIES[table]}) PARTITION BY LIST (retention)"
        yield from policies(table)
        for days in CLASSES:
            name = f"{table}_r{days}"
            yield f"CREATE TABLE {name} PARTITION OF {table} FOR VALUES IN ({days}) PARTITION BY RANGE (bucket)"
            yield from _closed(name)


def _closed(name: str) -> list[str]:
    """No policy: a partition shows nothing to whoever asks it directly. Access is by the parent."""
    return [f"ALTER TABLE {name} ENABLE ROW LEVEL SECURITY", f"ALTER TABLE {name} FORCE ROW LEVEL SECURITY"]


@dataclass(frozen=True, slots=True, order=True)
class Leaf:
    """One partition: the rows of `table` in class `days` whose bucket is in [start, end)."""

    table: str
    days: int
    start: date
    end: date

    @property
    def name(self) -> str:
        return f"{self.table}_r{self.days}_{self.start:%Y%m%d}"

    @property
    def expires(self) -> date:
        """From this day on retention lets it go."""
        return self.end + timedelta(days=self.days)


def span(days: int, day: date) -> tuple[date, date]:
    """The range of days that shares a partition with `day`: a day, a week from Monday, or a month.

    >>> span(90, date(2026, 11, 22))
    (datetime.date(2026, 11, 16), datetime.date(2026, 11, 23))
    """
    if days <= 30:
        return day, day + timedelta(days=1)
    if days <= 90:
        monday = day - timedelta(days=day.weekday())
        return monday, monday + timedelta(days=7)
    first = day.replace(day=1)
    return first, (first + timedelta(days=32)).replace(day=1)


def wanted(today: date) -> list[Leaf]:
    """The partitions that must exist: yesterday's (a batch may cross midnight) to a week ahead."""
    days = [today + timedelta(days=offset) for offset in range(-1, AHEAD.days + 1)]
    return sorted({Leaf(table, c, *span(c, day)) for table in TALL_TABLES for c in CLASSES for day in days})


_LEAVES = "c.relkind = 'r' AND c.relname ~ '^[a-z_]+_r[0-9]+_[0-9]{8}$' AND c.relnamespace = 'public'::regnamespace"


def existing(cursor: Any) -> list[Leaf]:
    """The partitions that are there, read from the catalogue."""
    cursor.execute(
        "SELECT c.relname FROM pg_class c JOIN pg_inherits i ON i.inhrelid = c.oid"
        f" WHERE {_LEAVES} AND NOT i.inhdetachpending"
    )
    return sorted(_leaf(name) for (name,) in cursor.fetchall())


def _leaf(name: str) -> Leaf:
    table, days, start = name.rsplit("_", 2)
    day = datetime.strptime(start, "%Y%m%d").replace(tzinfo=UTC).date()
    return Leaf(table, int(days[1:]), *span(int(days[1:]), day))


def ensure(cursor: Any, today: date) -> list[str]:
    """Make the partitions that are missing; answer their names. The connection must own the tables."""
    missing = sorted(set(wanted(today)) - set(existing(cursor)))
    for leaf in missing:
        parent = f"{leaf.table}_r{leaf.days}"
        cursor.execute(f"CREATE TABLE IF NOT EXISTS {leaf.name} (LIKE {parent} INCLUDING ALL)")
        for statement in _closed(leaf.name):
            cursor.execute(statement)
        cursor.execute(
            f"ALTER TABLE {parent} ATTACH PARTITION {leaf.name} FOR VALUES FROM ('{leaf.start}') TO ('{leaf.end}')"
        )
    return [leaf.name for leaf in missing]


def drop_expired(cursor: Any, today: date) -> list[str]:
    """Let go of partitions past their time in which no run is live and whose usage is sealed; answer their names.

    Needs an autocommit connection of the owner: DETACH CONCURRENTLY refuses a transaction. A detach that was cut off
    is finished first.
    """
    _finish_detaching(cursor)
    dropped = []
    for leaf in existing(cursor):
        if _may_go(cursor, leaf, today):
            cursor.execute(f"ALTER TABLE {leaf.table}_r{leaf.days} DETACH PARTITION {leaf.name} CONCURRENTLY")
    for leaf in _detached(cursor):
        if _may_go(cursor, leaf, today):
            cursor.execute(f"DROP TABLE {leaf.name}")
            dropped.append(leaf.name)
    return dropped


def _may_go(cursor: Any, leaf: Leaf, today: date) -> bool:
    if leaf.expires > today:
        return False
    place = [leaf.days, leaf.start, leaf.end]
    cursor.execute("SELECT bucket_has_live_runs(%s::smallint, %s::date, %s::date)", place)
    if cursor.fetchone()[0]:
        return False
    of = "(%s::smallint, %s::date, %s::date)"
    cursor.execute(f"SELECT usage_is_rolled_up{of}, usage_is_sealed{of}", place * 2)
    return all(cursor.fetchone())


def _finish_detaching(cursor: Any) -> None:
    cursor.execute(
        "SELECT c.relname, p.relname FROM pg_class c JOIN pg_inherits i ON i.inhrelid = c.oid"
        f" JOIN pg_class p ON p.oid = i.inhparent WHERE {_LEAVES} AND i.inhdetachpending"
    )
    for name, parent in cursor.fetchall():
        cursor.execute(f"ALTER TABLE {parent} DETACH PARTITION {name} FINALIZE")


def _detached(cursor: Any) -> list[Leaf]:
    cursor.execute(
        f"SELECT c.relname FROM pg_class c WHERE {_LEAVES}"
        " AND NOT EXISTS (SELECT 1 FROM pg_inherits i WHERE i.inhrelid = c.oid)"
    )
    return sorted(_leaf(name) for (name,) in cursor.fetchall())


# ── asked by the ingest ──────────────────────────────────────────────────────────────────────────

Place = tuple[int, date]
"""A run's retention class and bucket: where its rows lie."""

_known: set[Place] = set()
REMEMBERED = 10_000


def fix_partition(organization_id: UUID, at: datetime) -> Place:
    """Where the rows of what is first seen at `at` lie: fixed now, whatever changes later."""
    retention = Organization.objects.values_list("retention", flat=True).get(id=organization_id)
    return retention, at.date()


def kept_until(place: Place) -> date:
    """From this day on retention lets the rows of a place go."""
    days, bucket = place
    return span(days, bucket)[1] + timedelta(days=days)


def is_past(place: Place, today: date) -> bool:
    """True when retention may have taken the rows of a place."""
    return kept_until(place) <= today


def missing(cursor: Any, places: Collection[Place], today: date) -> set[Place]:
    """The places without partitions. One that is there is not asked about again until it is past its time."""
    asked = {place for place in places if place not in _known or is_past(place, today)}
    if not asked:
        return set()
    leaves = {place: [Leaf(table, place[0], *span(*place)).name for table in TALL_TABLES] for place in asked}
    cursor.execute(
        "SELECT c.relname FROM pg_class c JOIN pg_inherits i ON i.inhrelid = c.oid"
        " WHERE c.relname = ANY(%s) AND NOT i.inhdetachpending",
        [[name for names in leaves.values() for name in names]],
    )
    present = {name for (name,) in cursor.fetchall()}
    gone = {place for place, names in leaves.items() if not present.issuperset(names)}
    if len(_known) > REMEMBERED:
        forget()
    _known.update(asked - gone)
    return gone


def forget() -> None:
    """Know of no partition (in tests that take some away)."""
    _known.clear()
