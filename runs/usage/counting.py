"""What counts, and what a batch adds to it.

- A **task run** counts 1 from the first word about it, however often it is retried, and 0 while it is
  COMPLETED/Cached or COMPLETED/Replayed.
- A **flow run** counts 1 when its function first begins, and 0 if it ends so.
- What an execution of a flow repeats counts 0: a flow's count is that of its largest execution, not the sum of all.
  An execution is one call of the flow's function: a flow's own retry and the attempt after a crash are further ones.
  What it calls counts within it, subflows too: S below counts in the execution of its parent that called it.

        tasks(run) = max over its executions x of (task runs of x + the sum of tasks(S) of the subflows called in x)

- **Run time** is the time in user code of root runs, as far as their holders told it: subflows run within it.
  **CPU** is what the processes told, **log bytes** the UTF-8 bytes of messages. They measure work, whatever for:
  retries are in them.

A run's row carries the counts of each of its executions (`counted`), so that a batch knows what it adds without
reading rows again. `recount.py` comes to the same from the rows alone.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable
from uuid import UUID

from django.db import connection

from orchestrator.states import StateType
from runs.transitions import COLUMNS, RunRow

MAX_EXECUTIONS = 1_000  # are told apart; what comes later is taken for the last of them
REUSED = ("Cached", "Replayed")
IS_REUSED = "state_type = 'COMPLETED' AND state_name IN ('Cached', 'Replayed')"
"""`REUSED`, in SQL. A task run's name may be null, which makes it null: `IS NOT TRUE` asks for those that count."""

Pair = tuple[int, int]
"""Task runs and flow runs."""


def execution_of(run_count: int) -> int:
    """The number under which an execution is counted."""
    return min(max(run_count, 1), MAX_EXECUTIONS)


def is_counted(row: RunRow) -> int:
    """1 for a flow run that counts by itself."""
    reused = row.state_type == StateType.COMPLETED and row.state_name in REUSED
    return int(row.started_at is not None and not reused)


class Counts:
    """What the runs of some executions have counted so far, and what a batch adds.

    Args:
        rows: The locked roots and the subflows that the batch speaks of, by id.
    """

    def __init__(self, rows: dict[UUID, RunRow]) -> None:
        self.rows = rows
        self.changed: dict[UUID, RunRow] = {}

    def add_tasks(self, found: Iterable[tuple[UUID, int, int]]) -> Pair:
        """Add (run, execution, task runs); answer what the meters rise by."""
        return _sum(self._rise(self.rows[run], execution, (tasks, 0)) for run, execution, tasks in found if tasks)

    def add_flow(self, row: RunRow, flows: int) -> Pair:
        """Add a flow run that began, or take one away that turned out to be reused."""
        if not flows or row.is_root:
            return 0, flows
        return self._above(row, (0, flows))

    def _rise(self, row: RunRow, execution: int, by: Pair) -> Pair:
        before = best(row.counted)
        counted = list(row.counted or ())
        counted += [0] * (2 * execution - len(counted))
        counted[2 * execution - 2] += by[0]
        counted[2 * execution - 1] += by[1]
        row.counted = counted
        self.changed[row.id] = row
        after = best(counted)
        return self._above(row, (after[0] - before[0], after[1] - before[1]))

    def _above(self, row: RunRow, by: Pair) -> Pair:
        """Hand what a run's count rose by to the execution that called it; at the root, to the meters."""
        if row.is_root or by == (0, 0):
            return by
        caller = self.rows.get(row.parent_id) if row.called_in > 0 and row.parent_id else None
        if caller is None or caller.root_id != row.root_id:
            caller = self.rows[row.root_id]
        return self._rise(caller, max(abs(row.called_in), 1), by)


def best(counted: Collection[int] | None) -> Pair:
    """The count of the largest execution.

    >>> best([3, 1, 5, 0])
    (5, 1)
    """
    values = list(counted or ())
    return max(values[::2], default=0), max(values[1::2], default=0)


def _sum(pairs: Iterable[Pair]) -> Pair:
    tasks = flows = 0
    for each in pairs:
        tasks, flows = tasks + each[0], flows + each[1]
    return tasks, flows


_ABOVE = f"""
    WITH RECURSIVE above AS (
        SELECT unnest(%s::uuid[]) AS id
        UNION
        SELECT p.parent_id FROM above JOIN flow_run p ON p.id = above.id WHERE p.called_in > 0
    )
    SELECT {COLUMNS} FROM flow_run r JOIN above ON above.id = r.id WHERE r.root_id = ANY(%s)
"""


def with_callers(rows: dict[UUID, RunRow]) -> dict[UUID, RunRow]:
    """The rows and those of the flows that called them. Their roots' locks protect these, too."""
    absent = {row.parent_id for row in rows.values() if row.called_in > 0} - rows.keys()
    if not absent:
        return rows
    with connection.cursor() as cursor:
        cursor.execute(_ABOVE, [list(absent), list({row.root_id for row in rows.values()})])
        found = [RunRow(*values) for values in cursor.fetchall()]
    return {row.id: row for row in found} | rows
