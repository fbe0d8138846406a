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

from runs.models import NamedLimit
from tenants.errors import Conflict


def reserve(workspace_id: UUID, *, names: Sequence[str], occupy: int, within: float | None) -> float | None:
    """When (seconds from now) the turn of somebody is who takes slots of these locked limits; None: not in time.

    Args:
        names: Limits that are there.
        within: How long they would wait; None: as long as it takes.

    Raises:
        Conflict: A limit gives no slots back by itself, or has fewer than are asked for.
    """
    limits = list(NamedLimit.objects.filter(workspace_id=workspace_id, name__in=names, active=True))
    at = now()
    turn = max((_turn(limit, occupy, at) for limit in limits), default=at)
    seconds = max(0.0, (turn - at).total_seconds())
    if within is not None and seconds > within:
        return None
    for limit in limits:
        begins = max(limit.reserved_until or at, turn if seconds else at)
        limit.reserved_until = begins + timedelta(seconds=occupy / limit.rate)
        limit.save(update_fields=["reserved_until"])
    return seconds


def _turn(limit: NamedLimit, occupy: int, at: datetime) -> datetime:
    """When so many slots will have come back that these fit in."""
    if limit.rate <= 0:
        message = f"The limit {limit.name} gives no slots back by itself. Give it a rate, or use concurrency()."
        raise Conflict(message, fields={"names": message})
    if occupy > limit.slots:
        raise Conflict(f"The limit {limit.name} has {limit.slots} slots: {occupy} are never free.")
    end = max(limit.reserved_until or at, at) + timedelta(seconds=occupy / limit.rate)
    return end - timedelta(seconds=limit.slots / limit.rate)
