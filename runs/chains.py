"""What runs began with: an automation triggers a run, whose event fires an automation, which triggers a run …

Each run that an automation triggers says in `caused_by` which automation, which event, and how many automations deep it
is. Whatever run it calls, delays or is retried by says the same, so that no chain of them goes on for ever.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any
from uuid import UUID

from django.db.models import OuterRef, Subquery

from runs.models import FlowRun
from tenants.permissions import Actor

MAX_DEPTH = 10
"""So many runs deep automations lead from one to the next; what comes of the last one triggers none."""


def of_callers(callers: Iterable[UUID | None]) -> dict[UUID, dict[str, Any]]:
    """What runs began with, or the roots in whose processes they go on: of those that an automation led to."""
    ids = {id for id in callers if id is not None}
    if not ids:
        return {}
    roots = FlowRun.objects.filter(organization=OuterRef("organization"), id=OuterRef("root_id"))
    rows = FlowRun.objects.filter(id__in=ids).annotate(began=Subquery(roots.values("caused_by")[:1]))
    return {id: began for id, began in rows.values_list("id", "began") if began}


def caller(parent: UUID | None, by: Actor) -> UUID | None:
    """The run that asks for another one: as its parent, or by its token alone."""
    return parent or (by.run_id if by.kind == "run" else None)
