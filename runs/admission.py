"""May an organization start another run? Asked for every new root: by the trigger, and by the ingest for local ones.

What is known is kept for some seconds in each process, so that a trigger costs no query of its own normally. A limit is
therefore passed by what is admitted in `KEPT_SECONDS` in all processes and by the runs under way, which finish unless
the organization wants otherwise; what they record counts, and is never dropped for money. A subflow belongs to its
root and is not asked for; a run that another one triggers is.
"""

from __future__ import annotations

import threading
import time
from dataclasses import dataclass
from datetime import timedelta
from uuid import UUID

from django.conf import settings
from django.db import connection
from django.utils.timezone import now

from tenants.billing.limits import Limit, stop_of, used_in
from tenants.billing.months import Month
from tenants.errors import LimitReached
from tenants.models import Organization

KEPT_SECONDS = 5.0
REMEMBERED = 10_000  # organizations
LATE_DELTAS = timedelta(days=2)  # Older buckets' are counted when they are rolled up, some seconds later.


@dataclass(frozen=True, slots=True)
class _Room:
    refusal: str  # "": there is room
    until: float  # by the monotonic clock


_rooms: dict[UUID, _Room] = {}
_lock = threading.Lock()


def admit(organization_id: UUID) -> None:
    """Let a new root pass. Call it inside the organization's scope.

    Raises:
        LimitReached: The month's task runs are used up. The message says what to do.
    """
    refusal = refusal_of(organization_id)
    if refusal:
        raise LimitReached(refusal)


def refusal_of(organization_id: UUID) -> str:
    """Why no run may start; empty when one may."""
    room = _rooms.get(organization_id)
    if room is None or room.until <= time.monotonic():
        room = _Room(_judge(organization_id), time.monotonic() + KEPT_SECONDS)
        with _lock:
            if len(_rooms) >= REMEMBERED:
                _rooms.clear()
            _rooms[organization_id] = room
    return room.refusal


def forget() -> None:
    """Ask anew: in tests, and where a plan or a limit was just changed."""
    with _lock:
        _rooms.clear()


def _judge(organization_id: UUID) -> str:
    limit = stop_of(organization_id)
    if limit.task_runs is None:
        return ""
    month = Month.of(now())
    used = used_in(organization_id, month)["task_runs"] + _not_rolled_up(month)
    return _refusal(organization_id, limit, month) if used >= limit.task_runs else ""


def _not_rolled_up(month: Month) -> int:
    at = now()
    with connection.cursor() as cursor:
        cursor.execute(
            "SELECT coalesce(sum(task_runs), 0) FROM usage_delta WHERE bucket >= %s AND bucket <= %s AND t >= %s",
            [(at - LATE_DELTAS).date(), at.date(), month.start],
        )
        return cursor.fetchone()[0]


def _refusal(organization_id: UUID, limit: Limit, month: Month) -> str:
    slug = Organization.objects.values_list("slug", flat=True).get(id=organization_id)
    what = "choose a larger plan" if limit.by_plan else "raise the limit"
    return (
        f"The {limit.task_runs:,} task runs of {month.label} are used up. Runs start again on"
        f" {month.following.first:%d %B}; to go on now, {what}: {settings.PUBLIC_URL}/o/{slug}/billing"
    )
