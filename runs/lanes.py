"""Whose turn it is in a pool: which runs a claim looks at, in which order, and how it finds them among very many.

Runs that wait form lanes: those of one deployment, queue, priority and `concurrency_key`. The index `flow_run_lanes`
holds each lane together, oldest first. A claim goes from lane to lane by the index, leaves out those that may not go
on, and reads the first runs of the others: what it costs depends on the lanes, not on how many wait in them.

Within a queue and a priority the oldest run goes first. Of one deployment keys take turns: a key that has more under
way, and more before in the line, comes later. That changes the order within the deployment only: what waited longer in
another deployment still goes first.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any, NamedTuple
from uuid import UUID

from orchestrator.agent_messages import SERVED, minor_version
from runs.models import Agent
from runs.statements import rows_by_index

MINE = (
    "r.organization_id = %(organization)s AND r.pool_id = %(pool)s AND r.state_type = 'SCHEDULED'"
    " AND r.deployment_id IS NOT NULL"
)

DEPLOYMENTS = f"""
    WITH RECURSIVE waiting (deployment_id) AS (
        (SELECT r.deployment_id FROM flow_run r WHERE {MINE} ORDER BY r.deployment_id LIMIT 1)
        UNION ALL
        SELECT (SELECT r.deployment_id FROM flow_run r WHERE {MINE} AND r.deployment_id > waiting.deployment_id
            ORDER BY r.deployment_id LIMIT 1)
        FROM waiting WHERE waiting.deployment_id IS NOT NULL
    )
"""
"""The deployments that have runs in a pool: `waiting (deployment_id)`, and perhaps one row without."""

MAY_GO_ON = f"""NOT p.paused AND NOT q.paused AND (q.name = ANY(%(queues)s::text[])
                OR (%(queues)s::text[] = '{{}}' AND NOT starts_with(q.name, '{SERVED}')))
            AND NOT q.id = ANY(%(full)s::uuid[]) AND (d.python = '' OR d.python = %(python)s)
            AND coalesce(o.number, 1) > 0
            AND NOT EXISTS (SELECT 1 FROM concurrency_limit l WHERE l.organization_id = %(organization)s
                AND l.kind IN ('organization', 'pool', 'queue', 'deployment', 'key') AND l.target_id IN (
                    %(organization)s, %(pool)s, place.queue_id, place.deployment_id)
                AND NOT l.id = ANY(%(counted)s::uuid[]))"""
"""Of which lanes runs may be handed to an agent. Each of its conditions is one that `runs/explain` can tell of."""

IN_TIME = "(r.start_by IS NULL OR r.start_by > %(now)s OR r.started_at IS NOT NULL)"
"""Which runs are not given up. A tick takes those that are out of the lanes."""

HAS_A_SLOT = """NOT EXISTS (SELECT 1 FROM unnest(%(full_of)s::uuid[], %(full_keys)s::text[]) f (deployment_id, key)
            WHERE f.deployment_id = free.deployment_id AND f.key = l.key)"""

# `place`: lanes but for the key. `free`: those that may go on. `lane`: the first run of each lane that is due. `few`:
# of each place no more lanes than runs are asked for, `first`: no more runs of each. `line`: they take turns by `fair`.
_NEXT = f"""
    WITH RECURSIVE place (deployment_id, queue_id, priority) AS (
        (SELECT r.deployment_id, r.queue_id, r.priority FROM flow_run r WHERE {MINE} AND r.queue_id IS NOT NULL
            ORDER BY r.deployment_id, r.queue_id, r.priority LIMIT 1)
        UNION ALL
        SELECT further.* FROM place CROSS JOIN LATERAL (
            SELECT r.deployment_id, r.queue_id, r.priority FROM flow_run r WHERE {MINE} AND r.queue_id IS NOT NULL
                AND (r.deployment_id, r.queue_id, r.priority) > (place.deployment_id, place.queue_id, place.priority)
            ORDER BY r.deployment_id, r.queue_id, r.priority LIMIT 1) further
    ), free AS MATERIALIZED (
        SELECT place.*, q.priority AS queue_priority, o.number AS number FROM place
        JOIN work_pool p ON p.organization_id = %(organization)s AND p.id = %(pool)s
        JOIN work_queue q ON q.organization_id = %(organization)s AND q.id = place.queue_id
        JOIN deployment d ON d.organization_id = %(organization)s AND d.id = place.deployment_id
        LEFT JOIN unnest(%(open)s::uuid[], %(numbers)s::bigint[]) o (deployment_id, number)
            ON o.deployment_id = place.deployment_id
        WHERE {MAY_GO_ON}
    ), lane AS MATERIALIZED (
        SELECT free.*, l.key, l.due_at, l.id,
            count(*) OVER (PARTITION BY free.deployment_id, free.queue_id, free.priority) AS lanes
        FROM free CROSS JOIN LATERAL (
            WITH RECURSIVE one (key, due_at, id) AS (
                (SELECT r.concurrency_key, r.due_at, r.id FROM flow_run r
                    WHERE {MINE} AND r.deployment_id = free.deployment_id AND r.queue_id = free.queue_id
                        AND r.priority = free.priority
                    ORDER BY r.concurrency_key, r.due_at, r.id LIMIT 1)
                UNION ALL
                SELECT further.* FROM one CROSS JOIN LATERAL (
                    SELECT r.concurrency_key, r.due_at, r.id FROM flow_run r
                    WHERE {MINE} AND r.deployment_id = free.deployment_id AND r.queue_id = free.queue_id
                        AND r.priority = free.priority AND r.concurrency_key > one.key
                    ORDER BY r.concurrency_key, r.due_at, r.id LIMIT 1) further
            ) SELECT key, due_at, id FROM one WHERE due_at <= %(now)s
        ) l
        WHERE {HAS_A_SLOT}
    ), ranked AS (
        SELECT lane.*, CASE WHEN lane.lanes = 1 THEN 0 ELSE (
            SELECT count(*) FROM flow_run u WHERE u.organization_id = %(organization)s
                AND u.deployment_id = lane.deployment_id AND u.concurrency_key = lane.key
                AND u.state_type IN ('PENDING', 'RUNNING', 'PAUSED', 'CANCELLING')) END AS under_way
        FROM lane
    ), few AS (
        SELECT * FROM (
            SELECT ranked.*, row_number() OVER (PARTITION BY deployment_id, queue_id, priority
                ORDER BY under_way, due_at, id) AS nth FROM ranked) each
        WHERE nth <= %(most)s
    ), first AS (
        SELECT few.deployment_id, few.queue_id, few.queue_priority, few.priority, few.number, few.key, r.due_at, r.id,
            few.under_way + row_number() OVER (PARTITION BY few.deployment_id, few.queue_id, few.priority, few.key
                ORDER BY r.due_at, r.id) AS fair
        FROM few CROSS JOIN LATERAL (
            SELECT r.due_at, r.id FROM flow_run r
            WHERE {MINE} AND r.deployment_id = few.deployment_id AND r.queue_id = few.queue_id
                AND r.priority = few.priority AND r.concurrency_key = few.key AND r.due_at <= %(now)s
                AND {IN_TIME}
            ORDER BY r.due_at, r.id LIMIT %(most)s) r
    ), line AS (
        SELECT first.*, max(due_at) OVER place AS turn, row_number() OVER place AS in_place FROM first
        WINDOW place AS (PARTITION BY deployment_id, queue_id, priority ORDER BY fair, due_at, id)
    )
    SELECT id, queue_id, deployment_id, key FROM line
    WHERE NOT id = ANY(%(seen)s::uuid[]) AND in_place <= coalesce(number + cardinality(%(seen)s::uuid[]), in_place)
    ORDER BY queue_priority, priority DESC, turn, in_place, id LIMIT %(most)s
"""


class Waiting(NamedTuple):
    """A run that is due, and what it counts against."""

    id: UUID
    queue_id: UUID
    deployment_id: UUID
    key: str


@dataclass(slots=True)
class Openings:
    """What the limits of a pool leave open. What is not named is not limited.

    `deployments` says how many more runs of each may start; queues, and keys of deployments, may be full; `counted` are
    the limits that all this was read from.
    """

    deployments: Mapping[UUID, int]
    full_queues: list[UUID]
    full_keys: list[tuple[UUID, str]]
    counted: list[UUID]


def next_runs(agent: Agent, open: Openings, *, most: int, seen: list[UUID], at: datetime) -> list[Waiting]:
    """The next `most` due runs that this agent may be handed, in the order of their turns; none of them is locked.

    A run under a limit that was not counted is left to the next claim: it, or the limit, came after they were locked.
    """
    values: dict[str, Any] = {
        "organization": agent.organization_id, "pool": agent.pool_id, "now": at, "queues": agent.queues,
        "python": minor_version(agent.python), "most": most, "seen": seen, "full": open.full_queues,
        "counted": open.counted, "open": list(open.deployments), "numbers": list(open.deployments.values()),
        "full_of": [deployment for deployment, _ in open.full_keys], "full_keys": [key for _, key in open.full_keys],
    }  # fmt: skip
    return [Waiting(*row) for row in rows_by_index(_NEXT, values)]
