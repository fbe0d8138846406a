"""How many runs of an organization may go on at once, in all of its workspaces together."""

from __future__ import annotations

from dataclasses import dataclass
from uuid import UUID

from django.utils.timezone import now

from orchestrator.bodies import MAX_LIMIT
from runs import limits
from runs.models import Lease, Limit, WorkPool
from tenants import audit
from tenants.errors import Invalid
from tenants.models import Organization
from tenants.permissions import Actor

MAX_POOLS = 10_000  # whose agents are told to look again


@dataclass(frozen=True, slots=True)
class Standing:
    """How many may go on at once (None: any number), and how many agents hold now."""

    slots: int | None
    used: int


def standing(organization_id: UUID) -> Standing:
    """What an organization's limit is, and how much of it is used."""
    held = Lease.objects.filter(organization_id=organization_id, limit=None, agent__isnull=False, expires_at__gt=now())
    return Standing(_slots(organization_id), held.count())


def _slots(organization_id: UUID) -> int | None:
    return limits.slots_of(Limit.Kind.ORGANIZATION, [organization_id]).get(organization_id)


def change(organization: Organization, slots: int | None, *, by: Actor) -> None:
    """Let at most `slots` runs go on at once, or any number. Takes effect at once; what is under way goes on.

    Raises:
        Invalid: It is no such number.
    """
    if slots is not None and not 0 < slots <= MAX_LIMIT:
        raise Invalid("The limit can't be taken.", fields={"slots": f"1 to {MAX_LIMIT:,}, or nothing."})
    Organization.objects.select_for_update().get(id=organization.id)  # Two who change it do so in turn.
    before = _slots(organization.id)
    if slots == before:
        return
    if limits.set_limit(organization, slots):
        pools = WorkPool.objects.filter(organization_id=organization.id, paused=False)
        limits.wake(*pools.values_list("id", flat=True)[:MAX_POOLS])
    audit.record(by, "organization.limited", organization, details={"from": before, "to": slots})
