"""What deployments cancel for which they have no slot: `on_limit`.

CANCEL_NEW keeps those that are under way, then those that have waited longest; CANCEL_OLD keeps the newest. What waits
counts as well as what is under way, so what is cancelled does not depend on when an agent came by. Decided under the
lock of the limit: when runs are triggered, before they are claimed, and by a tick when later ones become due.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Collection, Iterator, Sequence
from datetime import datetime
from operator import itemgetter
from typing import NamedTuple
from uuid import UUID

from django.db import connection

from runs.models import Deployment
from runs.stopping import ask_to_stop
from runs.transitions import lock_runs

AT_ONCE = 1_000  # runs that are cancelled by one statement
NEW, OLD = Deployment.OnLimit.CANCEL_NEW.value, Deployment.OnLimit.CANCEL_OLD.value

_LOCK = """
    SELECT l.id, l.kind, l.slots, d.id, d.on_limit FROM concurrency_limit l
    JOIN deployment d ON d.organization_id = l.organization_id AND d.id = l.target_id
    WHERE l.kind IN ('deployment', 'key') AND l.target_id = ANY(%s) AND d.on_limit <> 'ENQUEUE'
    ORDER BY l.id FOR UPDATE OF l
"""
# In the order in which they were meant to start. Of what is under way counts what holds a slot of the limit.
_ALIVE = """
    SELECT r.id, r.concurrency_key, r.attempt, l.id IS NOT NULL FROM flow_run r
    LEFT JOIN lease l ON l.organization_id = r.organization_id AND l.run_id = r.id AND l.limit_id = %(limit)s
        AND l.expires_at > %(now)s
    WHERE r.deployment_id = %(deployment)s AND r.pool_id IS NOT NULL AND (l.id IS NOT NULL
        OR (r.state_type = 'SCHEDULED' AND r.due_at <= %(now)s))
    ORDER BY r.scheduled_at, r.id
"""


class _Alive(NamedTuple):
    """A run that holds a slot, or waits for one."""

    id: UUID
    key: str
    attempt: int
    holds: bool


def cancel_surplus(deployment_ids: Collection[UUID], *, at: datetime) -> list[UUID]:
    """Cancel runs of these deployments that are too many, where they want that; the runs that were asked to stop."""
    if not deployment_ids:
        return []
    cancelled: list[UUID] = []
    with connection.cursor() as cursor:
        cursor.execute(_LOCK, [list(deployment_ids)])
        limits = cursor.fetchall()
    for id, kind, slots, deployment, policy in sorted(limits, key=itemgetter(1)):
        with connection.cursor() as cursor:
            cursor.execute(_ALIVE, {"limit": id, "deployment": deployment, "now": at})
            alive = [_Alive(*row) for row in cursor.fetchall()]
        for group in _groups(alive, by_key=kind == "key"):
            cancelled += _cancel(_surplus(group, slots, policy), _why(slots, kind, policy), at)
    return cancelled


def _groups(alive: Sequence[_Alive], *, by_key: bool) -> Iterator[list[_Alive]]:
    groups: dict[str, list[_Alive]] = defaultdict(list)
    for run in alive:
        if not by_key or run.key:
            groups[run.key if by_key else ""].append(run)
    yield from groups.values()


def _surplus(alive: list[_Alive], slots: int, policy: str) -> list[UUID]:
    """Which are too many, of runs in the order of their age."""
    if policy == OLD:
        return [run.id for run in alive[: max(len(alive) - slots, 0)]]
    new = [run.id for run in alive if not run.holds and run.attempt == 0]  # What has begun once is not new any more.
    return new[max(slots - (len(alive) - len(new)), 0) :]


def _why(slots: int, kind: str, policy: str) -> str:
    whose = " of each key" if kind == "key" else ""
    what = "A newer one came" if policy == OLD else "As many were there before it"
    return f"{what}: the deployment has {slots} slot{'s' * (slots != 1)} for runs{whose}, and says {policy}."


def _cancel(ids: Sequence[UUID], message: str, at: datetime) -> list[UUID]:
    """Ask runs to stop. Those that somebody works on in this moment are left to the tick."""
    asked: list[UUID] = []
    for start in range(0, len(ids), AT_ONCE):
        rows = lock_runs(ids[start : start + AT_ONCE], skip_locked=True)
        asked += [row.id for row in ask_to_stop(rows.values(), message, at=at)]
    return asked


def due(*, at: datetime, limit: int) -> list[tuple[UUID, UUID]]:
    """(organization, deployment) of those that have runs to be judged. Asked in the system's scope."""
    with connection.cursor() as cursor:
        cursor.execute(
            "SELECT d.organization_id, d.id FROM deployment d WHERE d.on_limit <> 'ENQUEUE' AND EXISTS ("
            " SELECT 1 FROM flow_run r WHERE r.organization_id = d.organization_id AND r.pool_id = d.pool_id"
            " AND r.deployment_id = d.id AND r.state_type = 'SCHEDULED' AND r.due_at <= %s) LIMIT %s",
            [at, limit],
        )
        return cursor.fetchall()
