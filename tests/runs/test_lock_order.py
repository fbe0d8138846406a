"""Nobody waits in a circle: whoever writes leases or runs of several executions takes them in one order, or skips."""

from __future__ import annotations

import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any
from uuid import UUID

import pytest
from django.db import connection

from orchestrator.agent_messages import LeaseRef
from orchestrator.ids import uuid7
from runs import claims, outages
from runs.ingest import apply_batch
from runs.limits import set_limit
from runs.models import Lease, Limit, Schedule
from runs.scheduling import create_due_runs
from runs.transitions import lock_runs
from runs.trigger import RunRequest, create_runs
from tests.cast import Api, Company
from tests.contract.journals import Journal
from tests.runs.work import agent, claim, deploy, in_seconds, silence, trigger
from tests.sql import ask
from tests.threads import at_once

pytestmark = pytest.mark.django_db(transaction=True)


@pytest.fixture
def impatient(monkeypatch: pytest.MonkeyPatch) -> Callable[[], None]:
    """Let the transaction that is open fail rather than wait."""

    def set_timeout() -> None:
        with connection.cursor() as cursor:
            cursor.execute("SET LOCAL lock_timeout = '1s'")

    return set_timeout


def held_runs(company: Company, number: int = 2) -> tuple[object, list[LeaseRef]]:
    trigger(company, deploy(company), number)
    by = agent(company)
    return by, [LeaseRef(each.run, each.attempt) for each in claim(company, by)]


def test_a_heartbeat_waits_for_nobody_who_works_on_a_lease(acme: Company, impatient: Callable[[], None]) -> None:
    """Who ends several runs takes their leases one by one; a heartbeat that holds some would close a circle."""
    by, refs = held_runs(acme)

    def beat() -> claims.Beat:
        with acme.scope():
            impatient()
            return claims.heartbeat(by, refs)

    with acme.scope():
        Lease.objects.update(expires_at=in_seconds(5))
        Lease.objects.filter(run_id=refs[0].run).update(expires_at=in_seconds(6))
    with acme.scope():
        Lease.objects.filter(run_id=refs[0].run).update(expires_at=in_seconds(7))
        (told,) = at_once(beat)
    assert told.lost == []
    with acme.scope():
        left, renewed = (Lease.objects.get(run_id=ref.run).expires_at for ref in refs)
        assert left < in_seconds(8) < in_seconds(50) < renewed
        Lease.objects.filter(run_id=refs[0].run).delete()
    assert beat().lost == refs[:1]


def test_a_heartbeat_waits_for_no_limit_to_take_its_slot_again(acme: Company, impatient: Callable[[], None]) -> None:
    """Whoever takes the limit away holds it and waits for the leases that the heartbeat has just renewed."""
    trigger(acme, deploy(acme, concurrency_limit=1))
    by = agent(acme)
    (claimed,) = claim(acme, by)
    silence(acme, claimed.run)

    def beat() -> claims.Beat:
        with acme.scope():
            impatient()
            return claims.heartbeat(by, [LeaseRef(claimed.run, 1)])

    with acme.scope():
        assert Limit.objects.select_for_update().get()
        assert at_once(beat)[0].lost == []
        assert Lease.objects.filter(expires_at__lt=in_seconds(0)).count() == 1
    beat()
    with acme.scope():
        assert Lease.objects.filter(expires_at__gt=in_seconds(50)).count() == 2


def test_forgiving_an_outage_waits_for_nobody(acme: Company, valkey: object) -> None:
    _, refs = held_runs(acme)
    with acme.scope():
        Lease.objects.update(expires_at=in_seconds(5))
    with acme.scope():
        Lease.objects.filter(run_id=refs[0].run).update(expires_at=in_seconds(6))
        assert at_once(outages.note_alive, timeout=10) == [None]
    with acme.scope():
        assert Lease.objects.get(run_id=refs[1].run).expires_at > in_seconds(50)


def test_a_journal_locks_no_runs_of_other_executions(acme: Company, api: Api, impatient: Callable[[], None]) -> None:
    """Two batches that name each other's runs would else wait for each other."""
    mine, other = Journal(api), Journal(api)
    mine.send(mine.begin())
    other.send(other.begin())
    with acme.scope():
        assert lock_runs([other.root])
        own = Journal(Api(api.key), root=mine.root, token=mine.token, seq=1)
        (answer,) = at_once(lambda: own.send(own.log("x", run=other.root)), timeout=10)
    assert [refused["code"] for refused in answer["rejected"]] == ["unknown_run"]


# Not by pg_stat_activity: a transaction sees there what was when it first looked, and never who connected since.
WAITS_FOR_ME = "SELECT 1 FROM pg_locks WHERE NOT granted AND pg_backend_pid() = ANY(pg_blocking_pids(pid))"


def meanwhile(other: Callable[[], Any], company: Company, first: Callable[[], Any], then: Callable[[], Any]) -> Any:
    """Do `first` and `then` in one transaction, and between them begin `other`, which comes to wait for it."""
    with ThreadPoolExecutor(max_workers=1) as pool:
        with company.scope():
            first()
            began = pool.submit(at_once, other)
            deadline = time.monotonic() + 10
            while not ask(WAITS_FOR_ME):
                assert time.monotonic() < deadline, "it does not wait"
            then()
        return began.result()[0]


def end_lease(run_id: UUID) -> None:
    Lease.objects.filter(run_id=run_id).delete()


def two_that_were_written_backwards(company: Company) -> tuple[Any, list[UUID]]:
    """A limited deployment and two held runs in the order of their ids; the rows of their leases lie the other way."""
    deployment = deploy(company, concurrency_limit=5)
    ids = [*trigger(company, deployment), *trigger(company, deployment, priority=5)]
    assert [each.run for each in claim(company, agent(company))] == ids[::-1]
    return deployment, ids


def test_a_limit_that_is_taken_away_ends_its_slots_in_the_order_of_runs(acme: Company) -> None:
    deployment, (first, second) = two_that_were_written_backwards(acme)

    def take_away() -> None:
        with acme.scope():
            set_limit(deployment, None)

    assert meanwhile(take_away, acme, lambda: end_lease(first), lambda: end_lease(second)) is None


def test_runs_that_end_give_their_slots_back_in_the_order_of_runs(acme: Company) -> None:
    _, (first, second) = two_that_were_written_backwards(acme)
    for id in (second, first):  # Each row is written anew, behind those that are there.
        silence(acme, id)

    def sweep() -> None:
        with acme.scope():
            ask("SELECT set_config('enable_indexscan', 'off', true), set_config('enable_bitmapscan', 'off', true)")
            claims.expire([first, second])

    assert meanwhile(sweep, acme, lambda: end_lease(first), lambda: end_lease(second)) is None


def test_runs_are_inserted_in_the_order_of_their_keys(acme: Company) -> None:
    deployment = deploy(acme)

    def ask_for(*keys: str) -> list[UUID]:
        with acme.scope():
            requests = [RunRequest(deployment=deployment, idempotency_key=key) for key in keys]
            return [run.id for run in create_runs(requests, by=acme.actor())[0]]

    made = meanwhile(lambda: ask_for("b", "a"), acme, lambda: ask_for("a"), lambda: ask_for("b"))
    assert made == ask_for("b", "a")


def test_a_deployment_is_changed_in_the_order_in_which_its_schedule_makes_runs(acme: Company) -> None:
    """A tick holds the schedule when its runs come to name the deployment."""
    every = {"schedule": {"interval": 30}}
    deploy(acme, **every)
    made: list[UUID] = []

    def change() -> str:
        return deploy(acme, version="2", **every).version

    def tick() -> None:
        made.extend(create_due_runs(acme.organization.id, Schedule.objects.values_list("id", flat=True)))

    assert meanwhile(change, acme, lambda: Schedule.objects.select_for_update().get(), tick) == "2"
    assert made


def test_local_runs_are_made_in_the_order_of_their_ids(acme: Company, api: Api) -> None:
    former = Journal(api)
    former.send(former.begin())  # Their flow is known.
    first, second = (Journal(api, root=id) for id in sorted([uuid7(), uuid7()]))
    bodies = {journal.root: journal.body([journal.begin()]) for journal in (first, second)}
    backwards = bodies[second.root] + b"\n" + bodies[first.root].split(b"\n", 1)[1]

    def deliver(body: bytes) -> int:
        return len(apply_batch(body, actor=acme.actor()).acked)

    others = meanwhile(
        lambda: deliver(backwards), acme, lambda: deliver(bodies[first.root]), lambda: deliver(bodies[second.root])
    )
    assert others == 2
