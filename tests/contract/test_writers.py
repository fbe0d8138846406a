"""Several writers at once (design §4): transactions of a real database, side by side."""

from __future__ import annotations

import pytest

from runs.models import FlowRun, Lease, LogLine, TaskRun, UsageDelta
from tests.cast import Api, Company
from tests.contract.journals import Journal
from tests.runs.work import agent, claim, deploy, silence, start, sweep, trigger
from tests.threads import at_once


@pytest.fixture
def journal(api: Api) -> Journal:
    return Journal(api)


def lines(company: Company, journal: Journal) -> list[tuple[int, str]]:
    with company.scope():
        rows = LogLine.objects.filter(root_id=journal.root).order_by("line_no")
        return list(rows.values_list("line_no", "message"))


def worker(journal: Journal, number: int) -> Journal:
    """Another writer of the same attempt, with a client of its own."""
    return Journal(Api(journal.api.key), root=journal.root, token=journal.token, writer=number)


# ── at once ──────────────────────────────────────────────────────────────────────────────────────


@pytest.mark.django_db(transaction=True)
def test_two_writers_at_once_lose_and_double_nothing(acme: Company, journal: Journal) -> None:
    journal.send(journal.begin())
    writers = [worker(journal, number) for number in (11, 22, 33)]

    def write(own: Journal) -> None:
        for batch in range(8):
            assert own.send(own.log(f"{own.writer}.{batch}"), own.task())["rejected"] == []

    assert at_once(*(lambda own=own: write(own) for own in writers)) == [None] * 3
    found = lines(acme, journal)
    assert [number for number, _ in found] == list(range(1, 25))
    assert sorted(text for _, text in found) == sorted(f"{own.writer}.{batch}" for own in writers for batch in range(8))
    for own in writers:
        mine = [text for _, text in found if text.startswith(f"{own.writer}.")]
        assert mine == [f"{own.writer}.{batch}" for batch in range(8)]
    with acme.scope():
        assert TaskRun.objects.count() == 24
        assert FlowRun.objects.get().lines == 24


@pytest.mark.django_db(transaction=True)
def test_one_batch_many_times_at_once_is_applied_once(acme: Company, journal: Journal) -> None:
    body = journal.body([journal.begin(), journal.log("once"), journal.task()])
    answers = at_once(*(lambda: Api(journal.api.key).post("/journal", body).json() for _ in range(4)))

    assert all(answer["acked"] == {journal.stream: 3} for answer in answers)
    assert lines(acme, journal) == [(1, "once")]
    with acme.scope():
        assert sum(UsageDelta.objects.values_list("task_runs", flat=True)) == 1
        assert (FlowRun.objects.count(), Lease.objects.count()) == (1, 1)


@pytest.mark.django_db(transaction=True)
def test_two_clients_with_one_id_at_once_one_of_them_wins(acme: Company, journal: Journal) -> None:
    other = Journal(Api(journal.api.key), root=journal.root)
    answers = at_once(*(lambda own=own: own.send(own.begin(), own.log(own.token)) for own in (journal, other)))
    won = [own for own, answer in zip((journal, other), answers, strict=True) if answer["acked"]]
    lost = [answer for answer in answers if not answer["acked"]]

    assert [refused["code"] for answer in lost for refused in answer["rejected"]] == ["stale_token"]
    assert [text for _, text in lines(acme, journal)] == [won[0].token]


@pytest.mark.django_db(transaction=True)
def test_a_last_word_and_a_verdict_at_once_agree(acme: Company) -> None:
    """The holder completes while the tick judges: whoever is first, nothing is left behind."""
    trigger(acme, deploy(acme, retries=1), 6)
    journals = {claimed.run: start(claimed) for claimed in claim(acme, agent(acme))}
    for run_id in journals:
        silence(acme, run_id)

    def finish() -> None:
        for own in journals.values():
            own.send(own.state("COMPLETED", run_count=1))

    assert at_once(finish, lambda: sweep(acme, *journals)) == [None, None]
    with acme.scope():
        states = set(FlowRun.objects.values_list("state_type", "state_name"))
        assert states <= {("COMPLETED", "Completed"), ("SCHEDULED", "AwaitingRetry")}
        assert not Lease.objects.exists()
