"""2.9: leases run out: given back, retried, lost (the table of design §4). Time is moved in rows, nobody sleeps."""

from __future__ import annotations

import pytest
from django.conf import settings

from orchestrator.agent_messages import LeaseRef
from runs import claims
from runs.models import Lease
from tests.cast import Api, Company
from tests.contract.journals import Journal
from tests.runs.work import (
    agent,
    cancel,
    claim,
    claimed_run,
    deploy,
    in_seconds,
    journal_of,
    leases,
    limit,
    make_due,
    run_row,
    silence,
    start,
    state,
    sweep,
    trigger,
    unreachable_run,
)

pytestmark = pytest.mark.django_db


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
        assert claims.heartbeat(by, [LeaseRef(claimed.run, 1)]).lost == []
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
