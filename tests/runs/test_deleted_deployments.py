"""2.1, 2.10: What becomes of a deployment's runs when it is deleted."""

from __future__ import annotations

from typing import Any
from uuid import UUID

import pytest

from orchestrator.agent_messages import LeaseRef
from runs import claims, deployments, trigger
from runs.models import Deployment, EventRow, Firing, FlowRun, Lease, Limit, Schedule
from runs.transitions import DELETED
from tenants.errors import NotFound
from tenants.models import AuditEntry
from tests.cast import Company
from tests.runs import work
from tests.runs.automating import automate
from tests.threads import at_once

pytestmark = pytest.mark.django_db


def delete(company: Company, deployment: Any) -> None:
    with company.scope():
        deployments.delete(Deployment.objects.get(id=deployment.id), by=company.actor())


def story(company: Company, run: UUID) -> list[tuple[str, str | None]]:
    return [(name, message) for _, _, name, message, _ in work.run_row(company, run).history]


def test_runs_that_nobody_has_claimed_are_cancelled_with_it(acme: Company) -> None:
    deployment, other = work.deploy(acme, concurrency_limit=1), work.deploy(acme, "other")
    waits, later = work.trigger(acme, deployment), work.trigger(acme, deployment, scheduled_at=work.in_seconds(3600))
    (others,) = work.trigger(acme, other)
    delete(acme, deployment)
    for run in (*waits, *later):
        assert work.state(acme, run) == ("CANCELLED", "Cancelled")
        assert story(acme, run)[-1] == ("Cancelled", "The deployment was deleted.")
        assert work.run_row(acme, run).deployment_id is None
    assert [each.run for each in work.claim(acme, work.agent(acme))] == [others]
    with acme.scope():
        assert not Limit.objects.exists()
        assert AuditEntry.objects.get(action="deployment.deleted").details == {"runs_cancelled": 2}


def test_it_is_an_event_of_each_run_and_tells_who_waits_for_it(acme: Company) -> None:
    automate(acme, "Cancelled", when={"events": ["flow-run.cancelled"], "deployments": ["etl/nightly"]})
    deployment = work.deploy(acme)
    runs = work.trigger(acme, deployment, 3)
    delete(acme, deployment)
    with acme.scope():
        told = EventRow.objects.filter(event="flow-run.cancelled")
        assert {each.run_id for each in told} == set(runs)
        assert {each.payload["message"] for each in told} == {DELETED}
        assert {each.run_id for each in Firing.objects.all()} == set(runs)


def test_runs_that_a_schedule_made_ahead_go(acme: Company) -> None:
    from runs.scheduling import create_due_runs

    deployment = work.deploy(acme, schedule={"interval": 3600})
    with acme.scope():
        Schedule.objects.update(next_at=work.in_seconds(30))
        create_due_runs(acme.organization.id, list(Schedule.objects.values_list("id", flat=True)))
        assert FlowRun.objects.count() == 1
    delete(acme, deployment)
    with acme.scope():
        assert not FlowRun.objects.exists()
        assert not Schedule.objects.exists()


def test_runs_under_way_go_on_to_their_end(acme: Company) -> None:
    by, claimed = work.claimed_run(acme)
    journal = work.start(claimed)
    with acme.scope():
        deployment = Deployment.objects.get()
    delete(acme, deployment)
    assert work.state(acme, claimed.run) == ("RUNNING", "Running")
    with acme.scope():
        beat = claims.heartbeat(by, [LeaseRef(claimed.run, claimed.attempt)])
    assert (beat.lost, beat.signals, beat.replaceable) == ([], [], [])
    journal.send(journal.task(), journal.state("COMPLETED", run_count=1))
    assert work.state(acme, claimed.run) == ("COMPLETED", "Completed")


def test_a_claimed_run_whose_process_never_began_is_cancelled(acme: Company) -> None:
    by, claimed = work.claimed_run(acme)
    with acme.scope():
        deployment = Deployment.objects.get()
    delete(acme, deployment)
    with acme.scope():
        claims.end_attempt(by, run_id=claimed.run, attempt=1, started=False, message="No memory.")
        assert not Lease.objects.exists()
    assert [name for name, _ in story(acme, claimed.run)] == ["Scheduled", "Pending", "Scheduled", "Cancelled"]


@pytest.mark.parametrize("crashes", [True, False])
def test_what_fails_afterwards_is_not_tried_again(acme: Company, crashes: bool) -> None:
    by, claimed = work.claimed_run(acme, retries=3)
    journal = work.start(claimed)
    with acme.scope():
        deployment = Deployment.objects.get()
    delete(acme, deployment)
    if crashes:
        with acme.scope():
            claims.end_attempt(by, run_id=claimed.run, attempt=1, started=True, message="Killed.")
        assert work.state(acme, claimed.run) == ("CRASHED", "Crashed")
    else:
        at = int(work.in_seconds(600).timestamp() * 1e6)
        journal.send(journal.state("SCHEDULED", name="AwaitingRetry", at=at, run_count=1, message="ValueError: no"))
        assert story(acme, claimed.run)[-2:] == [("AwaitingRetry", "ValueError: no"), ("Cancelled", DELETED)]
    with acme.scope():
        assert not Lease.objects.exists()


def test_more_runs_than_one_statement_takes(acme: Company, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(deployments, "AT_ONCE", 3)
    deployment = work.deploy(acme)
    runs = work.trigger(acme, deployment, 8)
    delete(acme, deployment)
    assert {work.state(acme, run)[0] for run in runs} == {"CANCELLED"}


@pytest.mark.django_db(transaction=True)
def test_who_triggers_it_at_that_moment_is_told_or_is_cancelled(acme: Company) -> None:
    deployment = work.deploy(acme)

    def trigger_some() -> list[UUID]:
        made: list[UUID] = []
        for _ in range(10):
            try:
                made += work.trigger(acme, deployment)
            except NotFound:
                break
        return made

    *made, none = at_once(trigger_some, trigger_some, trigger_some, lambda: delete(acme, deployment))
    assert none is None
    assert not [each for each in made if isinstance(each, Exception)]
    assert {work.state(acme, run)[0] for each in made for run in each} <= {"CANCELLED"}
    with acme.scope(), pytest.raises(NotFound, match="deleted in this moment"):
        trigger.create_run(trigger.RunRequest(deployment=deployment), by=acme.actor())
