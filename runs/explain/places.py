"""Where a due run stands in the queue of its pool, and when it may start, by how fast runs were started lately."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime, timedelta
from typing import Any
from uuid import UUID

from django.db import connection

from orchestrator.causes import MOST, STUCK, Cause, Code, pace
from runs.explain.ground import Ground
from runs.models import FlowRun, WorkQueue
from runs.statements import rows_by_index

LATELY = timedelta(minutes=15)

# Of a limit by keys each key is full by itself: it stands with its key, other limits with "".
_FULL = """
    SELECT l.target_id, e.key FROM concurrency_limit l CROSS JOIN LATERAL (
        SELECT key, count(*) AS taken FROM lease
        WHERE organization_id = l.organization_id AND limit_id = l.id AND expires_at > %s GROUP BY key
        UNION ALL SELECT '', 0 WHERE l.slots = 0
    ) e
    WHERE l.workspace_id = %s AND l.kind IN ('queue', 'deployment', 'key') AND l.slots <= e.taken
"""

# Where keys of the run's deployment take turns: a run comes later the more runs of its key go on, or wait before it.
_IN_TURN = """
    WITH RECURSIVE lane (key) AS (
        (SELECT concurrency_key FROM flow_run WHERE {own} ORDER BY concurrency_key LIMIT 1)
        UNION ALL
        SELECT (SELECT concurrency_key FROM flow_run WHERE {own} AND concurrency_key > lane.key
            ORDER BY concurrency_key LIMIT 1)
        FROM lane WHERE lane.key IS NOT NULL
    ), busy AS (
        SELECT key, (SELECT count(*) FROM flow_run WHERE organization_id = %(organization)s
            AND deployment_id = %(deployment)s AND concurrency_key = lane.key
            AND state_type IN ('PENDING', 'RUNNING', 'PAUSED', 'CANCELLING')) AS under_way
        FROM lane WHERE key = %(key)s OR NOT key = ANY(%(full)s::text[])
    ), mine AS (
        SELECT (SELECT under_way FROM busy WHERE key = %(key)s) + (SELECT count(*) FROM (
            SELECT 1 FROM flow_run WHERE {own} AND concurrency_key = %(key)s AND (due_at, id) <= (%(due)s, %(run)s)
            LIMIT %(most)s) r) AS fair
    )
    SELECT count(*), max(due_at) FROM (
        SELECT r.due_at FROM mine CROSS JOIN busy CROSS JOIN LATERAL (
            SELECT due_at, id, row_number() OVER (ORDER BY due_at, id) AS nth FROM (
                SELECT due_at, id FROM flow_run WHERE {own} AND concurrency_key = busy.key AND due_at <= %(now)s
                ORDER BY due_at, id LIMIT greatest(mine.fair - busy.under_way, 0)) those
        ) r WHERE (busy.under_way + r.nth, r.due_at, r.id) < (mine.fair, %(due)s, %(run)s) LIMIT %(most)s
    ) before
""".format(
    own="organization_id = %(organization)s AND pool_id = %(pool)s AND deployment_id = %(deployment)s"
    " AND queue_id = %(queue)s AND priority = %(priority)s AND state_type = 'SCHEDULED'"
)

# In the order of a claim. Runs of limits that are full go before nobody, but before those of the same one.
_BEFORE = """
    SELECT count(*) FROM (
        SELECT 1 FROM flow_run r
        WHERE pool_id = %(pool)s AND state_type = 'SCHEDULED' AND due_at <= %(now)s
            AND (queue_id = ANY(%(earlier)s::uuid[]) OR (queue_id = ANY(%(same)s::uuid[]) AND (
                priority > %(priority)s OR (priority = %(priority)s AND (due_at, id) < (%(turn)s, %(run)s)))))
            AND (deployment_id, queue_id, priority) IS DISTINCT FROM (
                %(deployment)s::uuid, %(queue)s::uuid, %(priority)s::smallint)
            AND NOT EXISTS (SELECT 1 FROM unnest(%(full)s::uuid[], %(keys)s::text[]) f (target_id, key)
                WHERE f.target_id = r.deployment_id AND f.key IN ('', r.concurrency_key))
        LIMIT %(most)s
    ) before
"""


def before(run: FlowRun, ground: Ground) -> int:
    """How many runs of the pool are claimed before this one as things are, MOST at most."""
    full = _full_others(run, ground)
    own = ground.queues[run.queue_id].priority
    queues = WorkQueue.objects.filter(pool=run.pool_id, paused=False, priority__lte=own)
    open_ones = list(queues.exclude(id__in=[id for id, _ in full]).values_list("id", "priority"))
    values: dict[str, Any] = {
        "organization": run.organization_id, "pool": run.pool_id, "deployment": run.deployment_id,
        "queue": run.queue_id, "priority": run.priority, "key": run.concurrency_key, "due": run.due_at, "run": run.id,
        "now": ground.at, "most": MOST,
    }  # fmt: skip
    keys = [key for id, key in full if key and id == run.deployment_id]
    ((number, latest),) = rows_by_index(_IN_TURN, {**values, "full": keys})
    others = {
        "turn": max(latest or run.due_at, run.due_at),
        "earlier": [id for id, priority in open_ones if priority < own],
        "same": [id for id, priority in open_ones if priority == own],
        "full": [id for id, _ in full],
        "keys": [key for _, key in full],
    }
    with connection.cursor() as cursor:
        cursor.execute(_BEFORE, values | others)
        return min(number + cursor.fetchone()[0], MOST)


def _full_others(run: FlowRun, ground: Ground) -> list[tuple[UUID, str]]:
    """Queues, deployments and their keys whose limit is full, but for those that hold back the run itself."""
    own = {(run.queue_id, ""), (run.deployment_id, ""), (run.deployment_id, run.concurrency_key)}
    with connection.cursor() as cursor:
        cursor.execute(_FULL, [ground.at, run.workspace_id])
        return [(id, key) for id, key in cursor.fetchall() if (id, key) not in own]


# `attempt_of_agent` gives the newest of each agent; the runs are looked up only where one deployment is asked for.
_STARTED = """
    SELECT count(*), min(created_at) FROM (
        SELECT a.created_at FROM agent g CROSS JOIN LATERAL (
            SELECT created_at, run_id FROM attempt
            WHERE organization_id = g.organization_id AND agent_id = g.id AND created_at > %(since)s
            ORDER BY created_at DESC LIMIT %(most)s
        ) a
        WHERE g.pool_id = %(pool)s AND g.last_seen_at > %(since)s AND (%(deployment)s::uuid IS NULL OR EXISTS (
            SELECT 1 FROM flow_run r WHERE r.organization_id = g.organization_id AND r.id = a.run_id
                AND r.deployment_id = %(deployment)s))
        LIMIT %(most)s
    ) lately
"""


def _started_lately(pool_id: UUID | None, deployment_id: UUID | None, at: datetime) -> tuple[int, float]:
    """How many runs were started in the last quarter of an hour, and the seconds since the first of them."""
    values = {"pool": pool_id, "deployment": deployment_id, "since": at - LATELY, "most": MOST}
    with connection.cursor() as cursor:
        cursor.execute(_STARTED, values)
        number, first = cursor.fetchone()
    return number, (at - first).total_seconds() if first else 0.0


def expected(
    run: FlowRun, causes: Sequence[Cause], number_before: int | None, ground: Ground
) -> tuple[datetime | None, str]:
    """When it will start, as far as can be told, and why so."""
    codes = {each.code for each in causes}
    if codes & STUCK:
        return None, "Unknown: it starts when this is mended."
    if number_before is None:
        return run.due_at, "When it is due, if an agent has a free slot then."
    if codes == {Code.NEXT_CLAIM} and not number_before:
        return ground.at, "Any moment now."
    own = run.deployment_id if Code.DEPLOYMENT_LIMIT in codes else None
    whose = "its deployment" if own else "its pool"
    waits, why = pace(number_before, *_started_lately(run.pool_id, own, ground.at), whose)
    return None if waits is None else ground.at + waits, why
