"""The end of a root is the end of what hangs on it: leases, subflows, open task runs, its token."""

from __future__ import annotations

import pytest

from orchestrator.ids import uuid7
from orchestrator.states import StateType
from runs import claims
from runs.models import Attempt, FlowRun, TaskRun
from tests.cast import Api, Company
from tests.runs.work import (
    cancel,
    claimed_run,
    leases,
    limit,
    silence,
    start,
    state,
    sweep,
)

pytestmark = pytest.mark.django_db


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
