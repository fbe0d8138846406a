"""Limits as pages and the API show them: how much of each is held, who holds, who waits and since when."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from uuid import UUID

from django.db.models import Count, OuterRef, Q, QuerySet, Subquery, Sum
from django.db.models.functions import Coalesce
from django.utils.timezone import now

from orchestrator.storable import clean_text
from orchestrator.wire import MAX_NAME
from runs.hidden import hidden_deployments
from runs.models import FlowRun, NamedLimit, Slot
from tenants.permissions import Actor

PAGE = 50
SHOWN = 100  # holders, and those who wait


def in_workspace(by: Actor, *, prefix: str = "") -> QuerySet[NamedLimit]:
    """The limits of a workspace, with what is held (`held`) and how many wait (`waiting`).

    `prefix` is how their names begin. As a range: the wall keeps LIKE from the index.
    """
    rows = NamedLimit.objects.filter(workspace_id=by.workspace_id)
    if prefix := clean_text(prefix.strip(), MAX_NAME):
        rows = rows.filter(name__gte=prefix, name__lt=prefix + "\U0010ffff")
    own = Slot.objects.filter(
        organization_id=OuterRef("organization_id"), workspace_id=OuterRef("workspace_id"),
        kind=Slot.Kind.LIMIT, name=OuterRef("name"),
    ).order_by().values("name")  # fmt: skip
    held = own.filter(held_at__isnull=False).annotate(total=Sum("occupy")).values("total")
    waiting = own.filter(held_at__isnull=True).annotate(total=Count("id")).values("total")
    return rows.annotate(held=Coalesce(Subquery(held), 0), waiting=Coalesce(Subquery(waiting), 0))


def page(rows: QuerySet[NamedLimit], *, after: str, size: int) -> tuple[list[NamedLimit], str | None]:
    """Limits by name, and the name to go on from, if there are more."""
    found = list(rows.filter(name__gt=after).order_by("name")[: size + 1])
    return found[:size], found[size - 1].name if len(found) > size else None


@dataclass(slots=True)
class Shown:
    """Somebody who holds or waits. `run` is None outside of runs, and where it may not be seen."""

    slot: Slot
    run: FlowRun | None
    hidden: bool = False

    @property
    def who(self) -> str:
        """How people name it."""
        if self.hidden:
            return "a run that you may not see"
        return self.slot.label or (self.run.name if self.run else "somebody")


def holders(limit: NamedLimit, by: Actor) -> list[Shown]:
    """Who holds slots, the oldest first."""
    return shown(_of(limit).exclude(held_at=None).order_by("held_at", "id")[:SHOWN], by)


def queue(limit: NamedLimit, by: Actor) -> list[Shown]:
    """Who waits, in the order in which they will be served."""
    return shown(_of(limit).filter(held_at=None).order_by("place")[:SHOWN], by)


def _of(limit: NamedLimit) -> QuerySet[Slot]:
    own = Slot.objects.filter(workspace_id=limit.workspace_id, kind=Slot.Kind.LIMIT, name=limit.name)
    return own.filter(Q(expires_at=None) | Q(expires_at__gt=now()))


def shown(slots: Sequence[Slot] | QuerySet[Slot], by: Actor) -> list[Shown]:
    """Slots with the runs that they are for, as far as the actor may see these."""
    found = list(slots)
    ids: set[UUID] = {slot.run_id for slot in found if slot.run_id}
    own = FlowRun.objects.filter(workspace_id=by.workspace_id).select_related("flow")
    runs = own.in_bulk(ids) if ids else {}  # A process may say any id.
    hidden = hidden_deployments(by)
    told = []
    for slot in found:
        run = runs.get(slot.run_id) if slot.run_id else None
        if run is not None and run.deployment_id in hidden:
            told.append(Shown(slot, None, hidden=True))
        else:
            told.append(Shown(slot, run))
    return told
