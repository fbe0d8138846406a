"""What needs a look: runs that ended badly, runs that wait too long, and who was lost, each with its cause."""

from __future__ import annotations

import zlib
from collections.abc import Collection, Iterable
from dataclasses import dataclass
from datetime import datetime
from uuid import UUID

from django.db import connection
from django.utils.timezone import now

from runs.models import LATE_AFTER, FlowRun, WorkQueue
from runs.reads import quarantine
from runs.reads.pools import PoolRow

LOOKED_AT = 200  # newest runs of each bad end
SHOWN = 6  # of each kind


@dataclass(slots=True)
class Group:
    """Runs of one flow that ended the same way for the same cause; `id` and `at` are those of the newest."""

    flow: str
    state_type: str
    state_name: str
    cause: str
    id: UUID
    at: datetime
    key: str  # The same as long as the group is there: rows are found again by it.
    number: int = 0


@dataclass(frozen=True, slots=True)
class Stuck:
    """A pool whose due runs nobody takes, and why."""

    row: PoolRow
    cause: str


@dataclass(frozen=True, slots=True)
class Attention:
    """All of it. `more` is true when there were more failures than are looked at; `refused` are journal entries."""

    failures: list[Group]
    unreachable: list[FlowRun]
    stuck: list[Stuck]
    refused: int
    more: bool

    @property
    def total(self) -> int:
        """How many lines."""
        return len(self.failures) + len(self.unreachable) + len(self.stuck) + bool(self.refused)


def attention(
    workspace_id: UUID, since: datetime, pools: Iterable[PoolRow], hidden: Collection[UUID] = ()
) -> Attention:
    """What needs a look in a workspace; failures since a time. Nothing is told of runs of hidden deployments."""
    groups, more = _failures(workspace_id, since, hidden)
    refused = quarantine.counted(workspace_id=workspace_id, since=since)
    return Attention(groups[:SHOWN], _unreachable(workspace_id, hidden), _stuck(workspace_id, pools), refused, more)


# The branches are ordered reads of `flow_run_by_state`; the error's traceback is left where it is.
_FAILURES = """
    SELECT f.name, r.state_type, r.state_name, r.state_message, r.error->>'type', left(r.error->>'message', 300),
        r.id, coalesce(r.ended_at, r.state_at)
    FROM unnest(ARRAY['FAILED', 'CRASHED']) s (type)
    CROSS JOIN LATERAL (
        SELECT * FROM flow_run
        WHERE workspace_id = %s AND state_type = s.type AND created_at >= %s AND origin <> 'subflow'
            AND (deployment_id = ANY(%s::uuid[])) IS NOT TRUE
        ORDER BY created_at DESC, id DESC LIMIT %s
    ) r
    JOIN flow f ON f.organization_id = r.organization_id AND f.id = r.flow_id
    ORDER BY 8 DESC
"""


def _failures(workspace_id: UUID, since: datetime, hidden: Collection[UUID]) -> tuple[list[Group], bool]:
    """The newest runs that ended badly, by flow and cause, the newest group first; and whether there are more."""
    with connection.cursor() as cursor:
        cursor.execute(_FAILURES, [workspace_id, since, list(hidden), LOOKED_AT])
        rows = cursor.fetchall()
    groups: dict[str, Group] = {}
    ended = {"FAILED": 0, "CRASHED": 0}
    for flow, state_type, state_name, said, error, message, id, at in rows:
        key = f"{flow}\0{state_type}\0{state_name}\0{error or said}"
        if key not in groups:
            short = f"{zlib.crc32(key.encode()):08x}"
            groups[key] = Group(flow, state_type, state_name, _cause(said, error, message), id, at, short)
        group = groups[key]
        group.number += 1
        ended[state_type] += 1
    return list(groups.values()), LOOKED_AT in ended.values()


def _cause(said: str, error: str | None, message: str | None) -> str:
    return ": ".join(part for part in (error, message) if part) or said


def _unreachable(workspace_id: UUID, hidden: Collection[UUID]) -> list[FlowRun]:
    """Runs whose holder fell silent, the longest first."""
    own = FlowRun.objects.filter(workspace_id=workspace_id, state_type="RUNNING", state_name="Unreachable")
    own = own.exclude(origin=FlowRun.Origin.SUBFLOW).select_related("flow").defer("history", "error", "parameters")
    return list(own.without(hidden).order_by("state_at", "id")[:SHOWN])


def _stuck(workspace_id: UUID, pools: Iterable[PoolRow]) -> list[Stuck]:
    late = [row for row in pools if row.waits_since and now() - row.waits_since > LATE_AFTER]
    paused = WorkQueue.objects.filter(workspace_id=workspace_id, paused=True).order_by("name")
    queues: dict[UUID, list[str]] = {}
    for pool_id, name in paused.values_list("pool_id", "name")[:100]:
        queues.setdefault(pool_id, []).append(name)
    return [Stuck(row, _why(row, queues.get(row.pool.id, []))) for row in late][:SHOWN]


def _why(row: PoolRow, paused_queues: list[str]) -> str:
    """The cause that a person can do something about, the surest first."""
    if row.pool.paused:
        return "The pool is paused."
    if not row.agents:
        return "No agent was ever started for it."
    if not row.connected:
        return "Its agents are lost."
    if row.limit is not None and row.running >= row.limit:
        return f"The pool runs {row.limit:,} at once, no more."
    if row.running >= row.slots:
        return f"All {row.slots:,} slots of its agents are used."
    if paused_queues:
        return f"Paused: queue {', '.join(paused_queues[:3])}."
    return "Agents have free slots: a limit of the queue or deployment, or another Python version, holds runs back."
