"""What is to be sent: rows written in the transaction of what they tell of, delivered after it by workers.

    outbox.post(organization_id=…, kind="mail", payload={…})      # in the caller's transaction

    @outbox.delivers("mail")
    def deliver(message: Message) -> None: …                      # in a worker, outside of any transaction

A tick looks for what is due each second, so a request waits for no broker and a lost word delays nothing. A message is
claimed by one statement (SKIP LOCKED): the claim counts as a try and runs out, so the message of a worker that died is
taken again. What can't be taken back is therefore told at least once; a deliverer that must be recognised sends the id
of the row along.
"""

from __future__ import annotations

import json
import logging
from collections.abc import Callable
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from typing import Any
from uuid import UUID

from django.db import connection
from django.utils.timezone import now

from orchestrator.chance import chance
from orchestrator.ids import uuid7
from orchestrator.storable import clean_text
from tenants.encryption import seal, unseal
from tenants.models import OutboxMessage
from tenants.outbound import without_secrets
from tenants.scope import tenant_scope

logger = logging.getLogger(__name__)
MAX_PAYLOAD = 64 << 10  # bytes
MAX_TRIES = 12  # some four hours
CLAIM = timedelta(minutes=3)  # longer than any deliverer may take
FIRST_DELAY, LONGEST_DELAY = 5.0, 3600.0  # seconds
AT_ONCE = 2  # messages of one organization under way: one whose receivers hang must leave workers to the others
KEPT = timedelta(days=7)
KEPT_FAILED = timedelta(days=30)


class GiveUp(Exception):
    """A deliverer knows that trying again is of no use, and says why."""


@dataclass(frozen=True, slots=True)
class Message:
    """A message as its deliverer gets it. `id` is the same at every try."""

    organization_id: UUID
    id: UUID
    kind: str
    payload: dict[str, Any]
    tries: int
    sealed: bytes = b""

    @property
    def is_last_try(self) -> bool:
        """True when a failure is the end of it."""
        return self.tries >= MAX_TRIES


Deliverer = Callable[[Message], None]
_deliverers: dict[str, Deliverer] = {}


def delivers(kind: str) -> Callable[[Deliverer], Deliverer]:
    """Register a function that sends messages of a kind. It raises what went wrong, or GiveUp."""

    def register(deliverer: Deliverer) -> Deliverer:
        _deliverers[kind] = deliverer
        return deliverer

    return register


def post(
    *,
    organization_id: UUID,
    kind: str,
    payload: dict[str, Any],
    secret: dict[str, Any] | None = None,
    key: str | None = None,
    after: datetime | None = None,
) -> UUID | None:
    """Have something delivered once the caller's transaction is committed. Call it inside the tenant's scope.

    Args:
        payload: JSON of at most 64 KiB. It names what is secret (a block, a key), it never holds it.
        secret: More of the payload, which lies in the row sealed until it is delivered.
        key: Of several messages with one key only the first is taken, while that one is remembered (a week).
        after: Not before this time.

    Returns:
        The id of the row; None when the key was known.
    """
    id, body, hidden = uuid7(), json.dumps(payload), json.dumps(secret or {})
    if len(body) + len(hidden) > MAX_PAYLOAD:
        raise ValueError(f"A message of the kind {kind} has more than {MAX_PAYLOAD} bytes")
    sealed = seal(organization_id, hidden.encode(), _place(id)) if secret else None
    with connection.cursor() as cursor:
        cursor.execute(_INSERT, [organization_id, id, kind, body, sealed, key, after or now(), now()])
        return id if cursor.rowcount else None


def _place(id: UUID) -> str:
    return f"outbox_message/{id}"


_INSERT = """
    INSERT INTO outbox_message (
        organization_id, id, kind, payload, sealed, key, next_try_at, created_at, tries, failed, error)
    VALUES (%s, %s, %s, %s, %s, %s, %s, %s, 0, false, '') ON CONFLICT DO NOTHING
"""

# One row an organization, by skipping from each to the next in the index: a thousand waiting messages of one cost
# no more than one.
_DUE = """
    WITH RECURSIVE next AS (
        (SELECT organization_id, next_try_at FROM outbox_message
            WHERE done_at IS NULL ORDER BY organization_id, next_try_at LIMIT 1)
        UNION ALL
        SELECT m.organization_id, m.next_try_at FROM next, LATERAL (
            SELECT organization_id, next_try_at FROM outbox_message
            WHERE done_at IS NULL AND organization_id > next.organization_id
            ORDER BY organization_id, next_try_at LIMIT 1) m
    )
    SELECT organization_id FROM next WHERE next_try_at <= %s
"""


def due(at: datetime) -> list[UUID]:
    """The organizations that have something to be delivered, in any order. Asked by the system."""
    with connection.cursor() as cursor:
        cursor.execute(_DUE, [at])
        found = [id for (id,) in cursor.fetchall()]
    chance.shuffle(found)  # Nobody is always the last one.
    return found


_CLAIM = """
    UPDATE outbox_message SET tries = tries + 1, claimed_at = %(at)s, next_try_at = %(until)s
    WHERE done_at IS NULL AND id = (
        SELECT id FROM outbox_message
        WHERE done_at IS NULL AND next_try_at <= %(at)s AND %(at_once)s > (
            SELECT count(*) FROM outbox_message
            WHERE claimed_at IS NOT NULL AND done_at IS NULL AND next_try_at > %(at)s)
        ORDER BY next_try_at LIMIT 1 FOR UPDATE SKIP LOCKED)
    RETURNING id, kind, payload, sealed, tries
"""


def claim(organization_id: UUID) -> Message | None:
    """Take the message that waits the longest; None when nothing is due or enough is under way."""
    at = now()
    with tenant_scope(organization_id), connection.cursor() as cursor:
        cursor.execute(_CLAIM, {"at": at, "until": at + CLAIM, "at_once": AT_ONCE})
        row = cursor.fetchone()
    if row is None:
        return None
    id, kind, body, sealed, tries = row
    return Message(organization_id, id, kind, json.loads(body), tries, bytes(sealed or b""))


def deliver(message: Message) -> bool:
    """Send a message that was claimed, and note how that went. No transaction is open meanwhile."""
    try:
        if message.tries > MAX_TRIES:
            raise GiveUp("Each worker that tried to send it died.")
        _deliverer(message.kind)(_opened(message))
    except Exception as error:  # Whatever a receiver does to us: it is noted, and tried again.
        logger.info("a message of the kind %s was not delivered: %s", message.kind, _told(error))
        _note_failure(message, error)
        return False
    _note(message, done_at=now(), error="")
    return True


def _opened(message: Message) -> Message:
    if not message.sealed:
        return message
    with tenant_scope(message.organization_id):
        hidden = unseal(message.organization_id, message.sealed, _place(message.id))
    return replace(message, payload=message.payload | json.loads(hidden), sealed=b"")


def _deliverer(kind: str) -> Deliverer:
    if kind not in _deliverers:
        raise LookupError(f"Nobody here delivers messages of the kind {kind}.")
    return _deliverers[kind]


def _note_failure(message: Message, error: Exception) -> None:
    told = _told(error)
    if message.is_last_try or isinstance(error, GiveUp):
        logger.warning("a message of the kind %s is given up after %d tries: %s", message.kind, message.tries, told)
        _note(message, done_at=now(), error=told, failed=True)
    else:
        _note(message, next_try_at=now() + timedelta(seconds=delay(message.tries)), error=told)


def _note(message: Message, **changes: Any) -> None:
    """Give the claim back, unless it ran out and somebody else has the message now."""
    with tenant_scope(message.organization_id):
        own = OutboxMessage.objects.filter(id=message.id, tries=message.tries, done_at=None)
        own.update(claimed_at=None, **changes, **({"sealed": None} if "done_at" in changes else {}))


def delay(tries: int) -> float:
    """Seconds until the next try: doubled each time, up to an hour, and spread by a half."""
    return min(FIRST_DELAY * 2 ** (tries - 1), LONGEST_DELAY) * chance.uniform(0.5, 1.5)


def _told(error: Exception) -> str:
    text = str(error) if isinstance(error, GiveUp) else f"{type(error).__name__}: {error}"
    return clean_text(without_secrets(text), 1_000)


def forget(*, limit: int) -> int:
    """Remove what was delivered a week ago, or given up a month ago. Asked by the system, of all tenants."""
    with connection.cursor() as cursor:
        cursor.execute(
            "DELETE FROM outbox_message WHERE (organization_id, id) IN (SELECT organization_id, id FROM outbox_message"
            " WHERE done_at < %s AND (NOT failed OR done_at < %s) ORDER BY done_at LIMIT %s)",
            [now() - KEPT, now() - KEPT_FAILED, limit],
        )
        return cursor.rowcount
