"""Journals that come after the end of their attempt: taken, metered once, and nothing is left open by them."""

from __future__ import annotations

from datetime import timedelta

import pytest

from orchestrator.ids import uuid7
from runs import claims
from runs.models import FlowRun, LogLine, TaskRun, UsageDelta
from runs.transitions import micros
from tests.cast import Api, Company
from tests.contract.journals import Journal
from tests.runs.work import cancel, claim, claimed_run, journal_of, make_due, moment, silence, start, state, sweep

pytestmark = pytest.mark.django_db

OPEN = {"ended": None, "duration": None}


@pytest.fixture
def journal(api: Api) -> Journal:
    return Journal(api)


def task_states(company: Company) -> list[tuple[int, str]]:
    with company.scope():
        return sorted(TaskRun.objects.values_list("attempt", "state_type"))


def runs_metered(company: Company) -> int:
    with company.scope():
        return sum(UsageDelta.objects.values_list("flow_runs", flat=True))


@pytest.mark.parametrize(("wanted", "expected"), [(False, "CRASHED"), (True, "CANCELLED")])
def test_what_a_dead_process_began_is_over_too(acme: Company, wanted: bool, expected: str) -> None:
    """It was killed, the agent said so, and only then the journal that it left behind was delivered."""
    by, claimed = claimed_run(acme)
    journal = start(claimed)
    if wanted:
        cancel(acme, claimed.run)
    with acme.scope():
        claims.end_attempt(by, run_id=claimed.run, attempt=1, started=True, message="Killed by signal 9.")
    child = uuid7()
    answer = journal.send(journal.subflow(child), journal.task("RUNNING", **OPEN), api=Api(acme.key("k")))

    assert answer["rejected"] == []
    assert state(acme, child)[0] == expected
    assert task_states(acme) == [(1, expected)]
    with acme.scope():
        ended, began = TaskRun.objects.values_list("ended_at", "started_at").get()
        assert ended >= began


def test_a_late_last_word_of_a_task_or_subflow_still_counts(acme: Company) -> None:
    by, claimed = claimed_run(acme)
    journal = start(claimed)
    with acme.scope():
        claims.end_attempt(by, run_id=claimed.run, attempt=1, started=True, message="gone")
    own, child, task = Api(acme.key("k")), uuid7(), uuid7()
    journal.send(journal.task("RUNNING", id=task, **OPEN), api=own)
    journal.send(journal.task("COMPLETED", id=task), journal.subflow(child),
                 journal.state("COMPLETED", run=child, run_count=1), api=own)  # fmt: skip

    assert task_states(acme) == [(1, "COMPLETED")]
    assert state(acme, child)[0] == "COMPLETED"


def test_tasks_of_a_superseded_attempt_are_over(acme: Company) -> None:
    by, claimed = claimed_run(acme, retries=1)
    old = start(claimed)
    silence(acme, claimed.run)
    sweep(acme, claimed.run)
    new = start(claim(acme, by)[0])
    new.send(new.task("RUNNING", **OPEN))
    old.send(old.task("RUNNING", **OPEN), api=Api(acme.key("k")))

    assert task_states(acme) == [(1, "CRASHED"), (2, "RUNNING")]


def test_what_ran_beside_a_pause_ends_with_the_run(acme: Company, journal: Journal) -> None:
    child = uuid7()
    journal.send(journal.begin(), journal.state("PAUSED", run_count=1))
    journal.send(journal.subflow(child), journal.task("RUNNING", **OPEN))
    cancel(acme, journal.root)
    journal.send(journal.state("CANCELLED", run_count=1))

    assert {state(acme, id)[0] for id in (journal.root, child)} == {"CANCELLED"}
    assert task_states(acme) == [(1, "CANCELLED")]


def test_a_run_is_metered_once_though_two_attempts_tell_of_its_beginning(acme: Company) -> None:
    """The first claim was thought lost before its process was heard of, so both count from one."""
    by, claimed = claimed_run(acme)
    silence(acme, claimed.run)
    sweep(acme, claimed.run)
    make_due(acme, claimed.run)
    start(claim(acme, by)[0])
    late = journal_of(claimed)
    late.send(late.state("RUNNING", run_count=1), api=Api(acme.key("k")))

    assert runs_metered(acme) == 1


def test_a_run_that_goes_on_after_a_pause_is_metered_once(acme: Company, journal: Journal) -> None:
    journal.send(journal.begin(), journal.state("PAUSED", run_count=1))
    journal.send(journal.state("RUNNING", name="Resuming", run_count=1))
    assert runs_metered(acme) == 1


def test_a_journal_that_lay_for_long_is_not_sealed_while_it_is_delivered(acme: Company, journal: Journal) -> None:
    """A laptop that was closed for two weeks: its run ended long ago, but we hear of it only now."""
    begin, end = journal.begin(), journal.state("COMPLETED", run_count=1)
    begin.t = end.t = micros(moment() - timedelta(days=14))
    journal.send(begin, end, from_seq=1)

    assert journal.send(journal.log("more of it"))["rejected"] == []


@pytest.mark.parametrize("first", ["COMPLETED", "SCHEDULED", "CANCELLING"])
def test_a_local_run_that_never_ran_does_not_wait_for_ever(acme: Company, journal: Journal, first: str) -> None:
    """No agent would take it, so there is no queue to give it back to."""
    begin = journal.begin()
    begin.state = first
    journal.send(begin)
    assert state(acme, journal.root)[0] == "PENDING"
    silence(acme, journal.root)
    sweep(acme, journal.root)

    assert state(acme, journal.root)[0] == "CRASHED"
    with acme.scope():
        assert FlowRun.objects.get().claims_lost == 0


def test_rows_of_anothers_run_of_the_same_id_are_in_nobodys_way(
    acme: Company, globex: Company, api: Api, eve_api: Api
) -> None:
    """Ids are made by clients. Who knows one may use it too, and neither learns anything of the other, or loses it."""
    mine = Journal(api)
    theirs = Journal(eve_api, root=mine.root)
    task = uuid7()
    for journal, word in ((theirs, "theirs"), (mine, "mine")):
        told = [journal.begin(), journal.task(id=task), journal.log(word), journal.state("COMPLETED", run_count=1)]
        assert journal.send(*told)["rejected"] == []
    for company, word in ((acme, "mine"), (globex, "theirs")):
        with company.scope():
            assert TaskRun.objects.filter(run_id=mine.root).values_list("id", flat=True).get() == task
            assert word in LogLine.objects.filter(root_id=mine.root).values_list("message", flat=True)
            assert LogLine.objects.filter(root_id=mine.root).count() == 1
