"""When a month may be closed: it is over, and everything that was received in it stands in its days."""

from __future__ import annotations

import logging
from uuid import UUID

from django.db import connection
from django.utils.timezone import now

from tenants.billing.models import Invoice
from tenants.billing.months import Month
from tenants.billing.statements import GRACE, close_month
from tenants.errors import Conflict
from tenants.scope import system_scope, tenant_scope

logger = logging.getLogger(__name__)
AT_ONCE = 1_000
LOOKED_BACK = 3  # months: an installation that was down for one makes up for it

# Whoever had a plan of their own choice in the month, and no invoice of it. Who was deleted before owes nothing of it.
_OPEN = """
    SELECT DISTINCT s.organization_id FROM subscription s
    JOIN organization o ON o.id = s.organization_id AND (o.deleted_at IS NULL OR o.deleted_at >= %s)
    WHERE s.begins_at < %s AND s.plan <> 'free' AND NOT EXISTS (
        SELECT 1 FROM invoice i WHERE i.organization_id = s.organization_id AND i.month = %s
    ) AND NOT EXISTS (
        SELECT 1 FROM subscription n
        WHERE n.organization_id = s.organization_id AND n.begins_at > s.begins_at AND n.begins_at <= %s
    )
    LIMIT %s
"""


def open_months(month: Month) -> list[UUID]:
    """The organizations that owe a month and have no invoice of it. Asked in the system's scope."""
    with connection.cursor() as cursor:
        cursor.execute(_OPEN, [month.start, month.end, month.first, month.start, AT_ONCE])
        return [id for (id,) in cursor.fetchall()]


def is_complete(month: Month) -> bool:
    """Say whether all usage of a month stands in its days. Asked in the scope of one organization."""
    with connection.cursor() as cursor:
        cursor.execute("SELECT NOT EXISTS (SELECT 1 FROM usage_delta WHERE t < %s)", [month.end])
        return cursor.fetchone()[0]


def close(organization_id: UUID, month: Month) -> Invoice | None:
    """Close a month of one organization, in its scope; None where nothing is owed.

    Raises:
        Conflict: The month is not over, or some of its usage stands in no day yet.
    """
    if not is_complete(month):
        raise Conflict("Some usage of the month is not added up yet. The tick roll_up_usage does it.")
    return close_month(organization_id, month)


def close_last_months() -> list[Invoice]:
    """Close the last month, and before it those that could not be closed in their time."""
    months = [Month.of(now()).former]
    while len(months) < LOOKED_BACK:
        months.append(months[-1].former)
    return [invoice for month in reversed(months) for invoice in close_all(month)]


def close_all(month: Month) -> list[Invoice]:
    """Close a month of everybody who owes it; who can't be closed now is tried again."""
    if now() < month.end + GRACE:
        return []
    with system_scope():
        found = open_months(month)
    invoices = []
    for organization_id in found:
        try:
            with tenant_scope(organization_id):
                invoices.append(close(organization_id, month))
        except Exception:  # One organization's trouble must not keep the others' invoices.
            logger.exception("%s of organization %s could not be closed; it is tried again", month, organization_id)
    return [invoice for invoice in invoices if invoice is not None]
