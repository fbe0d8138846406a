"""What the dashboard shows at a glance. A fixed number of queries, each bounded, whatever the workspace has run."""

from __future__ import annotations

import json
import logging
from collections.abc import Collection, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from uuid import UUID

from django.db import connection
from django.utils.timezone import now
from redis.exceptions import RedisError

from orchestrator.states import StateType
from runs.messenger import client, messenger
from runs.models import FlowRun, Lease, Schedule
from runs.reads.over_time import OverTime
from runs.reads.pools import PoolRow

logger = logging.getLogger(__name__)
MOST = 10_000  # runs that are counted one by one
SHOWN = 6  # runs
SHOWN_NEXT = 5
SAMPLE = 1_000  # runs whose durations are compared
LAST_MINUTES = 5  # over which task runs are counted
OLDEST_BUCKET = timedelta(days=3)  # of the runs whose task runs are counted: no more partitions are opened than needed
KEPT = 10  # seconds that the rate of task runs is remembered

ENDED_WELL, ENDED_BADLY = (StateType.COMPLETED,), (StateType.FAILED, StateType.CRASHED)


@dataclass(frozen=True, slots=True)
class Outcome:
    """How the runs of a range ended; cancelled ones are neither well nor bad."""

    well: int
    badly: int

    @classmethod
    def of(cls, over_time: OverTime) -> Outcome:
        """From the counts by state."""
        totals = over_time.totals
        return cls(*(sum(totals.get(state, 0) for state in states) for states in (ENDED_WELL, ENDED_BADLY)))

    @property
    def total(self) -> int:
        """Both."""
        return self.well + self.badly

    @property
    def rate(self) -> str:
        """The share that ended well, `99.0%`: never rounded up to all, or down to none."""
        if not self.total:
            return "–"
        share = 100 * self.well / self.total
        if self.well == self.total or not self.well:
            return f"{share:.0f}%"
        return f"{min(max(share, 0.1), 99.9):.1f}%"


_IN_STATE = """
    SELECT count(*) FROM (SELECT FROM flow_run
    WHERE workspace_id = %s AND state_type = ANY(%s) AND origin <> 'subflow' LIMIT %s) held
"""


def count_running(workspace_id: UUID) -> int:
    """How many runs are in user code; no more than MOST are counted."""
    with connection.cursor() as cursor:
        cursor.execute(_IN_STATE, [workspace_id, ["RUNNING", "CANCELLING"], MOST])
        return cursor.fetchone()[0]


@dataclass(frozen=True, slots=True)
class Held:
    """A run, and the name of the agent that holds it, if one does."""

    run: FlowRun
    agent: str


def running(workspace_id: UUID, hidden: Collection[UUID] = ()) -> list[Held]:
    """The runs in user code, longest first: rows go when their runs end, and move for no other reason."""
    own = FlowRun.objects.filter(workspace_id=workspace_id, state_type=StateType.RUNNING).without(hidden)
    own = own.exclude(origin=FlowRun.Origin.SUBFLOW).select_related("flow").defer("history", "error", "parameters")
    runs = list(own.order_by("created_at", "id")[:SHOWN])
    held = Lease.objects.filter(run_id__in=[run.id for run in runs], limit=None, agent__isnull=False)
    agents = dict(held.values_list("run_id", "agent__name"))
    return [Held(run, agents.get(run.id, "")) for run in runs]


@dataclass(frozen=True, slots=True)
class Served:
    """The pools of a workspace in one line: agents that are heard of and those of the last day, slots, what waits."""

    connected: int
    known: int
    slots: int
    used: int
    waiting: int
    waits_since: datetime | None

    @classmethod
    def of(cls, pools: Sequence[PoolRow]) -> Served:
        """Add them up."""
        yesterday = now() - timedelta(days=1)
        return cls(
            connected=sum(len(row.connected) for row in pools),
            known=sum(each.agent.last_seen_at > yesterday for row in pools for each in row.agents),
            slots=sum(row.slots for row in pools),
            used=sum(row.running for row in pools),
            waiting=sum(row.waiting for row in pools),
            waits_since=min((row.waits_since for row in pools if row.waits_since), default=None),
        )


_DURATIONS = """
    SELECT percentile_cont(ARRAY[0.5, 0.95]) WITHIN GROUP (ORDER BY seconds), count(*) FROM (
        SELECT extract(epoch FROM ended_at - started_at) AS seconds FROM flow_run
        WHERE workspace_id = %s AND state_type = 'COMPLETED' AND created_at >= %s AND origin <> 'subflow'
        ORDER BY created_at DESC, id DESC LIMIT %s
    ) newest
"""


@dataclass(frozen=True, slots=True)
class Durations:
    """Seconds that completed runs took: half of them at most `p50`, 95 of 100 at most `p95`; None without any."""

    p50: float | None
    p95: float | None
    sample: int


def durations(workspace_id: UUID, since: datetime) -> Durations:
    """Of the newest SAMPLE completed runs since then."""
    with connection.cursor() as cursor:
        cursor.execute(_DURATIONS, [workspace_id, since, SAMPLE])
        quantiles, sample = cursor.fetchone()
    return Durations(*(quantiles or (None, None)), sample)


# The key begins with (organization_id, id), and these ids are UUIDv7 that ingest has made: a range of time is a range
# of ids, give or take the difference of our own clocks.
_TASK_RUNS = """
    SELECT coalesce(sum(task_runs), 0) FROM usage_delta
    WHERE workspace_id = %s AND id >= %s AND t >= %s AND bucket BETWEEN %s AND %s
"""


def task_runs_a_minute(workspace_id: UUID) -> float:
    """How many task runs ended each minute, over the last LAST_MINUTES."""
    key = f"task_runs_a_minute:{workspace_id}"
    try:
        known = client().get(key)
    except (RedisError, OSError) as error:
        logger.warning("the rate of task runs is counted anew: Redis is away (%s)", error)
        return _count_task_runs(workspace_id)
    if known is not None:
        return json.loads(known)
    rate = _count_task_runs(workspace_id)
    messenger.send(lambda redis: redis.set(key, json.dumps(rate), ex=KEPT))
    return rate


def _count_task_runs(workspace_id: UUID) -> float:
    at = now()
    since = at - timedelta(minutes=LAST_MINUTES)
    first_id = UUID(int=int((since.timestamp() - 1) * 1_000) << 80)
    with connection.cursor() as cursor:
        cursor.execute(_TASK_RUNS, [workspace_id, first_id, since, (at - OLDEST_BUCKET).date(), at.date()])
        return int(cursor.fetchone()[0]) / LAST_MINUTES


def next_up(workspace_id: UUID, hidden: Collection[UUID] = ()) -> list[Schedule]:
    """The schedules that come next, by the time for which no run was made yet."""
    active = Schedule.objects.filter(workspace_id=workspace_id, active=True, next_at__isnull=False)
    active = (
        active.filter(deployment__paused=False).exclude(deployment_id__in=hidden).select_related("deployment__flow")
    )
    return list(active.order_by("next_at", "id")[:SHOWN_NEXT])
