"""What happened to runs and agents is written with the change itself, and nothing else is."""

from __future__ import annotations

from uuid import UUID

import pytest

from orchestrator.ids import uuid7
from orchestrator.states import By, StateType
from runs import tasks
from runs.models import EventRow, FlowRun
from runs.transitions import lock_runs, move, save
from tests.cast import Api, Company
from tests.contract.journals import Journal
from tests.runs.work import agent, claim, deploy, in_seconds, run_row, silence, start, sweep, trigger

pytestmark = pytest.mark.django_db


def told(company: Company, run_id: UUID | None = None) -> list[tuple[str, str]]:
    """(event, name of the state) of a run, oldest first; of everything else without one."""
    with company.scope():
        found = EventRow.objects.filter(run_id=run_id).order_by("id")
        return [(row.event, (row.payload or {}).get("name", "")) for row in found]


def test_each_state_of_a_run_is_an_event(acme: Company) -> None:
    [run_id] = trigger(acme, deploy(acme))
    [claimed] = claim(acme, agent(acme))
    journal = start(claimed)
    journal.send(journal.state("FAILED", message="no such table"))

    assert told(acme, run_id) == [
        ("flow-run.pending", "Pending"), ("flow-run.running", "Running"), ("flow-run.failed", "Failed"),
    ]  # fmt: skip
    run = run_row(acme, run_id)
    with acme.scope():
        last = EventRow.objects.get(run_id=run_id, event="flow-run.failed")
    assert (last.retention, last.bucket, last.workspace_id) == (run.retention, run.bucket, acme.workspace.id)
    assert last.resource == {"flow-run": str(run_id)}
    assert last.payload == {"state": "FAILED", "name": "Failed", "message": "no such table", "attempt": 1}
    assert last.t == run.state_at


def test_a_batch_that_comes_twice_tells_once(acme: Company, api: Api) -> None:
    journal = Journal(api)
    lines = [journal.begin(), journal.state("COMPLETED")]
    journal.send(*lines)
    journal.send(*lines)
    assert [event for event, _ in told(acme, journal.root)] == ["flow-run.running", "flow-run.completed"]


def test_names_of_their_own_and_names_of_users(acme: Company) -> None:
    [run_id] = trigger(acme, deploy(acme))
    with acme.scope():
        FlowRun.objects.filter(id=run_id).update(due_at=in_seconds(-60))
        tasks.mark_late([run_id])
    [claimed] = claim(acme, agent(acme))
    journal = start(claimed)
    journal.send(journal.state("FAILED", name="TimedOut"))
    assert told(acme, run_id) == [
        ("flow-run.late", "Late"), ("flow-run.pending", "Pending"), ("flow-run.running", "Running"),
        ("flow-run.failed", "TimedOut"),
    ]  # fmt: skip


def test_a_lost_run_is_told(acme: Company) -> None:
    trigger(acme, deploy(acme))
    [claimed] = claim(acme, agent(acme))
    start(claimed)
    silence(acme, claimed.run)
    sweep(acme, claimed.run)
    assert told(acme, claimed.run)[-1] == ("flow-run.unreachable", "Unreachable")


def test_subflows_that_end_with_their_root_are_told(acme: Company, api: Api) -> None:
    journal = Journal(api)
    journal.send(journal.begin())
    inner = uuid7()
    journal.send(journal.subflow(inner))
    journal.send(journal.state("FAILED"))
    assert told(acme, inner)[-1] == ("flow-run.crashed", "Crashed")


def test_what_is_refused_is_no_event(acme: Company) -> None:
    [run_id] = trigger(acme, deploy(acme))
    with acme.scope():
        rows = lock_runs([run_id])
        assert not move(rows[run_id], StateType.COMPLETED, by=By.HOLDER)
        assert save(rows.values()) == []
    assert told(acme, run_id) == []


def test_task_runs_are_no_events(acme: Company, api: Api) -> None:
    journal = Journal(api)
    journal.send(journal.begin(), *[journal.task() for _ in range(3)])
    assert [event for event, _ in told(acme, journal.root)] == ["flow-run.running"]


def test_another_organization_sees_none(acme: Company, globex: Company, api: Api) -> None:
    journal = Journal(api)
    journal.send(journal.begin())
    assert told(globex, journal.root) == []


def test_a_set_of_runs_costs_what_one_does(acme: Company, monkeypatch: pytest.MonkeyPatch) -> None:
    from runs import transitions

    sent: list[int] = []
    together = transitions.run_together
    monkeypatch.setattr(transitions, "run_together", lambda found: (sent.append(len(found)), together(found))[1])
    for runs in (1, 20):
        ids = trigger(acme, deploy(acme, f"of-{runs}"), runs)
        with acme.scope():
            rows = lock_runs(ids)
            for row in rows.values():
                move(row, StateType.CANCELLED, by=By.SERVER)
            save(rows.values())
    assert [number for number in sent if number] == [2, 2]
