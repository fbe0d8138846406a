"""Where a due run stands in the queue of its pool, and when it may start, by how fast runs were started lately."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime, timedelta
from uuid import UUID

from django.db import connection

from orchestrator.causes import MOST, STUCK, Cause, Code, pace
from runs.explain.ground import Ground
from runs.models import FlowRun, WorkQueue

LATELY = timedelta(minutes=15)

_FULL = """
    SELECT target_id FROM concurrency_limit l
    WHERE workspace_id = %s AND NOT target_id = ANY(%s::uuid[]) AND slots <= (
        SELECT count(*) FROM lease
        WHERE organization_id = l.organization_id AND limit_id = l.id AND expires_at > %s)
"""

# In the order of a claim. Runs of limits that are full go before nobody, but before those of the same one.
_BEFORE = """
    SELECT count(*) FROM (
        SELECT 1 FROM flow_run
        WHERE pool_id = %(pool)s AND state_type = 'SCHEDULED' AND due_at <= %(now)s
            AND (queue_id = ANY(%(earlier)s::uuid[]) OR (queue_id = ANY(%(same)s::uuid[]) AND (
                priority > %(priority)s OR (priority = %(priority)s AND (due_at, id) < (%(due)s, %(run)s)))))
            AND (deployment_id IS NULL OR NOT deployment_id = ANY(%(full)s::uuid[]))
        LIMIT %(most)s
    ) before
"""


def before(run: FlowRun, ground: Ground) -> int:
    """How many runs of the pool are claimed before this one as things are, MOST at most."""
    full = _full_others(run, ground)
    own = ground.queues[run.queue_id].priority
    queues = WorkQueue.objects.filter(pool=run.pool_id, paused=False, priority__lte=own).exclude(id__in=full)
    open_ones = list(queues.values_list("id", "priority"))
    values = {
        "pool": run.pool_id, "now": ground.at, "priority": run.priority, "due": run.due_at, "run": run.id,
        "earlier": [id for id, priority in open_ones if priority < own],
        "same": [id for id, priority in open_ones if priority == own], "full": full, "most": MOST,
    }  # fmt: skip
    with connection.cursor() as cursor:
        cursor.execute(_BEFORE, values)
        return cursor.fetchone()[0]


def _full_others(run: FlowRun, ground: Ground) -> list[UUID]:
    """Queues and deployments of the workspace whose limit is full, but for the run's own."""
    with connection.cursor() as cursor:
        cursor.execute(_FULL, [run.workspace_id, [run.queue_id, run.deployment_id], ground.at])
        return [id for (id,) in cursor.fetchall()]


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
