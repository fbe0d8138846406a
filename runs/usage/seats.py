"""Seats: how many people an organization has, the most at one time of each day (UTC), looked at once a minute."""

from __future__ import annotations

from datetime import date

from django.db import connection

_NOTE = """
    INSERT INTO meter_day AS d (organization_id, id, day, meter, workspace_id, kind, amount)
    SELECT m.organization_id, gen_random_uuid(), %s, 'seats', NULL, '', count(*)
    FROM membership m JOIN person p ON p.id = m.user_id JOIN organization o ON o.id = m.organization_id
    WHERE p.is_active AND o.deleted_at IS NULL GROUP BY 1
    ON CONFLICT (organization_id, day, meter, workspace_id, kind) DO UPDATE SET amount = excluded.amount
    WHERE d.amount < excluded.amount
"""


def note(today: date) -> None:
    """Write down how many people each organization has, where they are more than before. In the system's scope."""
    with connection.cursor() as cursor:
        cursor.execute(_NOTE, [today])
