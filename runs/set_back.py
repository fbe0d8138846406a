"""When the clock was ahead and is set back: what was written by the later clock comes back with it.

Else leases would not run out, schedules would be silent and runs would wait, for as long as the clock was ahead. Times
move back by the difference, none of them before the present. What a person has chosen, such as when a run is to start,
stays as it is.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime, timedelta
from itertools import islice
from typing import NamedTuple
from uuid import UUID

from django.db import connection
from django.utils.timezone import now

from orchestrator.schedule_times import next_time
from runs import waiting
from runs.claims import lease_time
from runs.models import Schedule
from runs.scheduling import AHEAD, GRACE
from runs.slots.queue import slot_time

AT_ONCE = 10_000  # schedules, and runs that they have made for times that are far ahead now


class _Later(NamedTuple):
    """A column whose times are short ones from when they were written; rows that `where` says."""

    table: str
    column: str
    where: str = "true"


_LATER = (
    _Later("bulk_operation", "begins_at", "ended_at IS NULL"),
    _Later("bulk_operation", "leased_until"),
    _Later("backfill", "paced_to", "ended_at IS NULL"),
    _Later("backfill", "look_at"),
    _Later("backfill", "leased_until"),
    _Later("named_limit", "reserved_until"),
    _Later("input_request", "expires_at", "ended_at IS NULL AND created_at > %(at)s"),
    _Later("outbox_message", "next_try_at", "done_at IS NULL"),
)

# Without waiting: what somebody works on in this moment is written by the clock as it is now.
_MOVE = """
    UPDATE {table} t SET {column} = greatest(t.{column} - %(by)s, %(soonest)s)
    FROM (
        SELECT organization_id, id FROM {table} WHERE {column} > %(soonest)s AND {where} FOR UPDATE SKIP LOCKED
    ) free
    WHERE (t.organization_id, t.id) = (free.organization_id, free.id)
"""
# Those that a later clock has put into the line; not those whose time somebody has chosen.
_RUNS = """
    UPDATE flow_run r SET due_at = greatest(r.due_at - %(by)s, %(at)s)
    FROM (
        SELECT organization_id, id FROM flow_run
        WHERE state_type = 'SCHEDULED' AND state_at > %(at)s AND due_at > %(at)s
            AND (attempt > 0 OR scheduled_at <= state_at OR debounce_until IS NOT NULL)
        FOR NO KEY UPDATE SKIP LOCKED
    ) free
    WHERE (r.organization_id, r.id) = (free.organization_id, free.id)
    RETURNING r.pool_id, r.due_at
"""
_AGENTS = """
    UPDATE agent a SET last_seen_at = least(a.last_seen_at, %(at)s), gone_at = least(a.gone_at, %(at)s)
    FROM (
        SELECT organization_id, id FROM agent WHERE last_seen_at > %(at)s OR gone_at > %(at)s FOR UPDATE SKIP LOCKED
    ) free
    WHERE (a.organization_id, a.id) = (free.organization_id, free.id)
"""
_SCHEDULES = """
    UPDATE schedule s SET next_at = n.next_at FROM unnest(%s::uuid[], %s::uuid[], %s::timestamptz[]) n (of, id, next_at)
    WHERE s.organization_id = n.of AND s.id = n.id
"""
# What schedules have made for times which are not near any more: they are made again when these come.
_TOO_FAR_AHEAD = """
    DELETE FROM flow_run r USING (
        SELECT organization_id, id FROM flow_run
        WHERE schedule_id IS NOT NULL AND scheduled_at > %(after)s AND backfill_id IS NULL
            AND state_type = 'SCHEDULED' AND attempt = 0
        LIMIT %(most)s FOR UPDATE SKIP LOCKED
    ) ahead
    WHERE (r.organization_id, r.id) = (ahead.organization_id, ahead.id)
"""


def come_back(by: timedelta) -> None:
    """The clock went back by this much since the platform was alive last. Asked in the system's scope."""
    at = now()
    _move(_Later("lease", "expires_at"), by, at + lease_time())
    _move(_Later("slot", "expires_at", "expires_at IS NOT NULL"), by, at + slot_time())
    for later in _LATER:
        _move(later, by, at)
    _look_for_times_again(at)
    with connection.cursor() as cursor:
        cursor.execute(_AGENTS, {"at": at})
        cursor.execute(_RUNS, {"at": at, "by": by})
        waiting.wake_at((pool, due) for pool, due in cursor.fetchall() if pool)


def _move(later: _Later, by: timedelta, soonest: datetime) -> None:
    statement = _MOVE.format(**later._asdict())
    with connection.cursor() as cursor:
        cursor.execute(statement, {"by": by, "soonest": soonest, "at": soonest})


def _look_for_times_again(at: datetime) -> None:
    """Schedules go on from now. A time for which a run was made has it, by its key, and gets no other one."""
    ahead = Schedule.objects.filter(active=True, next_at__gt=at).order_by("id").select_for_update(of=("self",))
    rows = ((each.organization_id, each.id, _next_time(each, at)) for each in ahead.iterator())
    while some := list(islice(rows, AT_ONCE)):
        _write_times(some)
    with connection.cursor() as cursor:
        cursor.execute(_TOO_FAR_AHEAD, {"after": at + AHEAD, "most": AT_ONCE})


def _next_time(schedule: Schedule, at: datetime) -> datetime | None:
    """The first one that is not missed, though none from before the schedule was there."""
    begun = at - GRACE if schedule.created_at > at else max(at - GRACE, schedule.created_at)
    return next_time(schedule.times, begun)


def _write_times(rows: Sequence[tuple[UUID, UUID, datetime | None]]) -> None:
    with connection.cursor() as cursor:
        cursor.execute(_SCHEDULES, [list(column) for column in zip(*rows, strict=True)])
