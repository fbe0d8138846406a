"""What the limits of a pool leave open for one claim: locked, counted, and taken as it goes.

Limits are locked before leases are counted: counted in one statement, or without the lock, eight claimers were handed
22 slots of 10.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import datetime
from uuid import UUID

from django.db import connection

from runs.lanes import DEPLOYMENTS, Openings, Waiting
from runs.models import Agent, Deployment, Limit
from runs.statements import rows_by_index

_LOCK = f"""
    {DEPLOYMENTS}
    SELECT l.id, l.kind, l.target_id, l.slots, coalesce(d.on_limit, '') FROM concurrency_limit l
    LEFT JOIN deployment d ON d.organization_id = l.organization_id AND d.id = l.target_id
    WHERE (l.kind = 'organization' AND l.target_id = %(organization)s) OR (l.kind = 'pool' AND l.target_id = %(pool)s)
        OR (l.kind = 'queue' AND l.target_id IN (SELECT id FROM work_queue WHERE pool_id = %(pool)s))
        OR (l.kind IN ('deployment', 'key') AND l.target_id IN (SELECT deployment_id FROM waiting))
    ORDER BY l.id FOR UPDATE OF l
"""
_LIVE_LEASES = """
    SELECT limit_id, key, count(*) FROM lease WHERE limit_id = ANY(%s) AND expires_at > %s GROUP BY limit_id, key
"""
_BY_KEY = Limit.Kind.KEY.value
_ENQUEUE = Deployment.OnLimit.ENQUEUE.value


@dataclass(slots=True)
class Held:
    """A limit that is locked, and how many of its slots are taken; of a limit by keys, of each key."""

    id: UUID
    kind: str
    target_id: UUID
    slots: int
    policy: str  # of a deployment: `on_limit`
    taken: Counter[str] = field(default_factory=Counter)

    def left(self, key: str) -> int:
        """How many slots are free."""
        return self.slots - self.taken[key]


class Room:
    """The limits that concern a pool, and what they leave open."""

    def __init__(self, limits: Sequence[Held]) -> None:
        self.limits = limits
        self._of: dict[UUID, list[Held]] = {}
        for limit in limits:
            self._of.setdefault(limit.target_id, []).append(limit)
        self._of_all = [limit for limit in limits if limit.kind in {"organization", "pool"}]

    @property
    def strict(self) -> set[UUID]:
        """Deployments that have runs in the pool and cancel those for which they have no slot."""
        return {limit.target_id for limit in self.limits if limit.policy not in {"", _ENQUEUE}}

    def left(self) -> int | None:
        """How many runs may be taken at all; None: any number."""
        return min((limit.left("") for limit in self._of_all), default=None)

    def slots_for(self, run: Waiting) -> list[tuple[Held, str]]:
        """The limits that a run counts against, each with the key that it counts for."""
        own = [*self._of_all, *self._of.get(run.queue_id, ()), *self._of.get(run.deployment_id, ())]
        return [(limit, run.key if limit.kind == _BY_KEY else "") for limit in own if limit.kind != _BY_KEY or run.key]

    def take(self, run: Waiting) -> bool:
        """Take a slot of each; False, and none, where one has none left."""
        slots = self.slots_for(run)
        if any(limit.left(key) <= 0 for limit, key in slots):
            return False
        for limit, key in slots:
            limit.taken[key] += 1
        return True

    def give_back(self, run: Waiting) -> None:
        """Nothing came of it."""
        for limit, key in self.slots_for(run):
            limit.taken[key] -= 1

    def openings(self) -> Openings:
        """What is open, for who looks for runs."""
        by_key = [each for each in self.limits if each.kind == _BY_KEY]
        return Openings(
            deployments={each.target_id: each.left("") for each in self.limits if each.kind == "deployment"},
            full_queues=[each.target_id for each in self.limits if each.kind == "queue" and each.left("") <= 0],
            full_keys=[(each.target_id, key) for each in by_key for key in each.taken if each.left(key) <= 0],
            counted=[each.id for each in self.limits],
        )


def lock(agent: Agent, at: datetime) -> Room:
    """Lock the limits that concern the agent's pool, in the order of their ids, and count who holds their slots."""
    found = rows_by_index(_LOCK, {"organization": agent.organization_id, "pool": agent.pool_id})
    limits = {row[0]: Held(*row) for row in found}
    if limits:
        with connection.cursor() as cursor:
            cursor.execute(_LIVE_LEASES, [list(limits), at])
            for id, key, number in cursor.fetchall():
                limits[id].taken[key if limits[id].kind == _BY_KEY else ""] += number
    return Room(list(limits.values()))
