"""Several writers at once, and batches that no client of ours would send (design §4)."""

from __future__ import annotations

from typing import Any

import pytest

from orchestrator.ids import uuid7
from runs.models import FlowRun, Lease, LogLine, TaskRun, UsageDelta
from tests.cast import Api, Company
from tests.contract.journals import Journal
from tests.runs.work import agent, claim, deploy, in_seconds, silence, start, sweep, trigger
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


# ── what no client of ours would send ────────────────────────────────────────────────────────────


@pytest.mark.django_db
@pytest.mark.parametrize("overlap", [True, False])
def test_a_stream_comes_once_in_a_batch(acme: Company, journal: Journal, overlap: bool) -> None:
    first = journal.body([journal.begin(), journal.log("one")])
    if overlap:
        journal.seq = 0
        second = journal.body([journal.begin(), journal.log("twice")])
    else:
        second = journal.body([journal.log("two")])
    response = journal.api.post("/journal", first + b"\n" + second.split(b"\n", 1)[1])

    assert response.status_code == 400
    assert "once" in response.json()["error"]["message"]
    with acme.scope():
        assert not FlowRun.objects.exists()


@pytest.mark.django_db
def test_one_execution_says_nothing_of_anothers_subflows(acme: Company, api: Api) -> None:
    """Both are its own, in one batch: still one lease says nothing about the other."""
    mine, other, child = Journal(api), Journal(api), uuid7()
    other.send(other.begin(), other.subflow(child))
    body = mine.body([mine.begin(), mine.state("FAILED", run=child, run_count=1), mine.log("x", run=child)])
    body += b"\n" + other.body([other.log("here", run=child)]).split(b"\n", 1)[1]
    answer = api.post("/journal", body).json()

    assert {(r["stream"], r["seq"], r["code"]) for r in answer["rejected"]} == {
        (mine.stream, 2, "unknown_run"),
        (mine.stream, 3, "unknown_run"),
    }
    with acme.scope():
        assert FlowRun.objects.get(id=child).state_type == "RUNNING"


@pytest.mark.django_db
def test_a_run_that_goes_on_after_a_pause_is_held_again(acme: Company, journal: Journal) -> None:
    """A pause gives the lease away; whoever goes on without one would never be missed."""
    journal.send(journal.begin(), journal.state("PAUSED", run_count=1))
    journal.send(journal.state("RUNNING", name="Resuming", run_count=1))
    with acme.scope():
        lease = Lease.objects.get()
        assert (lease.run_id, lease.attempt) == (journal.root, 1)
        assert lease.expires_at > in_seconds(30)
    silence(acme, journal.root)
    sweep(acme, journal.root)
    with acme.scope():
        assert FlowRun.objects.get().state_name == "Unreachable"


HOSTILE: list[dict[str, Any]] = [
    {"attempt": 0}, {"attempt": -1}, {"attempt": 2**31}, {"attempt": 2**70}, {"writer": -1}, {"writer": 2**31},
    {"token": ""}, {"token": "x" * 5_000}, {"token": "a\x00b"}, {"from_seq": 0}, {"from_seq": -5}, {"from_seq": 2**62},
    {"from_seq": 2**63}, {"from_seq": 2**70},
]  # fmt: skip


@pytest.mark.django_db
@pytest.mark.parametrize("head", HOSTILE, ids=lambda head: next(iter(head)))
def test_stream_lines_that_are_none(acme: Company, journal: Journal, head: dict[str, Any]) -> None:
    journal.send(journal.begin())
    response = journal.api.post("/journal", journal.body([journal.log("x")], head=head))

    assert response.status_code in {200, 400}
    assert lines(acme, journal) == []
    journal.seq = 1
    assert journal.send(journal.log("y"))["acked"] == {journal.stream: 2}


@pytest.mark.django_db
@pytest.mark.parametrize(
    "more",
    [
        {"run_count": -1}, {"run_count": 2**40}, {"duration": 2**70}, {"duration": -(2**62)}, {"at": 2**70},
        {"at": -(2**62)}, {"t": 0}, {"name": "x" * 9_000}, {"message": "\x00" * 9_000}, {"state": "DANCING"},
    ],
    ids=lambda more: next(iter(more)),
)  # fmt: skip
@pytest.mark.parametrize("state", ["RUNNING", "SCHEDULED", "COMPLETED"])
def test_states_out_of_bounds_cost_no_error(acme: Company, state: str, more: dict[str, Any]) -> None:
    trigger(acme, deploy(acme))
    (claimed,) = claim(acme, agent(acme))
    own = start(claimed)
    entry = own.state(state, run_count=1)
    for name, value in more.items():
        setattr(entry, name, value)
    response = own.api.post("/journal", own.body([entry, own.log("after it")]))

    assert response.status_code == 200, response.content
    assert [text for _, text in lines(acme, own)] == ["after it"]
