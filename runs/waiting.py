"""Agents wait for work without asking: a wake counter per pool, raised on commit, and one subscriber per process.

`GET …/agents/{id}/wait?since=n` answers at once when the counter has moved since n, so no wake-up is lost; else it
waits. It is served on the async side and touches no database.
"""

from __future__ import annotations

from collections.abc import Iterable
from uuid import UUID

from django.db import transaction

COUNTER = "wake:"
CHANNEL = "wake"
KEEP_SECONDS = 86_400 * 30
WAIT_SECONDS = 25.0


def wake_pools(pool_ids: Iterable[UUID]) -> None:
    """Wake those who wait for runs of these pools, once the transaction is committed."""
    ids = sorted(map(str, pool_ids))
    if ids:
        transaction.on_commit(lambda: _wake(ids), robust=True)


def _wake(pool_ids: list[str]) -> None:
    from runs.live import client

    with client().pipeline(transaction=False) as pipeline:
        for pool_id in pool_ids:
            pipeline.incr(COUNTER + pool_id)
            pipeline.expire(COUNTER + pool_id, KEEP_SECONDS)
            pipeline.publish(CHANNEL, pool_id)
        pipeline.execute()
