"""2.9: What an agent says of what it holds: renewed, lost, ended."""

from __future__ import annotations

import pytest

from orchestrator.agent_messages import LeaseRef
from orchestrator.ids import uuid7
from orchestrator.wire import Signal
from runs import claims
from runs.claims import Beat
from runs.models import Lease
from runs.transitions import lock_runs
from tests.cast import Company
from tests.runs.work import (
    agent,
    cancel,
    claim,
    claimed_run,
    deploy,
    in_seconds,
    leases,
    limit,
    moment,
    run_row,
    silence,
    start,
    state,
    sweep,
    trigger,
    unreachable_run,
)
from tests.threads import at_once

pytestmark = pytest.mark.django_db


# ── what the agent says of processes that ended ──────────────────────────────────────────────────


@pytest.mark.parametrize(
    ("retries", "wanted", "expected"),
    [
        (0, False, ("CRASHED", "Crashed")),
        (1, False, ("SCHEDULED", "AwaitingRetry")),
        (1, True, ("CANCELLED", "Cancelled")),
    ],
)
def test_a_process_that_is_gone_without_a_word(
    acme: Company, retries: int, wanted: bool, expected: tuple[str, str]
) -> None:
    by, claimed = claimed_run(acme, retries=retries)
    start(claimed)
    if wanted:
        cancel(acme, claimed.run)
    with acme.scope():
        claims.end_attempt(by, run_id=claimed.run, attempt=1, started=True, message="Killed by signal 9.")

    assert state(acme, claimed.run) == expected
    assert run_row(acme, claimed.run).state_message == "Killed by signal 9."
    assert leases(acme) == 0


def test_an_end_that_the_process_told_itself_stands(acme: Company) -> None:
    by, claimed = claimed_run(acme)
    journal = start(claimed)
    journal.send(journal.state("COMPLETED", run_count=1))
    with acme.scope():
        claims.end_attempt(by, run_id=claimed.run, attempt=1, started=True, message="exit 0")
    assert state(acme, claimed.run)[0] == "COMPLETED"


def test_the_end_of_an_old_attempt_leaves_the_new_one_alone(acme: Company) -> None:
    by, claimed = claimed_run(acme, retries=1)
    start(claimed)
    silence(acme, claimed.run)
    sweep(acme, claimed.run)
    claim(acme, by)
    with acme.scope():
        claims.end_attempt(by, run_id=claimed.run, attempt=1, started=True, message="gone")
    assert state(acme, claimed.run)[0] == "PENDING"
    assert leases(acme) == 1


def test_another_agent_can_not_end_it(acme: Company) -> None:
    from tenants.errors import NotFound

    _, claimed = claimed_run(acme)
    other = agent(acme, "other")
    with acme.scope(), pytest.raises(NotFound):
        claims.end_attempt(other, run_id=claimed.run, attempt=1, started=True, message="")
    assert state(acme, claimed.run)[0] == "PENDING"


# ── heartbeat ────────────────────────────────────────────────────────────────────────────────────


def test_a_heartbeat_renews_slots_too_and_names_what_is_lost(acme: Company) -> None:
    limit(acme, "pool", acme.pool, 10)
    trigger(acme, deploy(acme), 2)
    by = agent(acme)
    first, second = claim(acme, by)
    foreign, old = LeaseRef(uuid7(), 1), LeaseRef(second.run, 7)
    with acme.scope():
        Lease.objects.update(expires_at=in_seconds(5))
        beat = claims.heartbeat(by, [LeaseRef(first.run, 1), foreign, old])
        renewed = Lease.objects.filter(expires_at__gt=in_seconds(50))
        assert set(renewed.values_list("run_id", flat=True)) == {first.run}
        assert renewed.count() == 2
    assert beat == Beat(lost=[foreign, old], signals=[], replaceable=[first.run])


def live_slots(company: Company) -> int:
    with company.scope():
        return Lease.objects.filter(expires_at__gt=moment(), limit__isnull=False).count()


def test_who_comes_back_takes_its_slot_again(acme: Company) -> None:
    by, claimed = claimed_run(acme, concurrency_limit=1)
    silence(acme, claimed.run)
    with acme.scope():
        claims.heartbeat(by, [LeaseRef(claimed.run, 1)])
    assert live_slots(acme) == 1


def test_a_slot_that_has_gone_to_another_run_does_not_come_back(acme: Company) -> None:
    """Its former holder goes on, and the limit is kept."""
    deployment = deploy(acme, concurrency_limit=1)
    trigger(acme, deployment, 2)
    by = agent(acme)
    (first,) = claim(acme, by)
    silence(acme, first.run)
    (second,) = claim(acme, by)
    refs = [LeaseRef(run.run, run.attempt) for run in (first, second)]
    with acme.scope():
        assert claims.heartbeat(by, refs).lost == []
    assert live_slots(acme) == 1


def test_a_heartbeat_brings_the_wish_to_cancel(acme: Company) -> None:
    by, claimed = claimed_run(acme)
    cancel(acme, claimed.run)
    with acme.scope():
        beat = claims.heartbeat(by, [LeaseRef(claimed.run, 1)])
    assert beat == Beat(lost=[], signals=[Signal(claimed.run, "cancel")], replaceable=[])


@pytest.mark.parametrize(("retries", "starts", "replaceable"), [(0, False, True), (0, True, False), (1, True, True)])
def test_a_heartbeat_says_which_runs_somebody_else_would_be_given(
    acme: Company, retries: int, starts: bool, replaceable: bool
) -> None:
    by, claimed = claimed_run(acme, retries=retries)
    if starts:
        start(claimed)
    with acme.scope():
        beat = claims.heartbeat(by, [LeaseRef(claimed.run, 1)])
    assert beat.replaceable == [claimed.run] * replaceable


def test_of_two_attempts_of_one_run_the_old_one_is_lost(acme: Company) -> None:
    """The same agent took the run again: the process of the first attempt has to stop."""
    by, claimed = claimed_run(acme, retries=1)
    start(claimed)
    silence(acme, claimed.run)
    sweep(acme, claimed.run)
    (again,) = claim(acme, by)
    refs = [LeaseRef(claimed.run, attempt) for attempt in (1, again.attempt)]
    with acme.scope():
        assert claims.heartbeat(by, refs) == Beat(lost=refs[:1], signals=[], replaceable=[again.run])


def test_another_agents_leases_are_lost(acme: Company) -> None:
    _, claimed = claimed_run(acme)
    ref = LeaseRef(claimed.run, 1)
    other = agent(acme, "other")
    with acme.scope():
        before = Lease.objects.get().expires_at
        assert claims.heartbeat(other, [ref]).lost == [ref]
        assert Lease.objects.get().expires_at == before


def test_a_heartbeat_costs_the_same_for_many_leases(acme: Company, django_assert_num_queries) -> None:
    trigger(acme, deploy(acme), 20)
    by = agent(acme)
    refs = [LeaseRef(run.run, run.attempt) for run in claim(acme, by, 20)]
    with acme.scope(), django_assert_num_queries(2):
        claims.heartbeat(by, refs)


@pytest.mark.django_db(transaction=True)
def test_a_heartbeat_waits_for_nobody_who_works_on_a_run(acme: Company) -> None:
    """It holds the lease's row; whoever holds the run may be about to take that: they would wait for each other."""
    by, claimed, _ = unreachable_run(acme)

    def beat() -> object:
        with acme.scope():
            return claims.heartbeat(by, [LeaseRef(claimed.run, 1)])

    with acme.scope():
        assert lock_runs([claimed.run])
        assert at_once(beat) == [Beat([], [], [])]
    assert state(acme, claimed.run) == ("RUNNING", "Unreachable")
    assert at_once(beat) == [Beat([], [], [])]
    assert state(acme, claimed.run) == ("RUNNING", "Running")
