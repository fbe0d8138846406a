"""Slots that come back by themselves, so many a second: a place in time is given out, not a slot.

Who asks is told at once when its turn is, and waits for that by itself: no queue is kept, and nobody has to be woken.
The one number per limit is when the last slot that was given out will be back (the "theoretical arrival time" of the
generic cell rate algorithm, ITU-T I.371).
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime, timedelta
from uuid import UUID

from django.utils.timezone import now

from orchestrator.slot_bodies import MAX_SECONDS
from runs.models import NamedLimit
from tenants.errors import Conflict

NEVER = 1_000 * 366 * 86_400.0  # seconds: so far ahead is as good as any time that no calendar has
FULL = "So many wait for slots of this rate that the turn would come in more than a year."


def reserve(workspace_id: UUID, *, names: Sequence[str], occupy: int, within: float | None) -> float | None:
    """When (seconds from now) the turn of somebody is who takes slots of these locked limits; None: not in time.

    Args:
        names: Limits that are there.
        within: How long they would wait; None: as long as it takes.

    Raises:
        Conflict: A limit gives no slots back by itself, or has fewer than are asked for; or the turn would be too far.
    """
    limits = list(NamedLimit.objects.filter(workspace_id=workspace_id, name__in=names, active=True))
    at = now()
    seconds = max((_turn(limit, occupy, at) for limit in limits), default=0.0)
    if within is not None and seconds > within:
        return None
    if seconds > MAX_SECONDS:
        raise Conflict(FULL)
    for limit in limits:
        taken = max(_ahead(limit, at), seconds) + occupy / limit.rate
        limit.reserved_until = at + timedelta(seconds=min(taken, NEVER))
        limit.save(update_fields=["reserved_until"])
    return seconds


def _ahead(limit: NamedLimit, at: datetime) -> float:
    """In how many seconds the last slot will be back."""
    return max(0.0, (limit.reserved_until - at).total_seconds()) if limit.reserved_until else 0.0


def _turn(limit: NamedLimit, occupy: int, at: datetime) -> float:
    """In how many seconds so many slots will have come back that these fit in."""
    if limit.rate <= 0:
        message = f"The limit {limit.name} gives no slots back by itself. Give it a rate, or use concurrency()."
        raise Conflict(message, fields={"names": message})
    if occupy > limit.slots:
        raise Conflict(f"The limit {limit.name} has {limit.slots} slots: {occupy} are never free.")
    return max(0.0, _ahead(limit, at) + (occupy - limit.slots) / limit.rate)
