"""Backfills at work. The runs of a turn and the place that it has come to are one transaction.

So a worker can be killed anywhere: the runs of its turn are there or not, and when its lease is over another one goes
on. Each run carries (backfill, place) as its idempotency key besides.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import replace
from datetime import timedelta
from uuid import UUID

from django.db import connection, transaction
from django.utils.timezone import now

from orchestrator.backfills import Place, leaves_out
from orchestrator.storable import clean_text
from runs import trigger
from runs.backfills import drip, operations, words
from runs.backfills.operations import Outcome, State, changed, end, halt, open_ones
from runs.backfills.places import runs_at
from runs.backfills.planning import request_of
from runs.models import Backfill, BackfillPlace, Deployment, FlowRun, Schedule
from tenants.acting import actor_now
from tenants.errors import Conflict, Forbidden, LimitReached, NotFound, Problem
from tenants.permissions import Actor, can

LEASE = timedelta(seconds=60)
AGAIN = timedelta(seconds=60)  # until it is tried again where the organization may start no runs
MAX_FAILURES = 5  # of turns, before it is paused
KEPT = timedelta(days=90)

_TAKE = """
    UPDATE backfill SET leased_until = %(until)s WHERE (organization_id, id) IN (
        SELECT organization_id, id FROM backfill WHERE state = 'running'
        AND (look_at <= %(now)s OR id = ANY(%(told)s)) AND (leased_until IS NULL OR leased_until < %(now)s)
        ORDER BY look_at NULLS FIRST LIMIT %(limit)s
        FOR UPDATE SKIP LOCKED
    ) RETURNING organization_id, id
"""
_STILL = "SELECT id FROM backfill WHERE id = ANY(%s) AND state = 'running'"
# Whose runs have ended without a word that came through: Redis was away.
_MISSED = """
    UPDATE backfill b SET look_at = %(now)s WHERE (b.organization_id, b.id) IN (
        SELECT organization_id, id FROM backfill WHERE state = 'running' AND look_at IS NULL
        AND (leased_until IS NULL OR leased_until < %(now)s)
        FOR UPDATE SKIP LOCKED
    ) AND b.at_once > (
        SELECT count(*) FROM (
            SELECT 1 FROM flow_run r WHERE r.organization_id = b.organization_id AND r.backfill_id = b.id
            AND r.state_type IN ('CANCELLING', 'PAUSED', 'PENDING', 'RUNNING', 'SCHEDULED') LIMIT b.at_once
        ) alive)
"""


def take_due(*, limit: int) -> list[tuple[UUID, UUID]]:
    """(organization, backfill) of those that nobody works on and that may make runs; the caller's for a minute. As the
    system.
    """
    told, at = words.take(limit=limit), now()
    with connection.cursor() as cursor:
        cursor.execute(_TAKE, {"until": at + LEASE, "now": at, "limit": limit, "told": told})
        taken = cursor.fetchall()
        if left := list(set(told) - {id for _, id in taken}):
            cursor.execute(_STILL, [left])
            words.put_back([id for (id,) in cursor.fetchall()])
    return taken


def find_missed() -> int:
    """Have those looked at that have room for runs though no word came of it; how many. As the system."""
    with connection.cursor() as cursor:
        cursor.execute(_MISSED, {"now": now()})
        return cursor.rowcount


def work(id: UUID) -> bool:
    """Take one turn at a backfill; whether there may be more to do at once. Call it inside the organization's scope."""
    rows = open_ones().select_for_update(no_key=True, skip_locked=True)
    backfill = rows.filter(id=id, state=State.RUNNING).first()
    if backfill is None:  # It was paused or has ended, or somebody else is at it.
        return False
    before = (backfill.state, backfill.message, backfill.reached)
    more = _turn(backfill)
    if before != (backfill.state, backfill.message, backfill.reached):
        changed(backfill)
    return more


def _turn(backfill: Backfill) -> bool:
    if not backfill.left:
        return _finish(backfill)
    by = actor_now(backfill.workspace_id, user_id=backfill.user_id, key_id=backfill.key_id)
    if by is None or not can(by, "runs.trigger"):
        end(backfill, State.CANCELLED, f"{backfill.created_by} may not run this any more.", at=now())
        return False
    deployment = _deployment(backfill)
    if deployment is None:
        end(backfill, State.CANCELLED, "The deployment was deleted.", at=now())
        return False
    if drip.failed_in_a_row(backfill):
        number = backfill.pause_after_failures
        halt(backfill, f"Paused: the last {number} of its runs failed." if number != 1 else "Paused: a run failed.")
        return False
    return _go_on(backfill, deployment, by)


def _finish(backfill: Backfill) -> bool:
    """All runs were made: it is over when they have ended."""
    if operations.under_way(backfill).exists():
        backfill.message, backfill.look_at = "", None
        return _note(backfill, more=False)
    end(backfill, State.COMPLETED, at=now())
    return False


def _deployment(backfill: Backfill) -> Deployment | None:
    return Deployment.objects.select_related("flow", "pool").filter(id=backfill.deployment_id).first()


def _go_on(backfill: Backfill, deployment: Deployment, by: Actor) -> bool:
    """Make the runs for which there is room."""
    at = now()
    room = drip.room(backfill, at)
    backfill.message, backfill.look_at = "", None
    batch = _next(backfill, room.runs)
    try:
        with transaction.atomic():
            _make(backfill, deployment, batch, by)
    except LimitReached as problem:
        backfill.message, backfill.look_at = problem.message, at + AGAIN
        return _note(backfill, more=False)
    except (Forbidden, Conflict) as problem:
        end(backfill, State.CANCELLED, problem.message, at=at)
        return False
    except NotFound:
        end(backfill, State.CANCELLED, "The deployment was deleted.", at=at)
        return False
    if room.paced:
        backfill.look_at = drip.next_by_pace(backfill, at)
    full = len(batch) == drip.BATCH or any(place.outcome != Outcome.MADE for place in batch)
    return _note(backfill, more=full and not room.paced)


def _next(backfill: Backfill, number: int) -> list[BackfillPlace]:
    rows = BackfillPlace.objects.filter(backfill=backfill, ordinal__gte=backfill.reached, outcome=Outcome.WAITING)
    return list(rows.order_by("ordinal")[:number]) if number else []


def _make(backfill: Backfill, deployment: Deployment, batch: Sequence[BackfillPlace], by: Actor) -> None:
    if not batch:
        return
    there = _there_by_now(backfill, deployment, batch)
    fresh = [place for place in batch if place.ordinal not in there]
    for place in batch:
        if place.ordinal in there:
            place.outcome, place.run_id = Outcome.SKIPPED, there[place.ordinal]
    _make_runs(backfill, deployment, fresh, by)
    BackfillPlace.objects.bulk_update(batch, ["outcome", "run_id", "message"])
    backfill.reached = batch[-1].ordinal + 1
    for outcome in (Outcome.MADE, Outcome.SKIPPED, Outcome.REFUSED):
        number = sum(place.outcome == outcome for place in batch)
        setattr(backfill, outcome.value, getattr(backfill, outcome.value) + number)


def _there_by_now(backfill: Backfill, deployment: Deployment, batch: Collection[BackfillPlace]) -> dict[int, UUID]:
    """The runs of times that somebody else has run since this was asked for, by ordinal."""
    if backfill.times is None or backfill.existing == "all":
        return {}
    found = runs_at(deployment, backfill.schedule_id, [place.time for place in batch if place.time])
    kept = {time: run for time, run in found.items() if leaves_out(backfill.existing, run.state_type)}
    return {place.ordinal: kept[place.time].id for place in batch if place.time in kept}


def _make_runs(backfill: Backfill, deployment: Deployment, places: Sequence[BackfillPlace], by: Actor) -> None:
    """All of them together; where that is refused, those that are not to blame."""
    schedule = Schedule.objects.filter(id=backfill.schedule_id).first() if backfill.schedule_id else None
    wanted = {place.id: _request(backfill, deployment, schedule, place) for place in places}
    try:
        with transaction.atomic():
            _create(backfill, places, wanted, by)
        return
    except (LimitReached, Forbidden, Conflict, NotFound):
        raise
    except Problem:
        for place in places:
            _try(place, wanted[place.id])
    _create(backfill, [place for place in places if place.outcome != Outcome.REFUSED], wanted, by)


def _create(
    backfill: Backfill, places: Sequence[BackfillPlace], wanted: dict[UUID, trigger.RunRequest], by: Actor
) -> None:
    requests = [wanted[place.id] for place in places]
    made, _ = trigger.create_runs(requests, by=by, origin=FlowRun.Origin.BACKFILL) if requests else ([], set())
    for place, run in zip(places, made, strict=True):
        place.outcome, place.run_id = Outcome.MADE, run.id
    drip.note_made(backfill, len(made), now())


def _try(place: BackfillPlace, request: trigger.RunRequest) -> None:
    try:
        trigger.check_request(request)
    except Problem as problem:
        told = "; ".join(f"{name}: {what}" for name, what in (problem.fields or {}).items()) or problem.message
        place.outcome, place.message = Outcome.REFUSED, clean_text(told, 1_000)


def _request(
    backfill: Backfill, deployment: Deployment, schedule: Schedule | None, place: BackfillPlace
) -> trigger.RunRequest:
    own = Place(place.ordinal, place.time, place.parameters)
    plain = request_of(deployment, schedule, own, tags=backfill.tags, priority=backfill.priority)
    return replace(plain, backfill_id=backfill.id, idempotency_key=f"backfill:{backfill.id}:{place.ordinal}")


def _note(backfill: Backfill, *, more: bool) -> bool:
    """Write down how far it has come. While there is more to do it stays the worker's; else a word wakes it."""
    backfill.failures, backfill.leased_until = 0, now() + LEASE if more else None
    fields = ("made", "skipped", "refused", "reached", "message", "paced_to", "look_at", "leased_until", "failures")
    backfill.save(update_fields=[*fields])
    return more


def let_go(id: UUID) -> None:
    """Let another worker go on, or this one when those have had their turn that wait for longer."""
    open_ones().filter(id=id, state=State.RUNNING).update(leased_until=None, look_at=now())


def note_failure(id: UUID) -> None:
    """Try a turn that failed again later, and pause the backfill after a few times."""
    backfill = open_ones().select_for_update(no_key=True).filter(id=id, state=State.RUNNING).first()
    if backfill is None:
        return
    backfill.failures += 1
    backfill.save(update_fields=["failures"])
    if backfill.failures >= MAX_FAILURES:
        halt(backfill, "Paused: it failed several times at the same place; the server's log says why.")
        return
    backfill.look_at, backfill.leased_until = now() + timedelta(seconds=2**backfill.failures), None
    backfill.save(update_fields=["look_at", "leased_until"])


def forget(*, limit: int) -> int:
    """Remove those that ended long ago, with their places; how many. As the system."""
    with connection.cursor() as cursor:
        cursor.execute(
            "DELETE FROM backfill WHERE (organization_id, id) IN (SELECT organization_id, id FROM backfill"
            " WHERE ended_at < %s LIMIT %s)",
            [now() - KEPT, limit],
        )
        return cursor.rowcount
