"""Names locked in one order, and their free slots given to those who have waited longest."""

from __future__ import annotations

import contextlib
from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any
from uuid import UUID

from django.conf import settings
from django.db import connection, transaction
from django.utils.timezone import now

from runs.slots import words
from runs.statements import Statement, raw_cursor
from tenants.scope import current_scope

Key = tuple[str, str]
"""What a name is one of (Slot.Kind), and the name."""

UNLIMITED = 1_000_000_000
AT_ONCE = 1_000  # waiters of one name that are looked at in one go
TRIES = 5  # to lock names that turn out to belong together


def slot_time() -> timedelta:
    """For how long a process may be silent about the slots that it holds or waits for."""
    return timedelta(seconds=settings.LEASE_SECONDS / 2)


@dataclass(slots=True)
class Name:
    """A locked name: how many slots it has, how many of them are occupied, and who waits."""

    slots: int
    used: int
    last: int  # the place of the last one who waits; 0: nobody does
    linked: bool  # Some of those who wait want other names, too.
    limit_id: UUID | None

    @property
    def free(self) -> int:
        return max(0, self.slots - self.used)


@dataclass(slots=True)
class Waiter:
    """Somebody in the queue of one name."""

    ask: UUID
    names: int
    occupy: int
    session_id: UUID


class Queues:
    """The queues of some names of one workspace, locked until the transaction ends."""

    def __init__(self, workspace_id: UUID, names: dict[Key, Name]) -> None:
        self.workspace_id = workspace_id
        self.names = names

    def take(self, keys: Collection[Key], occupy: int) -> bool:
        """Take slots of all these names, if they are free and nobody waits: who comes then stands in no queue."""
        names = [self.names[key] for key in keys]
        if any(name.last or name.free < occupy for name in names):
            return False
        for name in names:
            name.used += occupy
        return True

    def grant(self) -> list[Waiter]:
        """Give what is free to those who wait, the first ones first; those that got it, once for each ask."""
        granted: dict[UUID, Waiter] = {}
        more = True
        while more:
            heads = self._heads()
            full = [rows for rows in heads.values() if len(rows) == AT_ONCE]
            some = self._grant_some(heads)
            granted |= some
            more = bool(some) and not all(full)
        return list(granted.values())

    def _grant_some(self, heads: dict[Key, list[Waiter]]) -> dict[UUID, Waiter]:
        chosen: dict[UUID, Waiter] = {}
        moved = True
        while moved:
            moved = False
            for key in heads:
                while heads[key] and (places := self._to_take(heads, key)):
                    waiter = heads[key][0]
                    for place in places:
                        self.names[place].used += heads[place].pop(0).occupy
                    chosen[waiter.ask] = waiter
                    moved = True
        if chosen:
            self._hold(list(chosen))
        return chosen

    def _to_take(self, heads: dict[Key, list[Waiter]], key: Key) -> list[Key]:
        """The names that the first one in a queue would take now: all that it asked for, or none.

        It has to be the first one in all of its queues, and to fit.
        """
        first = heads[key][0]
        own = [key] if first.names == 1 else [place for place, row in heads.items() if row and row[0].ask == first.ask]
        fits = all(heads[place][0].occupy <= self.names[place].free for place in own)
        return own if fits and len(own) == first.names else []

    def _heads(self) -> dict[Key, list[Waiter]]:
        """The first ones of each queue. Who wants more than there ever is stands aside until the limit is raised."""
        open = {key: name for key, name in self.names.items() if name.free and name.last}
        heads: dict[Key, list[Waiter]] = {key: [] for key in open}
        if not open:
            return heads
        cursor = raw_cursor()
        with connection.wrap_database_errors:
            cursor.execute(_HEADS, [
                *_columns(open), [min(name.free, AT_ONCE) for name in open.values()],
                [name.slots for name in open.values()], current_scope().organization_id, self.workspace_id,
            ])  # fmt: skip
        for kind, name, *waiter in cursor.fetchall():
            heads[kind, name].append(Waiter(*waiter))
        return heads

    def _hold(self, asks: list[UUID]) -> None:
        at = now()
        with connection.wrap_database_errors:
            raw_cursor().execute(_HOLD, [at, at + slot_time(), current_scope().organization_id, asks])


_HEADS = """
    SELECT k.kind, k.name, s.ask, s.names, s.occupy, s.session_id
    FROM unnest(%s::text[], %s::text[], %s::int[], %s::int[]) k (kind, name, free, slots)
    CROSS JOIN LATERAL (
        SELECT ask, names, occupy, session_id, place FROM slot
        WHERE organization_id = %s AND workspace_id = %s AND kind = k.kind AND name = k.name
            AND held_at IS NULL AND occupy <= k.slots AND (names = 1 OR NOT EXISTS (
                SELECT 1 FROM slot o JOIN named_limit l ON l.organization_id = o.organization_id
                    AND l.workspace_id = o.workspace_id AND l.name = o.name AND l.active AND l.slots < o.occupy
                WHERE o.organization_id = slot.organization_id AND o.ask = slot.ask AND o.kind = 'limit'))
        ORDER BY place LIMIT k.free
    ) s ORDER BY s.place
"""
_HOLD = """
    UPDATE slot SET held_at = %s, expires_at = CASE WHEN leased THEN NULL ELSE %s::timestamptz END
    WHERE organization_id = %s AND ask = ANY(%s)
"""


def _columns(keys: Iterable[Key]) -> tuple[list[str], list[str]]:
    keys = list(keys)
    return [kind for kind, _ in keys], [name for _, name in keys]


# ── to lock ──────────────────────────────────────────────────────────────────────────────────────


def lock(workspace_id: UUID, keys: Collection[Key], changes: Sequence[Statement] = ()) -> Queues:
    """Lock names, and whatever names those who wait for them want besides; change their rows; clear away who is dead.

    The first look tells what belongs together. It is let go of and begun again where that is more than was locked:
    names are only ever waited for in one order.

    Args:
        changes: Statements after `OF_NAMES`, which names the locked names `k`, with their own values. A row is changed
            under the lock of its name alone; so whoever counts knows of all.
    """
    wanted = set(keys)
    for tried in range(TRIES):
        with contextlib.suppress(_MoreNames), transaction.atomic():
            queues = Queues(workspace_id, _locked(workspace_id, wanted, changes))
            linked = {key for key, name in queues.names.items() if name.linked}
            more = _neighbours(workspace_id, linked) - wanted if linked else set()
            if more and tried < TRIES - 1:
                wanted |= more
                raise _MoreNames
            return queues
    raise AssertionError("unreachable")


class _MoreNames(Exception):
    """Let go of what is locked."""


_LOCK = """
    SELECT count(pg_advisory_xact_lock(h)) FROM (
        SELECT DISTINCT hashtextextended(t, 0) AS h FROM unnest(%s::text[]) t ORDER BY 1) hashes
"""
OF_NAMES = "WITH k (kind, name) AS (SELECT * FROM unnest(%s::text[], %s::text[])) "
# Dead are those of processes that were silent too long, and those of runs whose lease is over.
_CLEAR = """
    DELETE FROM slot s USING k
    WHERE s.kind = k.kind AND s.name = k.name AND s.organization_id = %s AND s.workspace_id = %s
        AND (s.expires_at <= %s OR (s.expires_at IS NULL
            AND NOT EXISTS (SELECT 1 FROM lease l WHERE l.organization_id = s.organization_id AND l.run_id = s.run_id
                AND l.attempt = s.attempt AND l.limit_id IS NULL AND l.expires_at > %s)))
"""
_LOOK = """
    SELECT k.kind, k.name, l.id, CASE WHEN k.kind = 'lock' THEN 1 WHEN l.active THEN l.slots END,
        (SELECT coalesce(sum(occupy), 0) FROM slot WHERE organization_id = o.id AND workspace_id = w.id
            AND kind = k.kind AND name = k.name AND held_at IS NOT NULL),
        (SELECT max(place) FROM slot WHERE organization_id = o.id AND workspace_id = w.id
            AND kind = k.kind AND name = k.name AND held_at IS NULL),
        EXISTS (SELECT 1 FROM slot WHERE organization_id = o.id AND workspace_id = w.id
            AND kind = k.kind AND name = k.name AND held_at IS NULL AND names > 1)
    FROM unnest(%s::text[], %s::text[]) k (kind, name)
    CROSS JOIN (SELECT %s::uuid) o (id) CROSS JOIN (SELECT %s::uuid) w (id)
    LEFT JOIN named_limit l ON k.kind = 'limit'
        AND l.organization_id = o.id AND l.workspace_id = w.id AND l.name = k.name
"""


def _locked(workspace_id: UUID, keys: Collection[Key], changes: Sequence[Statement]) -> dict[Key, Name]:
    """Lock names, change rows, clear away who is dead, and look. Sent in one go; each statement sees what was there
    when it began, so all but the first know of what others did before they let go of the names.
    """
    columns, at = _columns(keys), now()
    own: list[Any] = [current_scope().organization_id, workspace_id]
    cursor = raw_cursor()
    with connection.wrap_database_errors, connection.connection.pipeline():
        cursor.execute(_LOCK, [[f"slot {workspace_id} {kind} {name}" for kind, name in keys]])
        for change, values in [*changes, (_CLEAR, [*own, at, at])]:
            cursor.execute(f"{OF_NAMES}{change}", [*columns, *values])  # type: ignore[arg-type]
        looked = raw_cursor().execute(_LOOK, [*columns, *own])
    return {
        (kind, name): Name(UNLIMITED if slots is None else slots, used, last or 0, linked, limit_id)
        for kind, name, limit_id, slots, used, last, linked in looked.fetchall()
    }


_NEIGHBOURS = """
    SELECT DISTINCT o.kind, o.name FROM unnest(%s::text[], %s::text[]) k (kind, name)
    JOIN slot s ON s.kind = k.kind AND s.name = k.name AND s.held_at IS NULL AND s.names > 1
    JOIN slot o ON o.organization_id = s.organization_id AND o.ask = s.ask
    WHERE s.organization_id = %s AND s.workspace_id = %s
"""


def _neighbours(workspace_id: UUID, keys: Collection[Key]) -> set[Key]:
    with connection.cursor() as cursor:
        cursor.execute(_NEIGHBOURS, [*_columns(keys), current_scope().organization_id, workspace_id])
        return set(cursor.fetchall())


# ── what has become free ─────────────────────────────────────────────────────────────────────────


def hand_on(workspace_id: UUID, keys: Collection[Key], changes: Sequence[Statement] = ()) -> list[Waiter]:
    """Give what is free of these names to those who wait, and tell them."""
    if not keys:
        return []
    granted = lock(workspace_id, keys, changes).grant()
    words.tell(workspace_id, granted=[(waiter.session_id, waiter.ask) for waiter in granted])
    return granted


_OF_RUNS = """
    SELECT DISTINCT workspace_id, kind, name FROM slot
    WHERE run_id = ANY(%s::uuid[]) AND (leased OR run_id = ANY(%s::uuid[]))
"""
_FREE_RUNS = """
    DELETE FROM slot s USING k
    WHERE s.kind = k.kind AND s.name = k.name AND s.run_id = ANY(%s::uuid[])
        AND (s.leased OR s.run_id = ANY(%s::uuid[]))
"""


def free_runs(gone: Collection[UUID], *, silent: Collection[UUID] = ()) -> None:
    """The holders of these runs are gone: their slots are free, and they wait no more. Once in a transaction, for the
    names are locked in one order.

    Args:
        silent: Runs whose holders may come back: nobody is to wait for them, but what lives by a process's own word is
            left alone.
    """
    if not gone and not silent:
        return
    own = [[*gone, *silent], list(gone)]
    with connection.cursor() as cursor:
        cursor.execute(_OF_RUNS, own)
        names: dict[UUID, set[Key]] = {}
        for workspace_id, kind, name in cursor.fetchall():
            names.setdefault(workspace_id, set()).add((kind, name))
    for workspace_id in sorted(names):
        hand_on(workspace_id, names[workspace_id], [(_FREE_RUNS, own)])


def dead(*, limit: int) -> list[tuple[UUID, tuple[UUID, str, str]]]:
    """(organization, (workspace, kind, name)) of names with rows that are over. Asked in the system's scope."""
    at = now()
    with connection.cursor() as cursor:
        cursor.execute(_DEAD, [at, limit, at, limit])
        return [(organization, (workspace, kind, name)) for organization, workspace, kind, name in cursor.fetchall()]


_DEAD = """
    (SELECT organization_id, workspace_id, kind, name FROM slot WHERE expires_at <= %s ORDER BY expires_at LIMIT %s)
    UNION
    (SELECT organization_id, workspace_id, kind, name FROM slot s WHERE expires_at IS NULL AND NOT EXISTS (
        SELECT 1 FROM lease l WHERE l.organization_id = s.organization_id AND l.run_id = s.run_id
            AND l.attempt = s.attempt AND l.limit_id IS NULL AND l.expires_at > %s) LIMIT %s)
"""


def clear(names: Iterable[tuple[UUID, str, str]]) -> None:
    """Clear the dead rows of names of one organization, and hand on what they held: all names of a workspace at once,
    in the one order.
    """
    of: dict[UUID, set[Key]] = {}
    for workspace_id, kind, name in names:
        of.setdefault(workspace_id, set()).add((kind, name))
    for workspace_id in sorted(of):
        hand_on(workspace_id, of[workspace_id])


def forgive(longer: timedelta, at: datetime) -> None:
    """The platform was away: whoever was silent meanwhile is heard of again. Asked in the system's scope."""
    with connection.cursor() as cursor:
        cursor.execute(
            "UPDATE slot s SET expires_at = greatest(s.expires_at + %s, %s) FROM ("
            " SELECT organization_id, id FROM slot WHERE expires_at IS NOT NULL FOR UPDATE SKIP LOCKED) free"
            " WHERE (s.organization_id, s.id) = (free.organization_id, free.id)",
            [longer, at + slot_time()],
        )
