"""Exports: an owner asks, a worker makes the zip outside of requests, owners fetch it for a week.

It lies in the database in pieces of 1 MiB, so that any web machine can give it out, wherever the worker ran. An
organization has one that is being made and one that is ready, the newest; their size is bounded by EXPORT_MAX_BYTES.
A worker that dies lets its claim run out, and another one begins anew.
"""

from __future__ import annotations

import logging
from collections.abc import Iterator
from datetime import datetime, timedelta
from uuid import UUID

from django.conf import settings
from django.db import IntegrityError, connection, transaction
from django.db.models import Q, QuerySet
from django.urls import reverse
from django.utils.timezone import now

from tenants import audit, mail
from tenants.errors import Conflict, NotFound, TooLarge
from tenants.leaving import archive
from tenants.leaving.models import Export, ExportChunk
from tenants.models import Organization
from tenants.permissions import Actor, require
from tenants.scope import system_scope, tenant_scope

logger = logging.getLogger(__name__)
KEPT = timedelta(days=7)
CLAIM = timedelta(minutes=3)  # Renewed with each piece.
MAX_TRIES = 3
AT_ONCE = 2  # of the installation
CHUNKS_AT_ONCE = 50  # removed by one transaction


class ClaimLost(Exception):
    """Another worker has it now, or it is gone."""


@transaction.atomic
def ask(*, organization: Organization, email: str, by: Actor) -> Export:
    """Have an export made. Call it inside the organization's scope.

    Args:
        email: Who is told when it is ready.

    Raises:
        Conflict: One is being made.
    """
    require(by, "organization.export", organization)
    try:
        with transaction.atomic():
            asked = Export.objects.create(organization_id=organization.id, asked_by=by.label[:254], email=email)
    except IntegrityError:
        raise Conflict("An export is being made. A mail says when it is ready.") from None
    audit.record(by, "export.requested", asked, name=organization.name)
    return asked


def shown() -> list[Export]:
    """The organization's exports of the last week, newest first."""
    return list(Export.objects.filter(asked_at__gt=now() - KEPT).order_by("-asked_at")[:5])


def find(id: UUID) -> Export:
    """One that can be fetched.

    Raises:
        NotFound: It is not ready, or no longer kept.
    """
    found = Export.objects.filter(id=id, ready_at__gt=now() - KEPT).first()
    if found is None:
        raise NotFound("There is no such export. It is kept for 7 days.")
    return found


def pieces(export: Export) -> Iterator[bytes]:
    """The zip, each piece read in a transaction of its own: a slow reader holds none open."""
    number = 0
    while True:
        with tenant_scope(export.organization_id):
            own = ExportChunk.objects.filter(export_id=export.id, number=number)
            piece = own.values_list("content", flat=True).first()
        if piece is None:
            return
        yield bytes(piece)
        number += 1


# ── made by a worker ─────────────────────────────────────────────────────────────────────────────


def due(at: datetime) -> list[tuple[UUID, UUID]]:
    """(organization, id) of what waits for a worker; no more than may be made at once. Asked in the system's scope."""
    unmade = Export.objects.filter(ready_at=None, failed_at=None)
    free = AT_ONCE - unmade.filter(claimed_until__gte=at).count()
    waiting = unmade.filter(Q(claimed_until=None) | Q(claimed_until__lt=at)).order_by("asked_at")
    return list(waiting.values_list("organization_id", "id")[: max(free, 0)])


def make(organization_id: UUID, id: UUID) -> bool:
    """Make the zip, if nobody else is at it; True when it is ready. Opens scopes of its own."""
    export = _claim(organization_id, id)
    if export is None:
        return False
    try:
        _remove_pieces(export)
        made = archive.Pieces(lambda number, piece: _keep(export, number, piece), settings.EXPORT_MAX_BYTES)
        counts = archive.write(organization_id, made)
        sha256 = made.end()
    except ClaimLost:
        return False
    except TooLarge as problem:
        _fail(export, problem.message)
        return False
    _end(export, size=made.size, sha256=sha256, counts=counts)
    return True


def _claim(organization_id: UUID, id: UUID) -> Export | None:
    with tenant_scope(organization_id):
        unmade = Export.objects.select_for_update().filter(id=id, ready_at=None, failed_at=None)
        export = unmade.filter(Q(claimed_until=None) | Q(claimed_until__lt=now())).first()
        if export is None:
            return None
        export.tries += 1
        export.claimed_until = now() + CLAIM
        export.save(update_fields=["tries", "claimed_until"])
    if export.tries > MAX_TRIES:
        _fail(export, "Each worker that began it was stopped. The installation's log says more.")
        return None
    return export


def _keep(export: Export, number: int, piece: bytes) -> None:
    with tenant_scope(export.organization_id):
        if not _own(export).update(claimed_until=now() + CLAIM):
            raise ClaimLost
        ExportChunk.objects.create(
            organization_id=export.organization_id, export_id=export.id, number=number, content=piece
        )


def _own(export: Export) -> QuerySet[Export]:
    """Its row, as long as it is this worker's, and nobody has ended it."""
    return Export.objects.filter(id=export.id, tries=export.tries, ready_at=None, failed_at=None)


def _remove_pieces(export: Export) -> None:
    """What a worker that died has left."""
    while True:
        with tenant_scope(export.organization_id):
            rows = ExportChunk.objects.filter(export_id=export.id).values_list("id", flat=True)[:CHUNKS_AT_ONCE]
            if not ExportChunk.objects.filter(id__in=list(rows)).delete()[0]:
                return


def _fail(export: Export, why: str) -> None:
    logger.warning("the export %s failed: %s", export.id, why)
    with tenant_scope(export.organization_id):
        if not _own(export).update(failed_at=now(), claimed_until=None, error=why[:500]):
            return
        _tell(export, "failed", why)
    _remove_pieces(export)


def _end(export: Export, *, size: int, sha256: str, counts: dict[str, int]) -> None:
    with tenant_scope(export.organization_id):
        if not _own(export).update(ready_at=now(), claimed_until=None, size=size, sha256=sha256, counts=counts):
            return
        by = Actor("system", export.organization_id, None, "", "exports")
        audit.record(by, "export.ready", export, name=export.asked_by, details={"bytes": size, "sha256": sha256})
        _tell(
            export, "is ready", f"Owners can fetch it for {KEPT.days} days. It has {size:,} bytes.\nSHA-256: {sha256}"
        )
    _let_go_of(Q(organization_id=export.organization_id, ready_at__lt=now()) & ~Q(id=export.id))


def _tell(export: Export, became: str, text: str) -> None:
    organization = Organization.objects.get(id=export.organization_id)
    link = settings.PUBLIC_URL + reverse("organization-settings", args=[organization.slug])
    mail.send(
        organization_id=organization.id,
        to=export.email,
        subject=f"The export of {organization.name} {became}",
        text=f"{text}\n\n{link}#export\n",
        key=f"export {export.id}",
    )


def forget(at: datetime) -> None:
    """Remove exports that are over. Opens scopes of its own."""
    _let_go_of(Q(ready_at__lte=at - KEPT) | Q(ready_at=None, asked_at__lte=at - KEPT))


def _let_go_of(which: Q) -> None:
    """Remove exports of whoever it is, their pieces first, a bounded number in each transaction."""
    with system_scope():
        found = list(Export.objects.filter(which).values_list("organization_id", "id")[:100])
    for place in found:
        gone = CHUNKS_AT_ONCE
        while gone == CHUNKS_AT_ONCE:
            with system_scope(), connection.cursor() as cursor:
                cursor.execute(_REMOVE, [*place, CHUNKS_AT_ONCE])
                gone = cursor.rowcount
        with system_scope():
            Export.objects.filter(organization_id=place[0], id=place[1]).delete()


_REMOVE = """
    DELETE FROM export_chunk WHERE ctid = ANY(ARRAY(
        SELECT ctid FROM export_chunk WHERE organization_id = %s AND export_id = %s LIMIT %s))
"""
