"""Deleting runs that have ended: whole executions, so that nothing shows them any more, and nothing brings them back.

The rows of the runs themselves go at once. What they told may be a million rows: a `DeletedRun` says what is left, and
`runs/emptying.py` removes it batch by batch. The same row answers journals that come late (the first batch of a flow
that was called by hand would make its run anew), and holds what was used, which a deletion doesn't change.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Collection, Iterable
from datetime import datetime, timedelta
from typing import Any, NamedTuple
from uuid import UUID

from django.db import connection
from django.db.models.fields.json import KeyTextTransform
from django.utils.timezone import now

from orchestrator.states import ALIVE
from runs import live
from runs.hidden import check_run
from runs.models import DeletedRun, FlowRun, StoredResult
from runs.partitions import kept_until
from runs.transitions import RunRow, lock_runs
from runs.usage.counting import best, is_counted
from tenants import audit
from tenants.errors import Conflict, NotFound
from tenants.permissions import Actor

VERB = "runs.delete"
LATE = timedelta(days=8)  # Words that come a week after the end are refused anyway: `ingest/streams.py`.
NAME_IN_TRAIL = 100  # characters
_REUSED = """
    SELECT r.id, min(x.name) FROM flow_run r JOIN flow_run x ON x.organization_id = r.organization_id
        AND x.replay_root = coalesce(r.replay_root, r.id) AND x.state_type = ANY(%s)
    WHERE r.id = ANY(%s) GROUP BY r.id
"""


def delete(run: FlowRun, *, by: Actor) -> None:
    """Delete a run with its subflows and all that they told and made.

    Raises:
        Conflict: It has not ended, another run called it, or one that goes on reuses what it stored.
        Forbidden: Its deployment's rules don't let this actor delete it.
        NotFound: Somebody else was faster.
    """
    check_run(run, by, VERB)
    left = delete_runs([run.id], by=by).get(run.id)
    if left is not None:
        raise NotFound(left.message) if left.code == GONE.code else Conflict(left.message)


class Left(NamedTuple):
    """Why a run was not deleted."""

    code: str
    message: str


GONE = Left("deleted", "There is no such flow run here.")
CALLED = Left("called", "It was called by another run. Delete that one: its subflows go with it.")


def delete_runs(ids: Collection[UUID], *, by: Actor) -> dict[UUID, Left]:
    """Delete executions by the ids of their roots; answer which were not."""
    own = FlowRun.objects.filter(id__in=ids, workspace_id=by.workspace_id)
    rows = lock_runs(own.values_list("id", flat=True))
    left = dict.fromkeys(set(ids) - rows.keys(), GONE)
    left |= {id: why for id, row in rows.items() if (why := _why_not(row))}
    left |= _reused([id for id in rows if id not in left])
    gone = [row for id, row in rows.items() if id not in left]
    if gone:
        _delete(gone, by, now())
    return left


def _why_not(row: RunRow) -> Left | None:
    if not row.is_root:
        return CALLED
    return None if row.is_final else Left("not_ended", f"The run has not ended ({row.state_name}). Cancel it first.")


def _reused(roots: list[UUID]) -> dict[UUID, Left]:
    """Those whose chain of retries is not over."""
    with connection.cursor() as cursor:
        cursor.execute(_REUSED, [sorted(ALIVE), roots])
        found = cursor.fetchall()
    return {
        id: Left("reused", f"The run {name} goes on and reuses what this one stored. Wait for it.")
        for id, name in found
    }


def _delete(rows: list[RunRow], by: Actor, at: datetime) -> None:
    ids = [row.id for row in rows]
    facts = {id: told for id, *told in FlowRun.objects.filter(id__in=ids).values_list("id", "tags", "call")}
    families = _families(ids)
    DeletedRun.objects.bulk_create(_tombstone(row, facts[row.id][0], families[row.id], by, at) for row in rows)
    with connection.cursor() as cursor:  # Attempts, leases, questions and messages go with their runs.
        cursor.execute("DELETE FROM flow_run WHERE root_id = ANY(%s)", [ids])
    _forget_arguments([call for _, call in facts.values() if call], by)
    told = [{"run": str(row.id), "name": row.name[:NAME_IN_TRAIL], "state": row.state_name} for row in rows]
    audit.record(by, "run.deleted", name=rows[0].name, details={"runs": told, "count": len(rows)})
    live.runs_changed(rows)


def _families(roots: list[UUID]) -> dict[UUID, list[UUID]]:
    """All runs of each execution."""
    found: dict[UUID, list[UUID]] = defaultdict(list)
    for root_id, id in FlowRun.objects.filter(root_id__in=roots).values_list("root_id", "id"):
        found[root_id].append(id)
    return found


def _tombstone(row: RunRow, tags: list[str], family: list[UUID], by: Actor, at: datetime) -> DeletedRun:
    tasks, flows = best(row.counted)
    place = (row.retention, row.bucket)
    return DeletedRun(
        id=row.id, organization_id=by.organization_id, workspace_id=row.workspace_id, deployment_id=row.deployment_id,
        tags=tags, retention=row.retention, bucket=row.bucket, run_ids=family, flow_runs=flows + is_counted(row),
        task_runs=tasks, run_time=row.duration, cpu=row.cpu, deleted_at=at,
        keep_until=max(kept_until(place), (at + LATE).date()),
    )  # fmt: skip


def _forget_arguments(calls: list[dict[str, Any]], by: Actor) -> None:
    """Remove what the server keeps of the arguments of calls, unless another run was made of the same call."""
    keys = {call["arguments"]: list(_stored(call)) for call in calls if isinstance(call.get("arguments"), str)}
    if keys:
        rows = FlowRun.objects.filter(call__has_key="arguments")  # As their index has it.
        rows = rows.annotate(arguments=KeyTextTransform("arguments", "call"))
        named = rows.filter(arguments__in=list(keys)).values_list("arguments", flat=True)
        gone = [key for arguments in keys.keys() - set(named) for key in keys[arguments]]
        StoredResult.objects.filter(workspace_id=by.workspace_id, key__in=gone).delete()


def _stored(call: dict[str, Any]) -> Iterable[str]:
    told = call.get("stored")
    for each in told.values() if isinstance(told, dict) else ():
        key = each.get("key") if isinstance(each, dict) else None
        if isinstance(key, str) and key.startswith("calls/"):
            yield key


def deleted(ids: Collection[UUID], *, workspace_id: UUID | None) -> set[UUID]:
    """Which of some executions of a workspace were deleted, as far as that is still known."""
    if not ids:
        return set()
    return set(DeletedRun.objects.filter(workspace_id=workspace_id, id__in=ids).values_list("id", flat=True))


def stay_deleted(ids: Collection[UUID]) -> None:
    """Take back runs that were made anew in this transaction: their deletion came between its look and its insert."""
    if ids:
        with connection.cursor() as cursor:
            cursor.execute("DELETE FROM flow_run WHERE root_id = ANY(%s)", [list(ids)])
