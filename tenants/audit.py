"""Who did what to which object, from where: an entry in the transaction of each change and of each read of a secret.

Entries are sealed by a tick: numbered in each organization without a gap, and chained by SHA-256, each hash covering
the entry and the hash before it (as in RFC 9162's logs and their forebears). Whoever alters, removes or inserts one
later breaks the chain from there on. The database lets `app` insert and read entries, nothing else.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any
from uuid import UUID

from django.db import connection, models
from django.utils.timezone import now

from orchestrator.storable import clean_text, json_value
from tenants import trace
from tenants.models import AuditEntry
from tenants.permissions import Actor
from tenants.scope import system_scope, tenant_scope
from tenants.turns import take_turn

MAX_DETAILS = 16 << 10  # bytes of JSON
SEALED_AT_ONCE = 1_000
BEGINNING = bytes(32)


def record(
    by: Actor,
    action: str,
    object: Any = None,
    *,
    name: str = "",
    workspace_id: UUID | None = None,
    details: dict[str, Any] | None = None,
) -> None:
    """Write down what `by` does, inside the transaction that does it.

    Args:
        action: `thing.verb`, in the past: `block.updated`.
        object: The row that it is done to; its id and, unless `name` is given, its text are kept.
        details: A few JSON values about it, 16 KiB at most. Never a secret.
    """
    entry = AuditEntry.objects.create(
        organization_id=by.organization_id,
        workspace_id=workspace_id or by.workspace_id or getattr(object, "workspace_id", None),
        at=now(),
        action=action,
        actor_kind=by.kind,
        actor=f"run {by.run_id}" if by.run_id else clean_text(by.label, 254),
        user_id=by.user_id,
        details=_bounded(details or {}),
        **about(object, name),
    )
    for hear in _heard_by:
        hear(entry)


def about(object: Any, name: str) -> dict[str, Any]:
    """What the entries of every trail hold of the row that they are about, and of the request that wrote them."""
    thing = object if isinstance(object, models.Model) else None
    return {
        "object_type": thing._meta.db_table[:40] if thing else "",
        "object_id": thing.pk if thing else None,
        "object_name": clean_text(name or (str(thing) if thing else ""), 500),
        "address": trace.address.get(),
        "request_id": trace.request_id.get(),
    }


_heard_by: list[Callable[[AuditEntry], None]] = []


def hears(told: Callable[[AuditEntry], None]) -> Callable[[AuditEntry], None]:
    """Have each entry told to a function, in the transaction that writes it."""
    _heard_by.append(told)
    return told


def _bounded(details: dict[str, Any]) -> dict[str, Any]:
    known = json_value(details)
    return known if len(json.dumps(known)) <= MAX_DETAILS else {"left_out": f"More than {MAX_DETAILS >> 10} KiB."}


# ── sealing ──────────────────────────────────────────────────────────────────────────────────────


def seal_entries(organization_id: UUID) -> int:
    """Number and chain what is not sealed yet, up to 1,000 entries of one organization; answer how many.

    For the login `worker`: `system` alone may alter these rows, and only to seal them.
    """
    with system_scope():
        lock_chain(organization_id)
        number, hash = head(organization_id)
        found = AuditEntry.objects.filter(organization_id=organization_id, number=None).order_by("at", "id")
        entries = list(found[:SEALED_AT_ONCE])
        for entry in entries:
            number += 1
            entry.number, entry.hash = number, chained(hash, entry, number)
            hash = bytes(entry.hash)
        _write_seals(organization_id, entries)
    return len(entries)


def lock_chain(organization_id: UUID) -> None:
    """Let nobody else seal or shorten the chain of an organization while this transaction lasts."""
    take_turn(f"audit {organization_id}")


def head(organization_id: UUID) -> tuple[int, bytes]:
    """The number and the hash of the last sealed entry; 0 and BEGINNING without one."""
    sealed = AuditEntry.objects.filter(organization_id=organization_id, number__isnull=False).order_by("-number")
    last = sealed.values_list("number", "hash").first()
    return (last[0], bytes(last[1])) if last else (0, BEGINNING)


def _write_seals(organization_id: UUID, entries: Sequence[AuditEntry]) -> None:
    if not entries:
        return
    columns = [[entry.id for entry in entries], [entry.number for entry in entries], [entry.hash for entry in entries]]
    with connection.cursor() as cursor:
        cursor.execute(
            "UPDATE audit_entry a SET number = n.number, hash = n.hash"
            " FROM unnest(%s::uuid[], %s::bigint[], %s::bytea[]) n (id, number, hash)"
            " WHERE a.organization_id = %s AND a.id = n.id AND a.number IS NULL",
            [*columns, organization_id],
        )


def organizations_to_seal(most: int = 200) -> list[UUID]:
    """Organizations with entries that are not sealed yet."""
    with system_scope():
        found = AuditEntry.objects.filter(number=None).order_by().values_list("organization_id", flat=True).distinct()
        return list(found[:most])


def chained(before: bytes, entry: AuditEntry, number: int) -> bytes:
    """The hash of an entry at its place in the chain: SHA-256 of the hash before it and of its canonical JSON."""
    text = json.dumps(told(entry) | {"number": number}, sort_keys=True, separators=(",", ":"), ensure_ascii=True)
    return hashlib.sha256(before + text.encode()).digest()


def told(entry: AuditEntry) -> dict[str, Any]:
    """An entry as it is exported and hashed."""
    return {
        "id": str(entry.id),
        "organization": str(entry.organization_id),
        "workspace": str(entry.workspace_id) if entry.workspace_id else None,
        "at": entry.at.astimezone(UTC).isoformat(timespec="microseconds"),
        "action": entry.action,
        "actor_kind": entry.actor_kind,
        "actor": entry.actor,
        "user": str(entry.user_id) if entry.user_id else None,
        "object_type": entry.object_type,
        "object_id": str(entry.object_id) if entry.object_id else None,
        "object_name": entry.object_name,
        "details": entry.details,
        "address": entry.address,
        "request_id": entry.request_id,
        "number": entry.number,
    }


# ── verifying ────────────────────────────────────────────────────────────────────────────────────


@dataclass(frozen=True, slots=True)
class Verdict:
    """What a walk along an organization's chain found.

    `broken_at` is the first number whose entry is not what was sealed (altered, removed before it, or inserted);
    `head` is the hash of the last sound entry, to compare with one that was noted elsewhere. `dropped` counts the first
    entries, which were not kept any longer; `anchor` is the hash of the last of them.
    """

    sealed: int
    unsealed: int
    head: bytes
    broken_at: int | None = None
    dropped: int = 0
    anchor: bytes = BEGINNING


def verify(organization_id: UUID) -> Verdict:
    """Walk the chain of an organization from where it begins. Opens scopes of its own."""
    while True:
        dropped, anchor = _beginning(organization_id)
        verdict = _walk(organization_id, dropped, anchor)
        if verdict.broken_at is None or _beginning(organization_id) == (dropped, anchor):
            return verdict  # Else entries went while we walked.


def _beginning(organization_id: UUID) -> tuple[int, bytes]:
    """The number and the hash before the first entry that is kept."""
    from tenants.audit_keeping import anchor

    with tenant_scope(organization_id):
        found = anchor()
    return (found.number, found.hash) if found else (0, BEGINNING)


def _walk(organization_id: UUID, dropped: int, anchor: bytes) -> Verdict:
    before, expected, broken = anchor, dropped + 1, None
    for entry in _sealed(organization_id):
        if entry.number != expected or chained(before, entry, expected) != bytes(entry.hash or b""):
            broken = expected
            break
        before, expected = bytes(entry.hash or b""), expected + 1
    return Verdict(expected - 1 - dropped, _unsealed(organization_id), before, broken, dropped, anchor)


def _sealed(organization_id: UUID) -> Iterator[AuditEntry]:
    after = 0
    while True:
        with tenant_scope(organization_id):
            rows = list(AuditEntry.objects.filter(number__gt=after).order_by("number")[:SEALED_AT_ONCE])
        yield from rows
        if not rows:
            return
        after = rows[-1].number


def _unsealed(organization_id: UUID) -> int:
    with tenant_scope(organization_id):
        return AuditEntry.objects.filter(number=None).count()


# ── reading ──────────────────────────────────────────────────────────────────────────────────────


@dataclass(frozen=True, slots=True)
class Filter:
    """What of an audit trail is looked at; empty fields leave everything."""

    action: str = ""  # `block.updated`, or `block.` for all that is done to blocks
    actor: str = ""
    object: str = ""  # an id, or the beginning of a name
    since: datetime | None = None
    until: datetime | None = None


def entries(wanted: Filter) -> models.QuerySet[AuditEntry]:
    """The organization's entries that fit, newest first. Call it inside the scope."""
    found = AuditEntry.objects.order_by("-at", "-id")
    if wanted.action:
        found = found.filter(**{"action__startswith" if wanted.action.endswith(".") else "action": wanted.action})
    if wanted.actor:
        found = found.filter(actor__startswith=wanted.actor)
    if wanted.object:
        found = found.filter(_of_object(wanted.object))
    if wanted.since:
        found = found.filter(at__gte=wanted.since)
    return found.filter(at__lt=wanted.until) if wanted.until else found


def _of_object(text: str) -> models.Q:
    try:
        return models.Q(object_id=UUID(text))
    except ValueError:
        return models.Q(object_name__startswith=text)
