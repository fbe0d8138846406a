"""Pools with what serves them and what waits for them. Counts stop at MOST: beyond, the page says "10,000+"."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from uuid import UUID

from django.db import connection
from django.db.models import Count
from django.utils.timezone import now

from runs.agents import in_workspace
from runs.limits import slots_of
from runs.models import Agent, Deployment, Limit, WorkPool, WorkQueue
from tenants.errors import NotFound
from tenants.permissions import Actor

MOST = 10_000
MAX_POOLS, MAX_AGENTS = 200, 1_000


@dataclass(frozen=True, slots=True)
class AgentRow:
    """An agent, and how many of its slots are used."""

    agent: Agent
    held: int


@dataclass(frozen=True, slots=True)
class PoolRow:
    """A pool, its agents, and what waits for them. `waits_since` is when the oldest due run was due."""

    pool: WorkPool
    agents: list[AgentRow]
    waiting: int
    waits_since: datetime | None
    limit: int | None

    @property
    def connected(self) -> list[AgentRow]:
        """The agents that are heard of."""
        return [row for row in self.agents if row.agent.is_connected]

    @property
    def slots(self) -> int:
        """How many runs its connected agents take at once."""
        return sum(row.agent.slots for row in self.connected)

    @property
    def running(self) -> int:
        """How many runs its agents hold, lost ones too."""
        return sum(row.held for row in self.agents)

    @property
    def shares(self) -> dict[str, int]:
        """Of the slots, those that are used: a meter's parts."""
        return {"running": min(self.running, self.slots)}


def pools(by: Actor) -> list[PoolRow]:
    """The workspace's pools that the actor may see, by name, each with its agents, the one heard of last first."""
    return _rows(list(in_workspace(by).order_by("name")[:MAX_POOLS]))


def find_row(by: Actor, id: UUID) -> PoolRow:
    """One pool of the workspace.

    Raises:
        NotFound: There is none.
    """
    return _rows([find(by, id)])[0]


def find(by: Actor, id: UUID) -> WorkPool:
    """One pool of the workspace, alone.

    Raises:
        NotFound: There is none.
    """
    found = in_workspace(by).filter(id=id).first()
    if found is None:
        raise NotFound("There is no such work pool here.")
    return found


def _rows(found: list[WorkPool]) -> list[PoolRow]:
    agents = list(Agent.objects.filter(pool__in=found).order_by("-last_seen_at", "name")[:MAX_AGENTS])
    held = held_slots([agent.id for agent in agents])
    rows: dict[UUID, list[AgentRow]] = {pool.id: [] for pool in found}
    for agent in agents:
        if agent.pool_id in rows:
            rows[agent.pool_id].append(AgentRow(agent, held.get(agent.id, 0)))
    limits = slots_of(Limit.Kind.POOL, rows)
    queues = _waiting([pool.id for pool in found])
    return [PoolRow(pool, rows[pool.id], *queues[pool.id], limits.get(pool.id)) for pool in found]


# A lease is a slot that is used; an organization has as many as it has live runs, not more.
_HELD = "SELECT agent_id, count(*) FROM lease WHERE agent_id = ANY(%s) AND limit_id IS NULL GROUP BY 1"

# `flow_run_claimable` holds the due runs of a pool in this order.
_WAITING = """
    SELECT p.id, due.number, due.since FROM unnest(%s::uuid[]) p (id)
    CROSS JOIN LATERAL (
        SELECT count(*) AS number, min(due_at) AS since FROM (
            SELECT due_at FROM flow_run
            WHERE pool_id = p.id AND state_type = 'SCHEDULED' AND due_at <= now() ORDER BY due_at LIMIT %s) first
    ) due
"""


def held_slots(agent_ids: list[UUID]) -> dict[UUID, int]:
    """How many runs each agent holds."""
    with connection.cursor() as cursor:
        cursor.execute(_HELD, [agent_ids])
        return dict(cursor.fetchall())


def _waiting(pool_ids: list[UUID]) -> dict[UUID, tuple[int, datetime | None]]:
    """Of each pool how many runs are due, and since when."""
    with connection.cursor() as cursor:
        cursor.execute(_WAITING, [pool_ids, MOST])
        return {id: (number, since) for id, number, since in cursor.fetchall()}


@dataclass(frozen=True, slots=True)
class QueueRow:
    """A queue of a pool, and what is in it: runs that are due, runs that agents hold, deployments that name it."""

    queue: WorkQueue
    waiting: int
    running: int
    deployments: int
    limit: int | None


_WAITING_BY_QUEUE = """
    SELECT queue_id, count(*) FROM (
        SELECT queue_id FROM flow_run
        WHERE pool_id = %s AND state_type = 'SCHEDULED' AND due_at <= %s ORDER BY due_at LIMIT %s
    ) first GROUP BY 1
"""
_HELD_BY_QUEUE = """
    SELECT r.queue_id, count(*) FROM lease l
    JOIN flow_run r ON r.organization_id = l.organization_id AND r.id = l.run_id
    WHERE l.limit_id IS NULL AND r.pool_id = %s GROUP BY 1
"""


def queues(pool: WorkPool) -> list[QueueRow]:
    """The queues of a pool in the order in which they are served. Of what is due, the first 10,000 are counted."""
    found = list(WorkQueue.objects.filter(pool=pool).select_related("pool").order_by("priority", "name"))
    with connection.cursor() as cursor:
        cursor.execute(_WAITING_BY_QUEUE, [pool.id, now(), MOST])
        waiting = dict(cursor.fetchall())
        cursor.execute(_HELD_BY_QUEUE, [pool.id])
        held = dict(cursor.fetchall())
    named = Deployment.objects.filter(pool=pool).values_list("queue_id").annotate(number=Count("id")).order_by()
    deployments = dict(named)
    limits = slots_of(Limit.Kind.QUEUE, [queue.id for queue in found])
    return [
        QueueRow(
            queue, waiting.get(queue.id, 0), held.get(queue.id, 0), deployments.get(queue.id, 0), limits.get(queue.id)
        )
        for queue in found
    ]
