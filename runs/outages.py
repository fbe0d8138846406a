"""When it was the platform that was silent, nobody is judged for it: leases go on where they were.

The tick that judges leases says first that it is alive. After a longer gap between two such words (the machine slept,
the workers were stopped, the clock was set forward) every expiry moves forward by the gap and the time of one lease
before anything is swept. Where the last word is still to come, the clock was set back: `runs/set_back.py`.
"""

from __future__ import annotations

import logging
from datetime import timedelta

from django.db import connection
from django.utils.timezone import now

from runs import set_back
from runs.claims import lease_time, take_slots_again
from runs.messenger import client
from runs.models.definitions import CONNECTED_WITHIN
from runs.slots import queue
from tenants.scope import system_scope

logger = logging.getLogger(__name__)
ALIVE = "platform_alive"  # when we last were, in seconds UTC
BACK = "platform_back"  # there for a while after an outage
NOTICED = 10.0  # seconds: a shorter gap is no outage
DOUBT = "platform_doubt"  # there for a while after a gap that may be a wrong clock
DOUBTFUL = 86_400.0  # seconds: a longer gap may be one
DOUBTED_WITHIN = timedelta(hours=6)

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
    gap = _gap()
    if gap is None or abs(gap) > NOTICED:
        _make_up_for(gap)
        client().set(BACK, "1", ex=CONNECTED_WITHIN)
    client().set(ALIVE, f"{now().timestamp():.3f}")


def is_over_lately() -> bool:
    """True while agents have not had the time to be heard of again."""
    return bool(client().exists(BACK))


def clock_is_in_doubt() -> bool:
    """True for some hours after the clock has gone on by days: by a wrong one nothing that is kept for days may go."""
    return bool(client().exists(DOUBT)) or (_gap() or 0) > DOUBTFUL


def _gap() -> float | None:
    """Seconds since the platform said that it is alive; None, if that is unknown."""
    before = client().get(ALIVE)
    return now().timestamp() - float(before) if before else None


def _make_up_for(gap: float | None) -> None:
    if gap is None or gap > 0:
        _forgive(timedelta(seconds=gap) + lease_time() if gap else timedelta())
    else:
        logger.warning("The clock was set back by %.0f s. What was written by it comes back with it.", -gap)
        _come_back(timedelta(seconds=-gap))
        client().delete(DOUBT)  # Redis forgets by the same clock.
    if gap is not None and gap > DOUBTFUL:
        logger.warning("The clock went on by %.0f s. What is too old stays for another %s.", gap, DOUBTED_WITHIN)
        client().set(DOUBT, "1", ex=DOUBTED_WITHIN)


def _come_back(by: timedelta) -> None:
    with system_scope():
        set_back.come_back(by)


def _forgive(longer: timedelta) -> None:
    with system_scope(), connection.cursor() as cursor:
        at = now()
        cursor.execute(_MOVE_ON, [longer, at + lease_time(), at])
        queue.forgive(longer, at)
        take_slots_again(None, until=at + max(longer, lease_time()))
