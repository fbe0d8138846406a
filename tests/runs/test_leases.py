"""Leases: renewed, lost, given back (the table of design §4). Time is moved in the rows, nobody sleeps."""

from __future__ import annotations

from typing import Any
from uuid import UUID

import pytest
from django.conf import settings

from orchestrator.ids import uuid7
from orchestrator.states import StateType
from orchestrator.wire import ClaimedRun, LeaseRef
from runs import claims
from runs.models import Agent, Attempt, FlowRun, Lease, TaskRun
from runs.transitions import lock_runs
from runs.trigger import cancel_runs
from tests.cast import Api, Company
from tests.contract.journals import Journal
from tests.runs.work import (
    agent,
    claim,
    deploy,
    in_seconds,
    journal_of,
    limit,
    moment,
    run_row,
    silence,
    start,
    sweep,
    trigger,
)
from tests.threads import at_once

pytestmark = pytest.mark.django_db


def claimed_run(company: Company, **deployment: Any) -> tuple[Agent, ClaimedRun]:
    trigger(company, deploy(company, **deployment))
    by = agent(company)
    return by, claim(company, by)[0]


def make_due(company: Company, run_id: UUID) -> None:
    with company.scope():
        FlowRun.objects.filter(id=run_id).update(due_at=moment())


def state(company: Company, run_id: UUID) -> tuple[str, str]:
    run = run_row(company, run_id)
    return run.state_type, run.state_name


def leases(company: Company) -> int:
    with company.scope():
        return Lease.objects.count()


def cancel(company: Company, run_id: UUID) -> None:
    with company.scope():
        cancel_runs([run_id], by=company.actor())


# ── a claim that never reached user code ─────────────────────────────────────────────────────────


def test_a_pending_run_goes_back_to_the_queue_and_crashes_the_third_time(acme: Company) -> None:
    by, claimed = claimed_run(acme)
    for lost in (1, 2):
        silence(acme, claimed.run)
        sweep(acme, claimed.run)
        run = run_row(acme, claimed.run)
        assert (run.state_type, run.claims_lost, run.crashes) == ("SCHEDULED", lost, 0)
        assert run.due_at > in_seconds(4)
        assert leases(acme) == 0
        make_due(acme, claimed.run)
        (again,) = claim(acme, by)
        assert (again.attempt, again.run_count) == (lost + 1, 0)
    silence(acme, claimed.run)
    sweep(acme, claimed.run)

    run = run_row(acme, claimed.run)
    assert (run.state_type, run.attempt) == ("CRASHED", 3)
    assert "never started" in run.state_message
    assert leases(acme) == 0


def test_an_agent_that_could_not_start_it_gives_it_back_at_once(acme: Company) -> None:
    by, claimed = claimed_run(acme)
    with acme.scope():
        claims.end_attempt(by, run_id=claimed.run, attempt=1, started=False, message="no memory")

    run = run_row(acme, claimed.run)
    assert (run.state_type, run.state_message, run.claims_lost) == ("SCHEDULED", "no memory", 1)
    assert leases(acme) == 0


# ── a holder that fell silent ────────────────────────────────────────────────────────────────────


def test_with_retries_left_the_next_claim_fences_the_old_token(acme: Company) -> None:
    by, claimed = claimed_run(acme, retries=1, retry_delay=0)
    journal = start(claimed)
    silence(acme, claimed.run)
    sweep(acme, claimed.run)

    assert state(acme, claimed.run) == ("SCHEDULED", "AwaitingRetry")
    assert run_row(acme, claimed.run).crashes == 1
    (second,) = claim(acme, by)
    assert (second.run, second.attempt, second.run_count) == (claimed.run, 2, 1)
    assert second.token != claimed.token
    answer = journal.send(journal.log("old"), journal.state("COMPLETED", run_count=1), api=Api(acme.key("k")))
    assert answer["signals"] == [{"run": str(claimed.run), "signal": "superseded"}]
    assert state(acme, claimed.run)[0] == "PENDING"
    start(second)
    assert run_row(acme, claimed.run).run_count == 2


def test_the_next_attempt_waits_for_the_retry_delay(acme: Company) -> None:
    by, claimed = claimed_run(acme, retries=1, retry_delay=120)
    start(claimed)
    silence(acme, claimed.run)
    sweep(acme, claimed.run)

    assert in_seconds(110) < run_row(acme, claimed.run).due_at < in_seconds(121)
    assert claim(acme, by) == []


def test_a_retry_budget_survives_crashes_and_ends(acme: Company) -> None:
    by, claimed = claimed_run(acme, retries=1)
    start(claimed)
    silence(acme, claimed.run)
    sweep(acme, claimed.run)
    start(claim(acme, by)[0])
    silence(acme, claimed.run)
    sweep(acme, claimed.run)
    assert state(acme, claimed.run) == ("RUNNING", "Unreachable")
    silence(acme, claimed.run)
    sweep(acme, claimed.run)
    assert state(acme, claimed.run)[0] == "CRASHED"


def test_a_holder_that_counts_wrong_gets_no_endless_retries(acme: Company) -> None:
    """The server counts executions too: a client that always says 0 would be restarted for ever."""
    by, claimed = claimed_run(acme, retries=1)
    for _ in range(2):
        journal = journal_of(claimed)
        journal.send(journal.state("RUNNING", run_count=0))
        with acme.scope():
            claims.end_attempt(by, run_id=claimed.run, attempt=claimed.attempt, started=True, message="gone")
        claimed = next(iter(claim(acme, by)), claimed)

    assert state(acme, claimed.run)[0] == "CRASHED"


def test_crash_retries_count_crashes_alone(acme: Company) -> None:
    by, claimed = claimed_run(acme, retries=0, crash_retries=2)
    for crashes in (1, 2):
        start(claimed)
        silence(acme, claimed.run)
        sweep(acme, claimed.run)
        assert state(acme, claimed.run) == ("SCHEDULED", "AwaitingRetry")
        assert run_row(acme, claimed.run).crashes == crashes
        make_due(acme, claimed.run)
        (claimed,) = claim(acme, by)
    start(claimed)
    silence(acme, claimed.run)
    sweep(acme, claimed.run)
    assert state(acme, claimed.run) == ("RUNNING", "Unreachable")


def unreachable_run(company: Company) -> tuple[Agent, ClaimedRun, Journal]:
    by, claimed = claimed_run(company)
    journal = start(claimed)
    silence(company, claimed.run)
    sweep(company, claimed.run)
    assert state(company, claimed.run) == ("RUNNING", "Unreachable")
    return by, claimed, journal


def test_without_retries_it_is_unreachable_and_its_lease_waits(acme: Company) -> None:
    _, claimed, _ = unreachable_run(acme)
    with acme.scope():
        lease = Lease.objects.get()
    wait = settings.LOST_AFTER_AGENT_SECONDS
    assert in_seconds(wait - 10) < lease.expires_at <= in_seconds(wait)
    sweep(acme, claimed.run)
    assert state(acme, claimed.run) == ("RUNNING", "Unreachable")


def test_a_heartbeat_brings_it_back(acme: Company) -> None:
    by, claimed, _ = unreachable_run(acme)
    with acme.scope():
        assert claims.heartbeat(by, [LeaseRef(claimed.run, 1)]) == ([], [])
        assert in_seconds(50) < Lease.objects.get().expires_at < in_seconds(61)
    assert state(acme, claimed.run) == ("RUNNING", "Running")


def test_a_word_of_its_journal_brings_it_back_with_the_same_token(acme: Company) -> None:
    _, claimed, journal = unreachable_run(acme)
    answer = journal.send(journal.log("still here"))

    assert (answer["rejected"], answer["signals"]) == ([], [])
    assert state(acme, claimed.run) == ("RUNNING", "Running")
    with acme.scope():
        assert Lease.objects.get().expires_at <= in_seconds(settings.LEASE_SECONDS)
    journal.send(journal.state("COMPLETED", run_count=1))
    assert state(acme, claimed.run)[0] == "COMPLETED"


def test_lost_for_too_long_it_crashes(acme: Company) -> None:
    _, claimed, journal = unreachable_run(acme)
    silence(acme, claimed.run)
    sweep(acme, claimed.run)

    run = run_row(acme, claimed.run)
    assert (run.state_type, run.crashes) == ("CRASHED", 1)
    assert run.ended_at is not None
    assert leases(acme) == 0
    answer = journal.send(journal.log("last words"), api=Api(acme.key("k")))
    assert answer["signals"] == [{"run": str(claimed.run), "signal": "over"}]


def test_cancelling_that_nobody_confirms_is_cancelled(acme: Company) -> None:
    _, claimed = claimed_run(acme, retries=5)
    start(claimed)
    cancel(acme, claimed.run)
    assert state(acme, claimed.run)[0] == "CANCELLING"
    silence(acme, claimed.run)
    sweep(acme, claimed.run)
    assert state(acme, claimed.run)[0] == "CANCELLED"
    assert leases(acme) == 0


def test_a_lease_that_lives_is_not_judged(acme: Company) -> None:
    _, claimed = claimed_run(acme)
    sweep(acme, claimed.run)
    assert state(acme, claimed.run)[0] == "PENDING"


def test_only_expired_leases_of_runs_are_found(acme: Company) -> None:
    from tenants.scope import system_scope

    deployment = deploy(acme)
    limit(acme, "pool", acme.pool, 10)
    trigger(acme, deployment, 2)
    by = agent(acme)
    lost, kept = claim(acme, by)
    silence(acme, lost.run)
    with system_scope():
        assert claims.expired(limit=10) == [(acme.organization.id, lost.run)]
    assert kept.run != lost.run


# ── local runs ───────────────────────────────────────────────────────────────────────────────────


def test_a_local_run_is_never_scheduled_again(acme: Company, api: Api) -> None:
    journal = Journal(api)
    journal.send(journal.begin(retries=5))
    silence(acme, journal.root)
    sweep(acme, journal.root)

    assert state(acme, journal.root) == ("RUNNING", "Unreachable")
    with acme.scope():
        assert Lease.objects.get().expires_at > in_seconds(settings.LOST_AFTER_LOCAL_SECONDS - 60)
    journal.send(from_seq=2)
    assert state(acme, journal.root) == ("RUNNING", "Running")
    with acme.scope():
        assert Lease.objects.get().expires_at <= in_seconds(settings.LEASE_SECONDS)
    for _ in range(2):
        silence(acme, journal.root)
        sweep(acme, journal.root)
    assert state(acme, journal.root)[0] == "CRASHED"


def test_a_local_run_may_not_hand_itself_back(acme: Company, api: Api) -> None:
    """Nobody would ever take it: it would wait for ever."""
    journal = Journal(api)
    answer = journal.send(journal.begin(), journal.state("SCHEDULED", name="AwaitingRetry", run_count=1))

    assert [refused["code"] for refused in answer["rejected"]] == ["refused"]
    assert state(acme, journal.root)[0] == "RUNNING"


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
        lost, signals = claims.heartbeat(by, [LeaseRef(first.run, 1), foreign, old])
        renewed = Lease.objects.filter(expires_at__gt=in_seconds(50))
        assert set(renewed.values_list("run_id", flat=True)) == {first.run}
        assert renewed.count() == 2
    assert (lost, signals) == ([foreign, old], [])


def test_a_heartbeat_brings_the_wish_to_cancel(acme: Company) -> None:
    by, claimed = claimed_run(acme)
    cancel(acme, claimed.run)
    with acme.scope():
        lost, signals = claims.heartbeat(by, [LeaseRef(claimed.run, 1)])
    assert (lost, [(s.run, s.signal) for s in signals]) == ([], [(claimed.run, "cancel")])


def test_of_two_attempts_of_one_run_the_old_one_is_lost(acme: Company) -> None:
    """The same agent took the run again: the process of the first attempt has to stop."""
    by, claimed = claimed_run(acme, retries=1)
    start(claimed)
    silence(acme, claimed.run)
    sweep(acme, claimed.run)
    (again,) = claim(acme, by)
    refs = [LeaseRef(claimed.run, attempt) for attempt in (1, again.attempt)]
    with acme.scope():
        assert claims.heartbeat(by, refs) == (refs[:1], [])


def test_another_agents_leases_are_lost(acme: Company) -> None:
    _, claimed = claimed_run(acme)
    ref = LeaseRef(claimed.run, 1)
    other = agent(acme, "other")
    with acme.scope():
        before = Lease.objects.get().expires_at
        assert claims.heartbeat(other, [ref])[0] == [ref]
        assert Lease.objects.get().expires_at == before


def test_a_heartbeat_costs_the_same_for_many_leases(acme: Company, django_assert_num_queries) -> None:
    trigger(acme, deploy(acme), 20)
    by = agent(acme)
    refs = [LeaseRef(run.run, run.attempt) for run in claim(acme, by, 20)]
    with acme.scope(), django_assert_num_queries(3):
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
        assert at_once(beat) == [([], [])]
    assert state(acme, claimed.run) == ("RUNNING", "Unreachable")
    assert at_once(beat) == [([], [])]
    assert state(acme, claimed.run) == ("RUNNING", "Running")


# ── the end of a root is the end of what hangs on it ─────────────────────────────────────────────


@pytest.mark.parametrize(("wanted", "expected"), [(False, "CRASHED"), (True, "CANCELLED")])
def test_subflows_and_open_tasks_end_with_their_root(acme: Company, wanted: bool, expected: str) -> None:
    by, claimed = claimed_run(acme)
    journal = start(claimed)
    child, done = uuid7(), uuid7()
    open_task = {"ended": None, "duration": None, "run": child}
    journal.send(
        journal.subflow(child), journal.subflow(done), journal.task("RUNNING", **open_task), journal.task("COMPLETED")
    )
    journal.send(journal.state("COMPLETED", run=done, run_count=1))
    if wanted:
        cancel(acme, claimed.run)
    with acme.scope():
        claims.end_attempt(by, run_id=claimed.run, attempt=1, started=True, message="gone")
        states = dict(FlowRun.objects.values_list("id", "state_type"))
        tasks = sorted(TaskRun.objects.values_list("state_type", flat=True))
        attempt = Attempt.objects.get()

    assert states == {claimed.run: expected, child: expected, done: "COMPLETED"}
    assert tasks == sorted([expected, "COMPLETED"])
    assert (attempt.outcome, attempt.ended_at is not None) == (expected.capitalize(), True)
    assert leases(acme) == 0


def test_a_retry_begins_without_the_subflows_of_the_lost_attempt(acme: Company) -> None:
    _, claimed = claimed_run(acme, retries=1)
    journal = start(claimed)
    child = uuid7()
    journal.send(journal.subflow(child))
    silence(acme, claimed.run)
    sweep(acme, claimed.run)

    assert state(acme, claimed.run)[0] == "SCHEDULED"
    assert state(acme, child)[0] == "CRASHED"


@pytest.mark.parametrize("final", ["COMPLETED", "FAILED", "CRASHED", "CANCELLED"])
def test_no_lease_outlives_its_run(acme: Company, final: str) -> None:
    limit(acme, "pool", acme.pool, 5)
    _, claimed = claimed_run(acme)
    journal = start(claimed)
    assert leases(acme) == 2
    journal.send(journal.state(final, run_count=1))
    assert state(acme, claimed.run)[0] == StateType(final)
    assert leases(acme) == 0


def test_the_token_dies_with_the_lease_but_its_journal_is_taken(acme: Company) -> None:
    from tenants.authentication import forget_secrets

    _, claimed = claimed_run(acme)
    journal = start(claimed)
    own = Api(claimed.token)
    assert own.get("/variables").status_code == 200
    journal.send(journal.state("COMPLETED", run_count=1))
    forget_secrets()

    assert own.get("/variables").status_code == 403
    assert own.post("/flow-runs", {"deployment": "etl/nightly"}).status_code == 403
    assert journal.send(journal.log("last words"))["rejected"] == []
