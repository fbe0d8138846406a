"""How long an audit trail is kept, and what proves that nothing else was taken from it.

Old entries go from the front of the chain only. The same transaction leaves an entry `audit.truncated` that names the
number and the hash of the last one that went: the anchor. The chain of what is left begins with that hash, and the
anchor is itself an entry of that chain. Whoever noted a head before, or exported the trail, finds the anchor's hash
there.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from uuid import UUID

from django.conf import settings
from django.db import connection
from django.utils.timezone import now

from tenants import audit
from tenants.models import AuditEntry
from tenants.permissions import Actor
from tenants.scope import system_scope

TRUNCATED = "audit.truncated"
AT_ONCE = 1_000


@dataclass(frozen=True, slots=True)
class Anchor:
    """The last entry that went: its number, its hash, and the time before which all went."""

    number: int
    hash: bytes
    before: datetime


def kept_since(at: datetime | None = None) -> datetime | None:
    """The day before which entries go; None when they are kept for ever."""
    if not settings.AUDIT_DAYS:
        return None
    day = (at or now()).astimezone(UTC).replace(hour=0, minute=0, second=0, microsecond=0)
    return day - timedelta(days=settings.AUDIT_DAYS)


# The newest sealed entry always stays: the next one is chained to it.
_WITH_OLD_ENTRIES = """
    SELECT o.id FROM organization o WHERE EXISTS (
        SELECT 1 FROM audit_entry a WHERE a.organization_id = o.id AND a.at < %s
            AND a.number < (SELECT max(b.number) FROM audit_entry b WHERE b.organization_id = o.id)
    ) LIMIT %s
"""


def organizations_to_truncate(before: datetime, most: int = 200) -> list[UUID]:
    """Organizations with sealed entries from before a time."""
    with system_scope(), connection.cursor() as cursor:
        cursor.execute(_WITH_OLD_ENTRIES, [before, most])
        return [id for (id,) in cursor.fetchall()]


def truncate(organization_id: UUID, before: datetime) -> int:
    """Let the oldest entries go, 1,000 at most, and leave their anchor; answer how many went.

    For the login `worker`: `system` alone may remove these rows.
    """
    with system_scope():
        audit.lock_chain(organization_id)
        last = _last_to_go(organization_id, before)
        if last is None:
            return 0
        number, hash = last
        going = AuditEntry.objects.filter(organization_id=organization_id, number__lte=number)
        gone, _ = going.delete()
        told = {"through": number, "hash": hash.hex(), "before": before.isoformat(), "entries": gone}
        by = Actor("system", organization_id, None, "", f"kept for {settings.AUDIT_DAYS:g} days")
        audit.record(by, TRUNCATED, details=told)
    return gone


def _last_to_go(organization_id: UUID, before: datetime) -> tuple[int, bytes] | None:
    """Number and hash of the last of the first entries that are all older."""
    sealed = AuditEntry.objects.filter(organization_id=organization_id, number__isnull=False).order_by("number")
    last = None
    newest, _ = audit.head(organization_id)
    for number, hash, at in sealed.values_list("number", "hash", "at")[:AT_ONCE]:
        if at >= before or number == newest:
            break
        last = number, bytes(hash)
    return last


def anchor() -> Anchor | None:
    """Where the chain begins that is left; None when it is whole. Call it inside the organization's scope."""
    found = AuditEntry.objects.filter(action=TRUNCATED, actor_kind="system").order_by("-at", "-id").first()
    if found is None:
        return None
    told = found.details
    return Anchor(told["through"], bytes.fromhex(told["hash"]), datetime.fromisoformat(told["before"]))
