"""The one writer of run state: the whole table, and what is written with it."""

from __future__ import annotations

from dataclasses import replace
from itertools import product
from uuid import UUID

import pytest

from orchestrator.states import ALIVE, TERMINAL, By, StateType, may_move
from runs.models import Attempt, FlowRun
from runs.transitions import MAX_HISTORY, RunRow, lock_runs, move, save
from tests.cast import Api, Company
from tests.contract.journals import Journal
from tests.runs.work import agent, claim, deploy, in_seconds, moment, run_row, start, trigger

S, P, R, W, X = (StateType(name) for name in ("SCHEDULED", "PENDING", "RUNNING", "PAUSED", "CANCELLING"))
COMPLETED, FAILED, CRASHED, CANCELLED = (StateType(n) for n in ("COMPLETED", "FAILED", "CRASHED", "CANCELLED"))

# Written out once more by hand, from the design: what is not here is refused.
SERVER = {
    S: {S, P, CANCELLED},
    P: {S, X, CRASHED, CANCELLED},
    R: {S, R, X, CRASHED, CANCELLED},
    W: {S, W, X, FAILED, CRASHED, CANCELLED},
    X: {CRASHED, CANCELLED},
}
HOLDER = {
    P: {R, FAILED, CRASHED, CANCELLED},
    R: {S, R, W, COMPLETED, FAILED, CRASHED, CANCELLED},
    W: {R, FAILED, CANCELLED},
    X: {COMPLETED, FAILED, CRASHED, CANCELLED},
}


@pytest.mark.parametrize(("current", "to"), [*product(StateType, StateType)])
def test_who_may_move_from_where_to_where(current: StateType, to: StateType) -> None:
    assert may_move(current, to, By.SERVER) == (to in SERVER.get(current, ()))
    assert may_move(current, to, By.HOLDER) == (to in HOLDER.get(current, ()))


@pytest.mark.parametrize(("current", "to", "by"), [*product(sorted(TERMINAL), StateType, By)])
def test_terminal_states_are_final(current: StateType, to: StateType, by: By) -> None:
    assert not may_move(current, to, by)


def test_types_are_alive_or_terminal() -> None:
    assert set(StateType) == ALIVE | TERMINAL
    assert not ALIVE & TERMINAL


# ── what is written ──────────────────────────────────────────────────────────────────────────────


def moved(company: Company, ids: list[UUID], *states: tuple[StateType, By]) -> list[bool]:
    with company.scope():
        rows = lock_runs(ids)
        done = [move(row, to, by=by) for to, by in states for row in rows.values()]
        save(rows.values())
    return done


@pytest.mark.parametrize(("current", "to", "by"), [*product(StateType, StateType, By)])
def test_move_does_what_the_table_says_and_nothing_else(current: StateType, to: StateType, by: By) -> None:
    values = dict.fromkeys(RunRow.__dataclass_fields__)
    values |= {"state_type": current.value, "state_name": "before", "state_message": "", "run_count": 0, "duration": 0}
    values |= {"attempt": 1, "crashes": 0, "new_states": [], "touched": False}
    row = RunRow(**values)
    before = replace(row, new_states=[])
    allowed = move(row, to, by=by)

    assert allowed == may_move(current, to, by)
    if allowed:
        assert (row.state_type, row.touched, len(row.new_states)) == (to, True, 1)
        assert (row.ended_at is not None) == (to in TERMINAL)
    else:
        assert row == before


@pytest.mark.django_db
def test_a_set_of_runs_moves_in_one_statement(acme: Company, django_assert_num_queries) -> None:
    ids = trigger(acme, deploy(acme), 30)
    with acme.scope(), django_assert_num_queries(1):  # States and events follow in one go: see test_events.py.
        rows = lock_runs(ids)
        for row in rows.values():
            assert move(row, CANCELLED, by=By.SERVER, message="all of them")
        assert len(save(rows.values())) == 30
    with acme.scope():
        assert set(FlowRun.objects.values_list("state_type", "state_message")) == {("CANCELLED", "all of them")}


@pytest.mark.django_db
def test_rows_that_did_not_move_are_not_written(acme: Company, django_assert_num_queries) -> None:
    ids = trigger(acme, deploy(acme), 2)
    with acme.scope(), django_assert_num_queries(1):
        rows = lock_runs(ids)
        assert not any(move(row, COMPLETED, by=By.HOLDER) for row in rows.values())
        assert save(rows.values()) == []


@pytest.mark.django_db
def test_unknown_and_foreign_runs_are_not_locked(acme: Company, globex: Company) -> None:
    ids = trigger(acme, deploy(acme))
    with globex.scope():
        assert lock_runs(ids) == {}


@pytest.mark.django_db
def test_the_history_tells_when_what_why_and_which_attempt(acme: Company) -> None:
    (id,) = trigger(acme, deploy(acme))
    (claimed,) = claim(acme, agent(acme))
    journal = start(claimed)
    journal.send(journal.state("FAILED", run_count=1, name="TimedOut", message="after 60 s"))

    history = run_row(acme, id).history
    assert [(type, name, message, attempt) for _, type, name, message, attempt in history] == [
        ("SCHEDULED", "Scheduled", None, 0),
        ("PENDING", "Pending", "Claimed by agent.", 1),
        ("RUNNING", "Running", None, 1),
        ("FAILED", "TimedOut", "after 60 s", 1),
    ]
    times = [time for time, *_ in history]
    assert times == sorted(times)


@pytest.mark.django_db
@pytest.mark.parametrize("batches", [1, 10])
def test_a_history_keeps_its_first_and_its_last_states(acme: Company, api: Api, batches: int) -> None:
    journal = Journal(api)
    journal.send(journal.begin())
    for batch in range(batches):
        journal.send(
            *(
                journal.state("RUNNING", name="Retrying", run_count=2, message=f"{batch}.{number}")
                for number in range(1_000 // batches)
            )
        )
    history = run_row(acme, journal.root).history

    assert len(history) == MAX_HISTORY
    assert (history[0][2], history[1][3]) == ("Running", "0.0")
    assert history[-1][3] == f"{batches - 1}.{1_000 // batches - 1}"
    assert run_row(acme, journal.root).state_message == history[-1][3]


@pytest.mark.django_db
def test_durations_add_up_and_counts_only_grow(acme: Company, api: Api) -> None:
    journal = Journal(api)
    journal.send(journal.begin())
    journal.send(journal.state("RUNNING", name="Retrying", run_count=3, duration=1_000))
    journal.send(journal.state("RUNNING", name="Retrying", run_count=2, duration=500))
    journal.send(journal.state("COMPLETED", run_count=1, duration=-7))

    run = run_row(acme, journal.root)
    assert (run.run_count, run.duration) == (3, 1_500)


@pytest.mark.django_db
def test_an_error_stays_until_the_run_completes(acme: Company, api: Api) -> None:
    from orchestrator.wire import Error

    journal = Journal(api)
    error = Error(type="ValueError", message="no", traceback="Traceback …")
    journal.send(journal.begin(), journal.state("RUNNING", name="Retrying", run_count=2, error=error))
    assert run_row(acme, journal.root).error["type"] == "ValueError"
    journal.send(journal.state("RUNNING", name="Retrying", run_count=3))
    assert run_row(acme, journal.root).error["message"] == "no"
    journal.send(journal.state("COMPLETED", run_count=3))
    assert run_row(acme, journal.root).error is None


@pytest.mark.django_db
def test_the_end_is_never_before_the_beginning(acme: Company, api: Api) -> None:
    journal = Journal(api)
    journal.send(journal.begin())
    begun = run_row(acme, journal.root).started_at
    journal.send(journal.state("COMPLETED", run_count=1, t=int(begun.timestamp() * 1_000_000) - 60_000_000))
    assert run_row(acme, journal.root).ended_at == begun


@pytest.mark.django_db
def test_due_time_changes_with_scheduled_only(acme: Company) -> None:
    (id,) = trigger(acme, deploy(acme), scheduled_at=in_seconds(100))
    due = run_row(acme, id).due_at
    with acme.scope():
        rows = lock_runs([id])
        move(rows[id], S, by=By.SERVER, name="Late")
        save(rows.values())
    assert run_row(acme, id).due_at == due
    with acme.scope():
        rows = lock_runs([id])
        move(rows[id], P, by=By.SERVER, due_at=moment())
        save(rows.values())
    assert run_row(acme, id).due_at == due


@pytest.mark.django_db
def test_an_attempt_ends_with_the_state_that_let_it_go(acme: Company) -> None:
    trigger(acme, deploy(acme))
    (claimed,) = claim(acme, agent(acme))
    journal = start(claimed)
    journal.send(journal.state("SCHEDULED", name="AwaitingRetry", run_count=1, at=int(moment().timestamp() * 1e6)))
    with acme.scope():
        attempt = Attempt.objects.get()
        assert (attempt.outcome, attempt.ended_at is not None) == ("AwaitingRetry", True)
    (again,) = claim(acme, agent(acme))
    assert (again.attempt, again.run_count) == (2, 1)


@pytest.mark.django_db
def test_what_changed_is_announced_after_the_commit(
    acme: Company, django_capture_on_commit_callbacks, monkeypatch: pytest.MonkeyPatch
) -> None:
    import json

    from runs import live

    class Redis:
        def publish(self, channel: str, body: str) -> None:
            said.append((channel, body))

    said: list[tuple[str, str]] = []
    monkeypatch.setattr(live.messenger, "send", lambda fill: fill(Redis()))
    (id,) = trigger(acme, deploy(acme))
    with django_capture_on_commit_callbacks(execute=True):
        moved(acme, [id], (CANCELLED, By.SERVER))
        assert said == []
    [(channel, body)] = said
    assert channel == f"live:{acme.organization.id}"
    told = {"w": str(acme.workspace.id), "run": str(id), "root": str(id), "state": True, "over": True}
    assert json.loads(body) == [told]
