"""Bulk operations at work. What is done to a batch and how far the operation has come is one transaction.

So a worker can be killed anywhere: its batch was done or not, and when its lease is over another one goes on.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Sequence
from datetime import datetime, timedelta
from functools import partial
from uuid import UUID

from django.conf import settings
from django.db import connection, transaction
from django.utils.timezone import now

from runs import deleting, retries, trigger
from runs.bulk import choosing
from runs.bulk.operations import State, announce, end, open_ones
from runs.inputs import answers, pausing
from runs.models import BulkOperation, FlowRun
from runs.transitions import lock_runs
from tenants.acting import actor_now
from tenants.errors import Problem
from tenants.permissions import Actor, can

BATCHES = {  # runs of one transaction
    choosing.CANCEL: 200, choosing.RETRY: 25, choosing.DELETE: 25, choosing.PAUSE: 25, choosing.RESUME: 25,
}  # fmt: skip
LEASE = timedelta(seconds=60)
MAX_FAILURES = 5  # of batches, before it is given up
KEPT = timedelta(days=90)

_TAKE = """
    UPDATE bulk_operation SET leased_until = %(until)s WHERE (organization_id, id) IN (
        SELECT organization_id, id FROM bulk_operation WHERE state IN ('waiting', 'running') AND begins_at <= %(now)s
        AND (leased_until IS NULL OR leased_until < %(now)s)
        ORDER BY leased_until NULLS FIRST, begins_at LIMIT %(limit)s
        FOR UPDATE SKIP LOCKED
    ) RETURNING organization_id, id
"""


def take_due(*, limit: int) -> list[tuple[UUID, UUID]]:
    """(organization, operation) of those that nobody works on; they are the caller's for a minute. As the system."""
    at = now()
    with connection.cursor() as cursor:
        cursor.execute(_TAKE, {"until": at + LEASE, "now": at, "limit": limit})
        return cursor.fetchall()


def work(id: UUID) -> bool:
    """Do one batch of an operation; whether there may be more. Call it inside the organization's scope."""
    rows = open_ones().select_for_update(no_key=True, skip_locked=True)
    operation = rows.filter(id=id, begins_at__lte=now()).first()
    if operation is None:  # It was cancelled, or somebody else is at it.
        return False
    by = actor_now(operation.workspace_id, user_id=operation.user_id, key_id=operation.key_id)
    if by is None or not can(by, choosing.VERBS[operation.kind]):
        end(operation, State.CANCELLED, f"{operation.created_by} may not do this any more.", at=now())
        return False
    batch = _next(operation, by)
    if batch:
        _do(operation, batch, by)
    _note(operation, batch, at=now())
    return operation.is_open


def _next(operation: BulkOperation, by: Actor) -> list[FlowRun]:
    """The oldest runs behind the place that it has come to, as many as may still be hit."""
    rows = choosing.again(operation, by=by).hit()
    if operation.reached_at is not None:
        rows = rows.filter(created_at__gte=operation.reached_at)
        rows = rows.exclude(created_at=operation.reached_at, id__lte=operation.reached_id)
    left = settings.BULK_RUNS - operation.done - sum(operation.refused.values())
    size = min(BATCHES[operation.kind], max(left, 0))
    shown = rows.select_related("flow", "deployment__flow", "deployment__pool").defer("history")
    return list(shown.order_by("created_at", "id")[:size])


def _do(operation: BulkOperation, batch: Sequence[FlowRun], by: Actor) -> None:
    refused = _ACTS[choosing.Kind(operation.kind)](operation, batch, by)
    operation.done += len(batch) - sum(refused.values())
    operation.refused = dict(Counter(operation.refused) + refused)


def _cancel(operation: BulkOperation, batch: Sequence[FlowRun], by: Actor) -> Counter[str]:
    asked = set(trigger.cancel_runs([run.id for run in batch], by=by))
    return Counter({"ended": sum(run.id not in asked for run in batch)})


def _retry(operation: BulkOperation, batch: Sequence[FlowRun], by: Actor) -> Counter[str]:
    """Under the locks of the runs, so that of two operations one retries a run, and the other sees that."""
    lock_runs([run.id for run in batch])
    ids = [run.id for run in batch]
    retried = set(FlowRun.objects.filter(retry_of__in=ids).values_list("retry_of", flat=True))
    left = [run for run in batch if run.id not in retried]

    def retry(run: FlowRun) -> None:
        retries.retry(run, parameters=run.parameters, by=by, from_failure=operation.from_failure)

    return Counter({"retried": len(retried)}) + _each(left, retry)


def _delete(operation: BulkOperation, batch: Sequence[FlowRun], by: Actor) -> Counter[str]:
    return Counter(left.code for left in deleting.delete_runs([run.id for run in batch], by=by).values())


def _pause(operation: BulkOperation, batch: Sequence[FlowRun], by: Actor) -> Counter[str]:
    lock_runs([run.id for run in batch])
    return _each(batch, partial(pausing.pause, by=by))


def _resume(operation: BulkOperation, batch: Sequence[FlowRun], by: Actor) -> Counter[str]:
    lock_runs([run.id for run in batch])
    return _each(batch, lambda run: answers.resume(run, answers.Said(), by=by))


def _each(runs: Sequence[FlowRun], act: Callable[[FlowRun], object]) -> Counter[str]:
    """Do it to each of some locked runs; answer how many refused it, by the code of the refusal."""
    refused: Counter[str] = Counter()
    for run in runs:
        try:
            with transaction.atomic():
                act(run)
        except Problem as problem:
            refused[problem.code] += 1
    return refused


_ACTS = {
    choosing.CANCEL: _cancel, choosing.RETRY: _retry, choosing.DELETE: _delete, choosing.PAUSE: _pause,
    choosing.RESUME: _resume,
}  # fmt: skip


def _note(operation: BulkOperation, batch: Sequence[FlowRun], *, at: datetime) -> None:
    if batch:
        operation.reached_at, operation.reached_id = batch[-1].created_at, batch[-1].id
    operation.state, operation.started_at = State.RUNNING, operation.started_at or at
    operation.leased_until, operation.failures = at + LEASE, 0
    operation.save(
        update_fields=[
            *("done", "refused", "reached_at", "reached_id", "state", "started_at", "leased_until", "failures")
        ]
    )
    if len(batch) < BATCHES[operation.kind]:
        end(operation, State.COMPLETED, at=at)
    else:
        announce(operation)


def let_go(id: UUID) -> None:
    """Let another worker go on, or this one when those have had their turn that wait for longer."""
    open_ones().filter(id=id).update(leased_until=now())


def note_failure(id: UUID) -> None:
    """Try a batch that failed again later, and give the operation up after a few times."""
    operation = open_ones().select_for_update(no_key=True).filter(id=id).first()
    if operation is None:
        return
    operation.failures += 1
    if operation.failures >= MAX_FAILURES:
        end(operation, State.FAILED, "It failed several times at the same place; the server's log says why.", at=now())
    else:
        operation.leased_until = now() + timedelta(seconds=2**operation.failures)
    operation.save(update_fields=["failures", "leased_until"])


def forget(*, limit: int) -> int:
    """Remove those that ended long ago; how many. As the system."""
    with connection.cursor() as cursor:
        cursor.execute(
            "DELETE FROM bulk_operation WHERE (organization_id, id) IN (SELECT organization_id, id FROM bulk_operation"
            " WHERE ended_at < %s LIMIT %s)",
            [now() - KEPT, limit],
        )
        return cursor.rowcount
