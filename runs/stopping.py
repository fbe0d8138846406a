"""Asking runs to stop, whoever wants it."""

from __future__ import annotations

from collections.abc import Collection
from datetime import datetime, timedelta

from django.conf import settings

from orchestrator.states import By, StateType
from runs.models import Lease
from runs.transitions import RunRow, move, save


def ask_to_stop(rows: Collection[RunRow], message: str, *, at: datetime) -> list[RunRow]:
    """Cancel locked runs that nobody holds; the holders of the others are told. Those that were changed."""
    # Who was not heard of for a lease has one lease more to obey, however patient one was with them before.
    unheard = [row.id for row in rows if row.state_name == "Unreachable"]
    until = at + timedelta(seconds=settings.LEASE_SECONDS)
    Lease.objects.filter(run_id__in=unheard, limit=None, expires_at__gt=until).update(expires_at=until)
    for row in rows:
        to = StateType.CANCELLING if row.is_held else StateType.CANCELLED
        move(row, to, by=By.SERVER, message=message, at=at)
    return save(rows)
