"""That runs of backfills have ended, so that the next ones are made at once: ids in Redis, taken by the tick.

A lost word costs time, never a run: a rarer tick looks for backfills that have room (`working.find_missed`).
"""

from __future__ import annotations

from collections.abc import Collection
from uuid import UUID

from django.db import transaction

from runs.messenger import client, messenger

KEY = "backfills"  # a set of ids


def ended(backfills: Collection[UUID]) -> None:
    """Say that runs of these backfills have ended, once the transaction is committed."""
    if backfills:
        ids = sorted(map(str, backfills))
        transaction.on_commit(lambda: messenger.send(lambda redis: redis.sadd(KEY, *ids)), robust=True)


def take(*, limit: int) -> list[UUID]:
    """The backfills of which runs have ended since this was asked last."""
    return [UUID(id.decode()) for id in client().spop(KEY, limit) or ()]


def put_back(backfills: Collection[UUID]) -> None:
    """Say it once more, of backfills that somebody is at in this moment and may have counted before."""
    if backfills:
        ids = sorted(map(str, backfills))
        messenger.send(lambda redis: redis.sadd(KEY, *ids))
