"""What a retry from failure would reuse of a run, what would run again, and why: call by call, counted by the database.

It tells what is known of the run's last execution, and of what earlier ones stored that the last one did not come to.
What a call is given now is not known before it is called: one whose inputs have changed runs again.
"""

from __future__ import annotations

import re
from collections.abc import Collection
from dataclasses import dataclass, field
from typing import Any
from uuid import UUID

from django.db import connection
from django.utils.timezone import now

from runs.models import FlowRun
from runs.transitions import micros
from runs.usage.counting import MAX_EXECUTIONS

A_PAGE = 100
MAX_TASKS = 200  # whose lines are told; the sums are of all

REASONS = {
    "stored": "its value is stored",
    "within": "what called it is reused",
    "again": "asked for",
    "expired": "its value has expired",
    "unstored": "its value was not stored: persist_result was not set",
    "failed": "it failed",
    "unfinished": "it had not finished",
    "begun": "it was never begun",
}
IN_SHORT = {
    "stored": "stored",
    "within": "within what is reused",
    "again": "asked for",
    "expired": "expired",
    "unstored": "not stored",
    "failed": "failed",
    "unfinished": "unfinished",
    "begun": "never begun",
}
GROUPS = {
    "reused": ("stored", "within"),
    "runs": ("again", "expired", "unstored", "failed", "unfinished"),
    "waits": ("begun",),
}

# A subflow counts where the last execution of its caller called it. What is called within a call that is reused is not
# called at all, however deep. `$stored(x)` says that the value of a row is reused where it is asked for.
_CALLS = f"""
    WITH RECURSIVE called AS (
        SELECT r.id, r.run_count, false AS within, NULL::uuid AS caller, NULL::uuid AS caller_task, r.name AS label,
            r.state_type, r.state_name, r.state_message AS message, r.started_at, NULL::jsonb AS result,
            ''::text AS task
        FROM flow_run r WHERE r.id = %(root)s
        UNION ALL
        SELECT c.id, c.run_count, p.within OR $stored(p), c.parent_id, c.parent_task_id, c.name,
            c.state_type, c.state_name, c.state_message, c.started_at, c.result, f.name::text
        FROM called p
        JOIN flow_run c ON c.root_id = %(root)s AND c.id <> c.root_id AND c.parent_id = p.id AND c.attempt = %(attempt)s
            AND abs(c.called_in) IN (0, least(greatest(p.run_count, 1), {MAX_EXECUTIONS}))
        JOIN flow f ON f.organization_id = c.organization_id AND f.id = c.flow_id
    ),
    tasks AS MATERIALIZED (
        SELECT t.id, t.run_id, t.task, t.label, t.state_type, t.state_name, t.message, t.started_at, t.result,
            t.parent_task_id, c.within OR $stored(c) AS within
        FROM called c JOIN task_run t ON t.retention = %(retention)s AND t.bucket = %(bucket)s AND t.run_id = c.id
            AND t.attempt = %(attempt)s AND t.execution = least(greatest(c.run_count, 1), {MAX_EXECUTIONS})
    ),
    inside AS (
        SELECT t.id FROM tasks t JOIN tasks p ON p.id = t.parent_task_id WHERE $stored(p)
        UNION
        SELECT t.id FROM inside i JOIN tasks t ON t.parent_task_id = i.id
    ),
    earlier AS (
        SELECT DISTINCT ON (t.result->>'key') t.*
        FROM task_run t
        WHERE %(repeated)s AND t.retention = %(retention)s AND t.bucket = %(bucket)s AND $stored(t)
            AND t.run_id IN (SELECT id FROM flow_run WHERE root_id = %(root)s)
            AND NOT EXISTS (SELECT 1 FROM tasks o WHERE o.result->>'key' = t.result->>'key')
        ORDER BY t.result->>'key', t.attempt DESC
    ),
    calls AS (
        SELECT id, run_id, 'task' AS kind, task, label, state_type, state_name, message, started_at, result,
            within OR id IN (SELECT id FROM inside) AS within
        FROM tasks
        UNION ALL
        SELECT id, run_id, 'task', task, label, state_type, state_name, message, started_at, result, false FROM earlier
        UNION ALL
        SELECT c.id, c.id, 'subflow', c.task, c.label, c.state_type, c.state_name, c.message, c.started_at, c.result,
            c.within OR c.caller_task IN (SELECT id FROM inside)
                OR EXISTS (SELECT 1 FROM tasks p WHERE p.id = c.caller_task AND $stored(p))
        FROM called c WHERE c.id <> %(root)s
    ),
    judged AS (
        SELECT c.*, CASE
            WHEN within THEN 'within'
            WHEN $stored(c) THEN 'stored'
            WHEN state_type = 'COMPLETED' AND $again(c) THEN 'again'
            WHEN state_type = 'COMPLETED' AND result IS NOT NULL THEN 'expired'
            WHEN state_type = 'COMPLETED' THEN 'unstored'
            WHEN state_type = 'FAILED' THEN 'failed'
            WHEN started_at IS NULL THEN 'begun'
            ELSE 'unfinished' END AS reason
        FROM calls c
    )
"""
_AGAIN = "({0}.task = ANY(%(again)s) OR coalesce({0}.result->>'key', '') = ANY(%(again)s))"
_STORED = (
    "({0}.state_type = 'COMPLETED' AND {0}.result IS NOT NULL"
    " AND coalesce(({0}.result->>'expires')::bigint > %(now)s, true) AND NOT $again({0}))"
)
_CALLS = re.sub(r"\$stored\((\w+)\)", lambda found: _STORED.format(found[1]), _CALLS)
_CALLS = re.sub(r"\$again\((\w+)\)", lambda found: _AGAIN.format(found[1]), _CALLS)

# The sums of all come first, then the tasks of which there is most to run.
_COUNTS = f"""
    {_CALLS}
    SELECT reason, kind, task, count(*), grouping(task) = 1 AS is_sum FROM judged
    GROUP BY GROUPING SETS ((reason), (kind, task, reason)) ORDER BY 5 DESC, 4 DESC, 3 LIMIT {MAX_TASKS * len(REASONS)}
"""
_PAGE = f"""
    {_CALLS}
    SELECT id, run_id, kind, task, label, state_type, state_name, message, reason FROM judged
    WHERE reason = ANY(%(reasons)s) AND (%(task)s = '' OR task = %(task)s) AND id > %(after)s
    ORDER BY id LIMIT %(limit)s
"""


@dataclass(slots=True)
class Line:
    """What becomes of the calls of one task or subflow, by reason."""

    task: str
    kind: str
    reasons: dict[str, int] = field(default_factory=dict)

    @property
    def groups(self) -> dict[str, int]:
        """How many calls are reused, run again, were never begun."""
        return _grouped(self.reasons)

    @property
    def why(self) -> list[tuple[str, int]]:
        """The reasons in words, in their order."""
        return [(words, self.reasons[reason]) for reason, words in IN_SHORT.items() if reason in self.reasons]


@dataclass(frozen=True, slots=True)
class Plan:
    """What becomes of all calls. `lines` are those of the most frequent tasks, at most MAX_TASKS."""

    reasons: dict[str, int]
    lines: list[Line]

    @property
    def groups(self) -> dict[str, int]:
        """How many calls are reused, run again, were never begun."""
        return _grouped(self.reasons)

    @property
    def total(self) -> int:
        """How many calls are known."""
        return sum(self.reasons.values())


def _grouped(reasons: dict[str, int]) -> dict[str, int]:
    return {group: sum(reasons.get(reason, 0) for reason in own) for group, own in GROUPS.items()}


def plan(run: FlowRun, *, again: Collection[str] = ()) -> Plan:
    """Count what a retry from failure of a run would reuse, if it is given the same.

    Args:
        again: Tasks and keys of calls that are not reused, as `retries.named` answers them.
    """
    reasons: dict[str, int] = {}
    lines: dict[tuple[str, str], Line] = {}
    for reason, kind, task, count, is_sum in _asked(_COUNTS, run, again):
        if is_sum:
            reasons[reason] = count
        elif (kind, task) in lines or len(lines) < MAX_TASKS:
            lines.setdefault((kind, task), Line(task, kind)).reasons[reason] = count
    return Plan(reasons, list(lines.values()))


@dataclass(frozen=True, slots=True)
class Call:
    """One call, and what becomes of it."""

    id: UUID
    run_id: UUID
    kind: str
    task: str
    label: str
    state_type: str
    state_name: str | None
    message: str | None
    reason: str

    @property
    def group(self) -> str:
        """`reused`, `runs` or `waits`."""
        return next(group for group, reasons in GROUPS.items() if self.reason in reasons)

    @property
    def why(self) -> str:
        """The reason in words."""
        return REASONS[self.reason]


def calls(
    run: FlowRun,
    *,
    again: Collection[str] = (),
    group: str = "",
    task: str = "",
    after: UUID | None = None,
    limit: int = A_PAGE,
) -> tuple[list[Call], UUID | None]:
    """A page of calls in the order in which they were made, of one group or task where asked; and where the next one
    begins.
    """
    reasons = list(GROUPS.get(group, REASONS))
    more = {"reasons": reasons, "task": task, "after": after or UUID(int=0), "limit": limit + 1}
    found = [Call(*row) for row in _asked(_PAGE, run, again, **more)]
    return found[:limit], found[limit - 1].id if len(found) > limit else None


def _asked(statement: str, run: FlowRun, again: Collection[str], **more: Any) -> list[tuple[Any, ...]]:
    values = {
        "root": run.id, "attempt": run.attempt, "retention": run.retention, "bucket": run.bucket,
        "repeated": run.attempt > 1 or run.run_count > 1, "again": list(again), "now": micros(now()),
    }  # fmt: skip
    with connection.cursor() as cursor:
        cursor.execute(statement, {**values, **more})
        return cursor.fetchall()
