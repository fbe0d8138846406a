"""A bucket's usage, proved before its rows may go: the days add up to what a recount of the rows says.

A bucket holds the runs that were first seen on one day, in one class of retention. It is closed once none of its runs
is alive and none of their attempts may speak any more (`streams.SEALED_AFTER` after its end), so that nothing can come
between the recount and the seal. Words that came late stand in the day on which they were received; the seal covers all
days of the bucket's runs.
"""

from __future__ import annotations

import hashlib
import json
import logging
from collections import defaultdict
from datetime import datetime, timedelta
from uuid import UUID

from django.db import connection
from django.utils.timezone import now

from runs import partitions
from runs.ingest.streams import SEALED_AFTER
from runs.usage import tags
from runs.usage.recount import METERS, Bucket, Meters, Root, by_workspace, roots_of
from tenants.billing.models import TagDay, UsageDay, UsageSeal
from tenants.models import Workspace

logger = logging.getLogger(__name__)
AT_ONCE = 200  # buckets of one tick
AGAIN_AFTER = timedelta(days=1)  # A bucket that did not match is looked at again.
SEAL_SECONDS = 600  # A large bucket takes its time; it runs on the queue for slow work.

_DUE = """
    SELECT DISTINCT d.organization_id, d.retention, d.bucket FROM usage_day d
    WHERE d.retention = %s AND d.bucket >= %s AND d.bucket < %s AND NOT EXISTS (
        SELECT 1 FROM usage_seal s
        WHERE s.organization_id = d.organization_id AND s.retention = d.retention AND s.bucket = d.bucket
        AND (s.matches OR s.checked_at > %s)
    )
    LIMIT %s
"""

# Alive, or with an attempt that may still speak; or deleted, with rows that are still being removed.
_OPEN = """
    SELECT EXISTS (
        SELECT 1 FROM workspace w JOIN flow_run r ON r.organization_id = w.organization_id AND r.workspace_id = w.id
        WHERE r.created_at >= %(start)s AND r.created_at < %(end)s AND r.retention = %(retention)s
            AND r.root_id = r.id AND (
            r.ended_at IS NULL
            OR EXISTS (
                SELECT 1 FROM attempt a WHERE a.run_id = r.id AND (a.ended_at IS NULL OR a.ended_at > %(sealed)s)
            )
        )
    ) OR EXISTS (SELECT 1 FROM usage_delta WHERE retention = %(retention)s AND bucket = %(bucket)s)
    OR EXISTS (
        SELECT 1 FROM deleted_run WHERE retention = %(retention)s AND bucket = %(bucket)s AND cleared_at IS NULL
    )
"""


def due(at: datetime) -> list[tuple[UUID, int, str]]:
    """(organization, retention, bucket) of what may be sealed. Asked in the system's scope."""
    found: list[tuple[UUID, int, str]] = []
    youngest = (at - SEALED_AFTER).date()
    with connection.cursor() as cursor:
        starts = {leaf.days: leaf.start for leaf in reversed(partitions.existing(cursor))}  # the oldest of each class
        for days, oldest in starts.items():
            cursor.execute(_DUE, [days, oldest, youngest, at - AGAIN_AFTER, AT_ONCE - len(found)])
            found += [(organization, days, bucket.isoformat()) for organization, days, bucket in cursor]
    return found


def seal(organization_id: UUID, bucket: Bucket) -> UsageSeal | None:
    """Compare a bucket's days with its rows and write down what came of it; None while it is open.

    Call it inside the organization's scope. A bucket that does not match keeps its partition, and the installation's
    checks say so.
    """
    with connection.cursor() as cursor:
        cursor.execute(f"SET LOCAL statement_timeout = '{SEAL_SECONDS}s'")
        start, end = bucket.span
        place = {"start": start, "end": end, "retention": bucket.retention, "bucket": bucket.day}
        cursor.execute(_OPEN, place | {"sealed": now() - SEALED_AFTER})
        if cursor.fetchone()[0]:
            return None
    days = list(UsageDay.objects.filter(retention=bucket.retention, bucket=bucket.day))
    roots = roots_of(bucket)
    recounted, booked = by_workspace(roots), _by_workspace(days)
    if recounted != booked:
        told = f"{bucket.day} kept for {bucket.retention} days, organization {organization_id}"
        logger.error(
            "usage does not match its rows, which are kept: %s: %s booked, %s recounted", told, booked, recounted
        )
    tags_match = _tags_match(bucket, roots)
    if not tags_match:
        logger.error("usage by tag does not match its rows: %s, organization %s", bucket, organization_id)
    found, _ = UsageSeal.objects.update_or_create(
        organization_id=organization_id, retention=bucket.retention, bucket=bucket.day,
        defaults={
            "matches": recounted == booked, "tags_match": tags_match, "sha256": digest(days), "checked_at": now(),
            "recounted": {str(workspace): meters for workspace, meters in recounted.items()},
        },
    )  # fmt: skip
    return found


def _tags_match(bucket: Bucket, roots: list[Root]) -> bool:
    days = TagDay.objects.filter(retention=bucket.retention, bucket=bucket.day)
    present = Workspace.objects.values("id")  # The runs of those that are gone went with them.
    return tags.agree(tags.booked(days.filter(workspace_id__in=present)), tags.recounted(roots))


def digest(days: list[UsageDay]) -> str:
    """The SHA-256 of a bucket's days, written as JSON lines in their order."""
    lines = sorted(
        json.dumps(
            [
                day.day.isoformat(),
                str(day.workspace_id),
                str(day.deployment_id or ""),
                *(int(getattr(day, meter)) for meter in METERS),
            ]
        )
        for day in days
    )
    return hashlib.sha256("\n".join(lines).encode()).hexdigest()


def _by_workspace(days: list[UsageDay]) -> dict[UUID, Meters]:
    """What the days say, of workspaces that are still there: the runs of others went with them."""
    present = set(Workspace.objects.values_list("id", flat=True))
    sums: dict[UUID, Meters] = defaultdict(lambda: dict.fromkeys(METERS, 0))
    for day in days:
        for meter in METERS:
            sums[day.workspace_id][meter] += int(getattr(day, meter))
    return {id: meters for id, meters in sums.items() if id in present and any(meters.values())}
