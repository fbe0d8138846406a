"""The plans: what they cost, how far they go, what they switch on. One table; nothing else knows a price.

Amounts are task runs a calendar month (UTC), prices in `CURRENCY` without tax. Where billing is off (`BILLING`), every
organization has the plan Self-hosted: nothing is counted against it, nothing is owed.
"""

from __future__ import annotations

from dataclasses import dataclass
from decimal import Decimal

from django.conf import settings

CURRENCY = "USD"
SWITCHES = {"sso": "Log-in by your own provider", "audit": "Export of the audit trail"}


@dataclass(frozen=True, slots=True)
class Tier:
    """Task runs up to `up_to` in a month (None: all others) cost `price` a thousand."""

    up_to: int | None
    price: Decimal


@dataclass(frozen=True, slots=True)
class Plan:
    """What an organization may have.

    Args:
        rank: Which of two is the larger: a change to a larger one takes effect at once.
        monthly: What a month costs, with `included` task runs in it.
        tiers: Prices of those above, the cheapest last.
        stops_at: No run starts beyond so many task runs; None: there is no such bound.
        retention: For how many days rows of new runs are kept.
        seats: How many people it has room for, invited ones included; None: there is no such bound.
        workspaces: How many workspaces; None: there is no such bound.
        switches: What it has of `SWITCHES`.
        by_contract: People can't choose it themselves.
    """

    slug: str
    name: str
    rank: int
    monthly: Decimal = Decimal(0)
    included: int = 0
    tiers: tuple[Tier, ...] = ()
    stops_at: int | None = None
    retention: int = 30
    seats: int | None = None
    workspaces: int | None = None
    switches: frozenset[str] = frozenset()
    by_contract: bool = False

    @property
    def is_priced(self) -> bool:
        """True when months of it are billed."""
        return bool(self.monthly or self.tiers)

    @property
    def extras(self) -> list[str]:
        """What it has beside runs, in words."""
        return [label for switch, label in SWITCHES.items() if switch in self.switches]

    @property
    def room(self) -> str:
        """How many people and workspaces, in words."""
        if self.seats is None and self.workspaces is None:
            return "Any number of people and workspaces"
        return f"{self.seats or 'Any number of'} people, {self.workspaces or 'any number of'} workspaces"

    @property
    def terms(self) -> str:
        """The price in one line."""
        if not self.is_priced:
            return f"{self.stops_at:,} task runs a month, at no charge" if self.stops_at else "No bounds, no charge"
        first = f"${self.monthly:,.0f} with {self.included:,}, then ${self.tiers[0].price} per 1,000"
        return first if len(self.tiers) == 1 else f"{first}, down to ${self.tiers[-1].price}"


def plans() -> dict[str, Plan]:
    """Every plan by its slug."""
    everything = frozenset(SWITCHES)
    table = [
        Plan("self-hosted", "Self-hosted", 9, retention=30, switches=everything, by_contract=True),
        Plan("free", "Free", 0, stops_at=settings.FREE_TASK_RUNS, retention=7, seats=5, workspaces=2),
        Plan(
            "pro", "Pro", 1, monthly=Decimal(80), included=200_000, tiers=(Tier(None, Decimal("0.30")),),
            retention=30, seats=50, workspaces=20, switches=frozenset({"sso"}),
        ),
        Plan(
            "enterprise", "Enterprise", 2, monthly=Decimal(900), included=4_000_000,
            tiers=(
                Tier(10_000_000, Decimal("0.20")), Tier(50_000_000, Decimal("0.14")), Tier(None, Decimal("0.09")),
            ),
            retention=90, switches=everything, by_contract=True,
        ),
    ]  # fmt: skip
    return {plan.slug: plan for plan in table}


def default_plan() -> Plan:
    """The plan of an organization that has chosen none."""
    return plans()["free" if settings.BILLING else "self-hosted"]
