"""Firings become notifications: each one its own while they are few, a storm in one. And runs: each its own.

An automation has an allowance of notifications a minute. The last one of it takes all that waits, and what fires
meanwhile waits for the next: a storm of 10,000 failing runs is told in a handful of messages, and at once. Runs of one
firing each wait for their turn instead, as long as they are worth it.
"""

from __future__ import annotations

from collections.abc import Collection
from datetime import datetime, timedelta
from uuid import UUID

from django.db import connection
from django.db.models import QuerySet
from django.utils.timezone import now

from runs import live
from runs.models import Automation, Firing, Notification
from runs.transitions import micros
from tenants import outbox

KIND, RUN_KIND = "notification", "automation-run"  # in the outbox
WINDOW = timedelta(minutes=1)
KEPT = timedelta(days=30)
LONGEST_WAIT = timedelta(hours=1)  # for the turn of a run
RUNS_A_TURN = 100

# From each automation to the next in the index of what waits, however much that is.
_WAITING = """
    WITH RECURSIVE next AS (
        (SELECT organization_id, automation_id FROM automation_firing WHERE notification_id IS NULL
            ORDER BY organization_id, automation_id LIMIT 1)
        UNION ALL
        SELECT f.organization_id, f.automation_id FROM next, LATERAL (
            SELECT organization_id, automation_id FROM automation_firing
            WHERE notification_id IS NULL
                AND (organization_id, automation_id) > (next.organization_id, next.automation_id)
            ORDER BY organization_id, automation_id LIMIT 1) f
    )
    SELECT a.organization_id, a.id FROM next
    JOIN automation a ON a.organization_id = next.organization_id AND a.id = next.automation_id
    WHERE a.most_per_minute > (
        SELECT count(*) FROM automation_notification n
        WHERE n.organization_id = a.organization_id AND n.automation_id = a.id AND n.created_at > %s AND NOT n.is_test)
    LIMIT %s
"""


def waiting(*, limit: int) -> list[tuple[UUID, UUID]]:
    """(organization, automation) with firings that somebody may be told of now. Asked by the system."""
    with connection.cursor() as cursor:
        cursor.execute(_WAITING, [now() - WINDOW, limit])
        return cursor.fetchall()


def notify(automation_ids: Collection[UUID]) -> int:
    """Make notifications of what waits, as far as each automation's allowance goes; answer how many."""
    # Locked: two at once would each use the whole allowance. Others come again with the next tick.
    own = Automation.objects.filter(id__in=automation_ids).order_by("id")
    return sum(_notify(each, now()) for each in own.select_for_update(skip_locked=True, no_key=True))


def _notify(automation: Automation, at: datetime) -> int:
    lately = automation.notifications.filter(created_at__gt=at - WINDOW, is_test=False).count()
    left = automation.most_per_minute - lately
    if left <= 0:
        return 0
    if "run" in automation.action:
        return _run(automation, at, left)
    firings = _waiting_of(automation).order_by("at", "id")
    some = list(firings.values_list("id", flat=True)[: left + 1])
    alone = some if len(some) <= left else some[: left - 1]
    for id in alone:
        _tell(automation, at, Firing.objects.filter(id=id))
    if len(some) > left:
        _tell(automation, at, _waiting_of(automation))
    return min(len(some), left)


def _waiting_of(automation: Automation) -> QuerySet[Firing]:
    return Firing.objects.filter(automation=automation, notification=None)


def _run(automation: Automation, at: datetime, left: int) -> int:
    """A run of each, the oldest first, as many as there may be now."""
    if not automation.enabled:
        return _give_up(automation, at, _waiting_of(automation), "The automation was paused.")
    late = _waiting_of(automation).filter(at__lt=at - LONGEST_WAIT)
    given_up = _give_up(automation, at, late, "Its turn did not come within an hour.")
    some = list(_waiting_of(automation).order_by("at", "id").values_list("id", flat=True)[: min(left, RUNS_A_TURN)])
    for id in some:
        _tell(automation, at, Firing.objects.filter(id=id))
    return given_up + len(some)


def _give_up(automation: Automation, at: datetime, firings: QuerySet[Firing], why: str) -> int:
    """Do nothing about them, and say why, in one entry for all."""
    if not firings.exists():
        return 0
    own = {"organization_id": automation.organization_id, "workspace_id": automation.workspace_id}
    row = Notification.objects.create(
        **own, automation=automation, created_at=at, tries=[[micros(at), why]], failed=True
    )
    row.firings = firings.update(notification=row)
    row.save(update_fields=["firings"])
    live.changed(workspace_id=automation.workspace_id, what="automations")
    return 1


def _tell(automation: Automation, at: datetime, firings: QuerySet[Firing]) -> None:
    notification = post(automation, at=at)
    notification.firings = firings.update(notification=notification)
    notification.save(update_fields=["firings"])


def post(automation: Automation, *, at: datetime, is_test: bool = False) -> Notification:
    """Make a notification and have it delivered."""
    notification = Notification.objects.create(
        organization_id=automation.organization_id, workspace_id=automation.workspace_id, automation=automation,
        created_at=at, is_test=is_test,
    )  # fmt: skip
    payload = {"notification": str(notification.id)}
    kind = RUN_KIND if "run" in automation.action else KIND
    outbox.post(organization_id=automation.organization_id, kind=kind, payload=payload)
    return notification


def forget(*, limit: int) -> int:
    """Remove firings and notifications of a month ago. Asked by the system, of all tenants."""
    gone = 0
    with connection.cursor() as cursor:
        for table, column in (("automation_firing", "at"), ("automation_notification", "created_at")):
            cursor.execute(
                f"DELETE FROM {table} WHERE (organization_id, id) IN ("
                f"SELECT organization_id, id FROM {table} WHERE {column} < %s ORDER BY {column} LIMIT %s)",
                [now() - KEPT, limit],
            )
            gone = max(gone, cursor.rowcount)
    return gone
