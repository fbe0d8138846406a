"""A granted slot is told to the process that waits: a line in a short log of its own, and a word to look into it.

The logs are streams of Redis. Who reads one says where it has come to, so that an answer that is lost is given again.
A word that is lost costs time: each process asks from time to time what it holds (`exchange.py`).
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable
from typing import Any
from uuid import UUID

from django.db import transaction

from runs.messenger import messenger

LOG = "slots:"  # + workspace id : session id
CHANNEL = "slots"
KEPT = 1_000  # lines of one log, or a few more
KEEP_SECONDS = 600
GRANTED, LOST = "g", "l"


def log_of(workspace_id: UUID, session_id: UUID) -> str:
    """The name of the log of one process."""
    return f"{LOG}{workspace_id}:{session_id}"


def tell(
    workspace_id: UUID, *, granted: Iterable[tuple[UUID, UUID]] = (), lost: Iterable[tuple[UUID, UUID]] = ()
) -> None:
    """Tell processes, once the transaction is committed, which of their asks were granted or taken away.

    Args:
        granted: (session, ask) of those that hold their slots from now on.
        lost: The same of those whose slots somebody took away.
    """
    lines: defaultdict[UUID, defaultdict[str, list[str]]] = defaultdict(lambda: defaultdict(list))
    for field, told in ((GRANTED, granted), (LOST, lost)):
        for session, ask in told:
            lines[session][field].append(str(ask))
    if lines:
        logs = {log_of(workspace_id, session): fields for session, fields in lines.items()}
        transaction.on_commit(lambda: messenger.send(lambda redis: _write(redis, logs)), robust=True)


def _write(redis: Any, logs: dict[str, defaultdict[str, list[str]]]) -> None:
    for log, fields in logs.items():
        redis.xadd(log, {field: ",".join(asks) for field, asks in fields.items()}, maxlen=KEPT, approximate=True)
        redis.expire(log, KEEP_SECONDS)
        redis.publish(CHANNEL, log)
