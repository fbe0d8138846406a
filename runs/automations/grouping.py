"""Firings become notifications: each one its own while they are few, a storm in one.

An automation has an allowance of notifications a minute. The last one of it takes all that waits, and what fires
meanwhile waits for the next: a storm of 10,000 failing runs is told in a handful of messages, and at once.
"""

from __future__ import annotations

from collections.abc import Collection
from datetime import datetime, timedelta
from uuid import UUID

from django.db import connection
from django.utils.timezone import now

from runs.models import Automation, Firing, Notification
from tenants import outbox

KIND = "notification"  # in the outbox
WINDOW = timedelta(minutes=1)
KEPT = timedelta(days=30)

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
    firings = Firing.objects.filter(automation=automation, notification=None).order_by("at", "id")
    some = list(firings.values_list("id", flat=True)[: left + 1])
    alone = some if len(some) <= left else some[: left - 1]
    for id in alone:
        _tell(automation, at, Firing.objects.filter(id=id))
    if len(some) > left:
        _tell(automation, at, Firing.objects.filter(automation=automation, notification=None))
    return min(len(some), left)


def _tell(automation: Automation, at: datetime, firings: object) -> None:
    notification = post(automation, at=at)
    notification.firings = firings.update(notification=notification)  # type: ignore[attr-defined]
    notification.save(update_fields=["firings"])


def post(automation: Automation, *, at: datetime, is_test: bool = False) -> Notification:
    """Make a notification and have it delivered."""
    notification = Notification.objects.create(
        organization_id=automation.organization_id, workspace_id=automation.workspace_id, automation=automation,
        created_at=at, is_test=is_test,
    )  # fmt: skip
    payload = {"notification": str(notification.id)}
    outbox.post(organization_id=automation.organization_id, kind=KIND, payload=payload)
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
