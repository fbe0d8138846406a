"""When it was the platform that was silent, nobody is judged for it: leases go on where they were.

The tick that judges leases says first that it is alive. After a longer gap between two such words (the machine slept,
the workers were stopped) every expiry moves forward by the gap and the time of one lease before anything is swept.
"""

from __future__ import annotations

from datetime import timedelta

from django.db import connection
from django.utils.timezone import now

from runs.claims import lease_time, take_slots_again
from runs.messenger import client
from runs.models.definitions import CONNECTED_WITHIN
from runs.slots import queue
from tenants.scope import system_scope

ALIVE = "platform_alive"  # when we last were, in seconds UTC
BACK = "platform_back"  # there for a while after an outage
NOTICED = 10.0  # seconds: a shorter gap is no outage

# Without waiting: whom somebody works on in this moment has been heard of.
_MOVE_ON = """
    UPDATE lease l SET expires_at = greatest(l.expires_at + %s, %s)
    FROM (
        SELECT organization_id, id FROM lease WHERE limit_id IS NULL OR expires_at > %s FOR UPDATE SKIP LOCKED
    ) free
    WHERE (l.organization_id, l.id) = (free.organization_id, free.id)
"""


def note_alive() -> None:
    """Say that the platform is there; forgive the silence of a time in which it was not.

    Without a former word (a new or an emptied Redis) nobody knows how long it was: everybody has one lease time more.
    The word is written last: two ticks at once forgive twice rather than judge too early.
    """
    before = client().get(ALIVE)
    gap = now().timestamp() - float(before) if before else None
    if gap is None or gap > NOTICED:
        _forgive(timedelta(seconds=gap) + lease_time() if gap else timedelta())
        client().set(BACK, "1", ex=CONNECTED_WITHIN)
    client().set(ALIVE, f"{now().timestamp():.3f}")


def is_over_lately() -> bool:
    """True while agents have not had the time to be heard of again."""
    return bool(client().exists(BACK))


def _forgive(longer: timedelta) -> None:
    with system_scope(), connection.cursor() as cursor:
        at = now()
        cursor.execute(_MOVE_ON, [longer, at + lease_time(), at])
        queue.forgive(longer, at)
        take_slots_again(None, until=at + max(longer, lease_time()))
