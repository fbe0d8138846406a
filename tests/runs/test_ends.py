"""2.9: The end of a root is the end of what hangs on it: leases, subflows, open task runs, its token."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import pytest

from orchestrator.ids import uuid7
from orchestrator.states import StateType
from runs import claims
from runs.models import Attempt, FlowRun, TaskRun
from tenants import people
from tenants.access import organization_actor
from tenants.authentication import forget_secrets
from tenants.keys import RUN_PREFIX, create_key, new_secret, revoke_key
from tenants.models import ApiKey, User, WorkspaceMembership
from tests.cast import Api, Company
from tests.contract.journals import Journal
from tests.runs.work import (
    cancel,
    claimed_run,
    leases,
    limit,
    moment,
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
    _, claimed = claimed_run(acme)
    journal = start(claimed)
    own = Api(claimed.token)
    assert own.get("/variables").status_code == 200
    journal.send(journal.state("COMPLETED", run_count=1))
    forget_secrets()

    assert own.get("/variables").status_code == 403
    assert own.post("/flow-runs", {"deployment": "etl/nightly"}).status_code == 403
    assert journal.send(journal.log("last words"))["rejected"] == []


def local_run(company: Company, **key: object) -> tuple[Any, Journal, Api]:
    """A key, the journal of a run that a program began with it, and the run's own door."""
    with company.scope():
        row, secret = create_key(workspace=company.workspace, name="laptop", **key)
    journal = Journal(Api(secret), token=new_secret(RUN_PREFIX))
    journal.send(journal.begin())
    journal.api = Api(journal.token)
    assert journal.api.get("/variables").status_code == 200
    return row, journal, journal.api


def over(journal: Journal, own: Api) -> None:
    """The token opens nothing more, and what was recorded is still taken."""
    forget_secrets()
    assert own.get("/variables").status_code == 403
    assert own.post("/flow-runs", {"deployment": "etl/nightly"}).status_code == 403
    assert journal.send(journal.log("last words"))["rejected"] == []


def test_the_token_of_a_local_run_ends_with_the_key_that_began_it(acme: Company) -> None:
    key, journal, own = local_run(acme)
    with acme.scope():
        revoke_key(key)
    over(journal, own)


def test_the_token_of_a_local_run_ends_when_that_key_expires(acme: Company) -> None:
    key, journal, own = local_run(acme)
    with acme.scope():
        ApiKey.objects.filter(id=key.id).update(expires_at=moment() - timedelta(seconds=1))
    over(journal, own)


@pytest.mark.parametrize("how", ["leaves", "shut out"])
def test_the_token_of_a_local_run_ends_with_its_person(acme: Company, bob: Any, how: str) -> None:
    with acme.scope():
        WorkspaceMembership.objects.filter(user=bob).update(role="developer")
    _, journal, own = local_run(acme, user=bob)
    with acme.scope():
        if how == "leaves":
            people.remove(user_id=bob.id, by=organization_actor(acme.owner.id, "acme"))
        else:
            User.objects.filter(id=bob.id).update(is_active=False)
    over(journal, own)


@pytest.mark.parametrize("what", ["workspace", "organization"])
def test_no_token_outlives_its_workspace_or_organization(acme: Company, what: str) -> None:
    _, claimed = claimed_run(acme)
    start(claimed)
    own = Api(claimed.token)
    assert own.get("/variables").status_code == 200
    thing = getattr(acme, what)
    with acme.scope():
        type(thing).objects.filter(id=thing.id).update(deleted_at=moment())
    forget_secrets()
    assert own.get("/variables").status_code == 401
