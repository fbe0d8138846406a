"""Ticks. Each takes a bounded share, selects (organization, id) as the system, then works tenant by tenant."""

from __future__ import annotations

import logging
import time
from collections import defaultdict
from collections.abc import Callable, Collection, Iterable
from datetime import UTC, date, datetime, timedelta
from functools import partial
from typing import Protocol, TypeVar
from uuid import UUID

import psycopg
from celery import shared_task
from django.conf import settings
from django.db import connection
from django.utils.timezone import now

from orchestrator.states import By, StateType
from runs import agents, claims, emptying, keeping, outages, overflow, partitions, scheduling, waiting
from runs.automations import delivery, grouping, triggering  # noqa: F401 - the others register what delivers
from runs.backfills import working as backfills
from runs.bulk import working
from runs.inputs import requests
from runs.models import LATE_AFTER
from runs.slots import queue
from runs.transitions import lock_runs, move, save
from runs.usage import api_calls, closing, limits, rollup, sealing, seats, storage
from runs.usage.recount import Bucket
from tenants.billing import subscriptions
from tenants.scope import system_scope, tenant_scope

logger = logging.getLogger(__name__)
AT_ONCE = 500
SCHEDULES_AT_ONCE = 250
SCHEDULING_SECONDS = 0.5  # of one tick; what is left over is due within the minute, and the next one's
AGENTS_AT_ONCE = 5_000
BULK_AT_ONCE = 20  # operations of all organizations that are handed out by one tick
BACKFILLS_AT_ONCE = 100  # of all organizations that are handed out by one tick
FORGOTTEN_AT_ONCE = 5  # backfills
BULK_SECONDS = 5  # of one operation or backfill, until it is another one's turn
EMPTYING_SECONDS = 5  # of one organization; the tick comes again
T = TypeVar("T")
PLANS_BEGUN = timedelta(days=2)  # A plan that began within it is looked at; the tick may have been away.


@shared_task
def expire_leases() -> None:
    """Judge runs whose holder has been silent for the time of a lease."""
    outages.note_alive()
    with system_scope():
        found = claims.expired(limit=AT_ONCE)
    _by_tenant(found, lambda _, ids: claims.expire(ids))


@shared_task
def hand_on_slots() -> None:
    """Give slots of holders that were silent too long to those who wait for them."""
    with system_scope():
        found = queue.dead(limit=AT_ONCE)
    _by_tenant(found, lambda _, names: queue.clear(names))


@shared_task
def expire_inputs() -> None:
    """End what runs have waited for in vain, and the runs with it that no process waits in."""
    with system_scope():
        found = requests.late(limit=AT_ONCE)
    _by_tenant(found, lambda _, roots: requests.expire(roots))


@shared_task
def create_scheduled_runs() -> None:
    """Make the runs that schedules want within the next minute: set after set, while there is time for it.

    Each schedule has one turn, so that those whose turn fails don't stand before the others.
    """
    until, seen = time.monotonic() + SCHEDULING_SECONDS, set[UUID]()
    while time.monotonic() < until:
        with system_scope():
            found = scheduling.due(limit=SCHEDULES_AT_ONCE, but=seen)
        if not found:
            break
        _by_tenant(found, scheduling.create_due_runs)
        seen |= {id for _, id in found}


@shared_task
def skip_late_runs() -> None:
    """Give up runs that were not started by the time by which they had to."""
    with system_scope():
        found = scheduling.too_late(limit=AT_ONCE)
    _by_tenant(found, lambda _, ids: scheduling.skip(ids))


@shared_task
def cancel_surplus_runs() -> None:
    """Cancel what became due while its deployment has no slot for it, where it wants that."""
    with system_scope():
        found = overflow.due(at=now(), limit=AT_ONCE)
    _by_tenant(found, lambda _, ids: overflow.cancel_surplus(ids, at=now()))


@shared_task
def find_bulk_operations() -> None:
    """Have bulk operations worked on that nobody works on, on the queue for work that may be slow."""
    with system_scope():
        found = working.take_due(limit=BULK_AT_ONCE)
    for organization_id, id in found:
        work_on_bulk_operation.apply_async([str(organization_id), str(id)], expires=working.LEASE.total_seconds())


@shared_task
def work_on_bulk_operation(organization_id: str, id: str) -> None:
    """Do batches of one bulk operation for a while, each in a transaction of its own."""
    _by_turns(working, UUID(organization_id), UUID(id))


@shared_task
def forget_bulk_operations() -> None:
    """Remove bulk operations that ended long ago, a bounded number in each transaction."""
    _all_of(working.forget)


@shared_task
def find_backfills() -> None:
    """Have backfills worked on that may make runs, on the queue for work that may be slow."""
    with system_scope():
        found = backfills.take_due(limit=BACKFILLS_AT_ONCE)
    for organization_id, id in found:
        work_on_backfill.apply_async([str(organization_id), str(id)], expires=backfills.LEASE.total_seconds())


@shared_task
def find_missed_backfills() -> None:
    """Have those looked at that could make runs though no word of it came."""
    with system_scope():
        backfills.find_missed()


@shared_task
def work_on_backfill(organization_id: str, id: str) -> None:
    """Make runs of one backfill while there is room for them, turn by turn, each in a transaction of its own."""
    _by_turns(backfills, UUID(organization_id), UUID(id))


@shared_task
def forget_backfills() -> None:
    """Remove backfills that ended long ago, a bounded number in each transaction: each may have thousands of places."""
    _all_of(backfills.forget, limit=FORGOTTEN_AT_ONCE)


@shared_task
def find_deleted_runs() -> None:
    """Have removed what deleted runs have left, on the queue for work that may be slow."""
    with system_scope():
        found = emptying.waiting(limit=AT_ONCE)
    for organization_id in found:
        empty_deleted_runs.apply_async([str(organization_id)], expires=2 * EMPTYING_SECONDS)


@shared_task
def empty_deleted_runs(organization_id: str) -> None:
    """Remove what deleted runs of one organization have left for a while, batch by batch."""
    until, tenant, more = time.monotonic() + EMPTYING_SECONDS, UUID(organization_id), True
    while more and time.monotonic() < until:
        with tenant_scope(tenant):
            more = emptying.empty(tenant) is not None


@shared_task
def forget_deleted_runs() -> None:
    """Forget deletions whose runs would be gone by now, a bounded number in each transaction."""
    _all_of(partial(emptying.forget, datetime.now(UTC).date()))


@shared_task
def mark_late_runs() -> None:
    """Call runs Late that should have started a while ago."""
    with system_scope(), connection.cursor() as cursor:
        cursor.execute(
            "SELECT organization_id, id FROM flow_run WHERE state_type = 'SCHEDULED' AND state_name = 'Scheduled'"
            " AND due_at < %s ORDER BY due_at LIMIT %s",
            [now() - LATE_AFTER, AT_ONCE],
        )
        found = cursor.fetchall()
    _by_tenant(found, lambda _, ids: mark_late(ids))


def mark_late(ids: Collection[UUID]) -> None:
    """Runs of one organization that no agent has taken in time."""
    rows = lock_runs(ids, skip_locked=True)
    for row in rows.values():
        if row.state_type == StateType.SCHEDULED and row.due_at and row.due_at < now() - LATE_AFTER:
            move(row, StateType.SCHEDULED, by=By.SERVER, name="Late", message="No agent has taken it in time.")
    save(rows.values())


@shared_task
def note_waiting_agents() -> None:
    """Write down who came to wait for work: agents that hold nothing give no other sign of life."""
    while seen := waiting.take_seen(limit=AGENTS_AT_ONCE):
        with system_scope(), connection.cursor() as cursor:
            cursor.execute(
                "UPDATE agent a SET last_seen_at = greatest(a.last_seen_at, to_timestamp(n.at))"
                " FROM unnest(%s::uuid[], %s::uuid[], %s::float[]) n (organization_id, id, at)"
                " WHERE a.organization_id = n.organization_id AND a.id = n.id",
                [list(column) for column in zip(*seen, strict=True)],
            )


@shared_task
def roll_up_usage() -> None:
    """Add what was used since the last time to its days, and look after limits where something was used, or is alive
    that has to stop.
    """
    touched = rollup.roll_up()
    with system_scope():
        touched |= limits.want_cancelling()
    _by_tenant(((id, id) for id in touched), lambda id, _: limits.look_after(id))


@shared_task
def add_up_api_calls() -> None:
    """Take the calls of the API that web processes have counted to their day."""
    api_calls.add_up(now())


@shared_task
def note_seats() -> None:
    """Write down the most people that each organization has today."""
    with system_scope():
        seats.note(now().date())


@shared_task
def find_storage_to_measure() -> None:
    """Have measured what organizations keep, once a day, on the queue for work that may be slow."""
    with system_scope():
        found = storage.due(now().date())
    for organization_id in found:
        measure_storage.apply_async([str(organization_id)], expires=900)


@shared_task
def measure_storage(organization_id: str) -> None:
    """Measure what one organization keeps."""
    with tenant_scope(UUID(organization_id)):
        storage.keep(UUID(organization_id), now().date())


@shared_task
def close_months() -> None:
    """Make the invoices of the last months, and keep new runs for as long as the plans say that have begun."""
    closing.close_last_months()
    with system_scope():
        begun = subscriptions.begun_since(now() - PLANS_BEGUN)
    _by_tenant(((id, id) for id in begun), lambda id, _: subscriptions.keep_for(id, subscriptions.plan_of(id)))


@shared_task
def find_usage_to_seal() -> None:
    """Have the usage of buckets proved whose runs have nothing more to tell, on the queue for work that may be slow."""
    with system_scope():
        found = sealing.due(now())
    for organization_id, days, bucket in found:
        seal_usage.apply_async([str(organization_id), days, bucket], expires=900)


@shared_task
def seal_usage(organization_id: str, days: int, bucket: str) -> None:
    """Prove the usage of one bucket."""
    with tenant_scope(UUID(organization_id)):
        sealing.seal(UUID(organization_id), Bucket(days, date.fromisoformat(bucket)))


@shared_task
def notice_agents() -> None:
    """Say once that an agent is gone, or back. After an outage of our own everybody has time to be heard of."""
    note_waiting_agents()
    if outages.is_over_lately():
        return
    with system_scope():
        found = agents.gone_or_back(limit=AT_ONCE)
    _by_tenant(found, agents.notice)


@shared_task
def notify_of_firings() -> None:
    """Make notifications of what fired, which the outbox delivers."""
    with system_scope():
        found = grouping.waiting(limit=AT_ONCE)
    _by_tenant(found, lambda _, ids: grouping.notify(ids))


@shared_task
def forget_firings() -> None:
    """Remove the log of automations after a month, a bounded number of rows in each transaction."""
    _all_of(grouping.forget)


@shared_task
def forget_artifacts() -> None:
    """Remove what runs made once their rows are gone, a bounded number in each transaction."""
    _all_of(partial(keeping.forget, datetime.now(UTC).date()))


@shared_task
def forget_cache_entries() -> None:
    """Remove entries of the cache that are of no use any more, a bounded number in each transaction."""
    _all_of(keeping.forget_cache_entries)


@shared_task
def keep_partitions() -> None:
    """Make the partitions of the coming week and let go of those past their retention. The owner's only tick."""
    today = datetime.now(UTC).date()
    owner = psycopg.connect(settings.DATABASE_OWNER_URL, autocommit=True, connect_timeout=10)
    with owner, owner.cursor() as cursor:
        cursor.execute("SET lock_timeout = '5s'")
        made = partitions.ensure(cursor, today)
        dropped = [] if outages.clock_is_in_doubt() else partitions.drop_expired(cursor, today)
    if made or dropped:
        logger.info("partitions made: %d, dropped: %d", len(made), len(dropped))


def _by_tenant(found: Iterable[tuple[UUID, T]], work: Callable[[UUID, list[T]], object]) -> None:
    """Do the work organization by organization; one that fails does not keep the others waiting."""
    ids: dict[UUID, list[T]] = defaultdict(list)
    for organization_id, id in found:
        ids[organization_id].append(id)
    for organization_id, some in ids.items():
        try:
            with tenant_scope(organization_id):
                work(organization_id, some)
        except Exception:  # Whatever it is: what one tenant wrote must not stop the others' clocks.
            logger.exception("a tick failed for organization %s; it comes again", organization_id)


class _Worked(Protocol):
    """A module by which something is worked on turn by turn, each of them a transaction."""

    def work(self, id: UUID, /) -> bool:
        """Take a turn; whether there may be more to do."""
        ...

    def note_failure(self, id: UUID, /) -> None:
        """It is tried again a few times."""
        ...

    def let_go(self, id: UUID, /) -> None:
        """Others have their turn first."""
        ...


def _by_turns(module: _Worked, tenant: UUID, id: UUID) -> None:
    """Work on something for a while."""
    until, more = time.monotonic() + BULK_SECONDS, True
    try:
        while more and time.monotonic() < until:
            with tenant_scope(tenant):
                more = module.work(id)
    except Exception:  # Whatever it is: it is tried again, and given up after a few times.
        logger.exception("a turn of %s failed", id)
        with tenant_scope(tenant):
            module.note_failure(id)
        return
    if more:
        with tenant_scope(tenant):
            module.let_go(id)


def _all_of(forget: Callable[..., int], *, limit: int = AT_ONCE) -> None:
    """Let go of all that is past its time, a bounded number in each transaction."""
    gone = limit
    while gone >= limit:
        with system_scope():
            gone = forget(limit=limit)
