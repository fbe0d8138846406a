"""What batches become in the database: rows, meters, partitions; and the wall between tenants."""

import time
from datetime import UTC, datetime, timedelta

import pytest
from django.db import connection

from orchestrator.ids import uuid7
from orchestrator.wire import Event, Usage
from runs.models import (
    Attempt,
    EventRow,
    FlowRun,
    JournalStream,
    Lease,
    LogLine,
    TaskRun,
    UsageDelta,
)
from tests.cast import Api, Company
from tests.contract.journals import Journal, now

pytestmark = pytest.mark.django_db


@pytest.fixture
def journal(api: Api) -> Journal:
    return Journal(api)


def run_of(company: Company, journal: Journal) -> FlowRun:
    with company.scope():
        return FlowRun.objects.select_related("flow").get(id=journal.root)


def lines(company: Company, journal: Journal) -> list[str]:
    with company.scope():
        rows = LogLine.objects.filter(root_id=journal.root).order_by("line_no")
        return list(rows.values_list("message", flat=True))


def test_the_first_batch_makes_the_run_its_attempt_and_its_lease(acme: Company, journal: Journal) -> None:
    answer = journal.send(journal.begin(tags=["nightly"]), journal.log(), journal.task())

    assert answer == {"acked": {journal.stream: 3}, "expected": {}, "rejected": [], "signals": []}
    run = run_of(acme, journal)
    assert (run.flow.name, run.name, run.state_type, run.origin) == ("etl", "brave-otter", "RUNNING", "local")
    assert (run.parameters, run.tags, run.attempt, run.run_count) == ({"day": "monday"}, ["nightly"], 1, 1)
    assert (run.workspace_id, run.root_id) == (acme.workspace.id, journal.root)
    with acme.scope():
        assert Attempt.objects.filter(run=run, number=1).count() == 1
        assert Lease.objects.get(run=run).expires_at > datetime.now(UTC)
        assert TaskRun.objects.of_run(run).get().label == "extract-1"


def test_a_replayed_batch_changes_nothing(acme: Company, journal: Journal) -> None:
    body = journal.body([journal.begin(), journal.log("once"), journal.task()])
    first, second = (journal.api.post("/journal", body).json() for _ in range(2))

    assert first["acked"] == second["acked"] == {journal.stream: 3}
    assert lines(acme, journal) == ["once"]
    with acme.scope():
        assert TaskRun.objects.filter(run_id=journal.root).count() == 1
        assert [(d.flow_runs, d.task_runs, d.log_bytes) for d in UsageDelta.objects.all()] == [(1, 1, 4)]


def test_more_entries_than_travel_as_arrays(acme: Company, journal: Journal) -> None:
    entries = [journal.begin(), *(journal.task() for _ in range(700)), *(journal.log(f"line {i}") for i in range(300))]
    journal.send(*entries, from_seq=1)
    journal.send(*entries, from_seq=1)

    assert lines(acme, journal) == [f"line {i}" for i in range(300)]
    with acme.scope():
        assert TaskRun.objects.filter(run_id=journal.root).count() == 700
        assert sum(UsageDelta.objects.values_list("task_runs", flat=True)) == 700


def test_a_second_run_of_a_flow_shares_the_flow(acme: Company, api: Api) -> None:
    first, second = Journal(api), Journal(api)
    first.send(first.begin())
    second.send(second.begin())

    assert run_of(acme, first).flow_id == run_of(acme, second).flow_id


def test_a_foreign_run_answers_like_an_unknown_one(acme: Company, journal: Journal, eve_api: Api) -> None:
    journal.send(journal.begin())
    foreign = Journal(eve_api, root=journal.root, token=journal.token, seq=1)
    unknown = Journal(eve_api, seq=1)

    def code(answer: dict) -> tuple:
        return answer["acked"], answer["expected"], [r["code"] for r in answer["rejected"]]

    assert code(foreign.send(foreign.log())) == code(unknown.send(unknown.log())) == ({}, {}, ["unknown_run"])
    assert lines(acme, journal) == []


def test_an_id_that_another_organization_uses_is_free_here(
    acme: Company, globex: Company, journal: Journal, eve_api: Api
) -> None:
    journal.send(journal.begin())
    own = Journal(eve_api, root=journal.root)
    answer = own.send(own.begin(flow="eve's"))

    assert answer["rejected"] == []
    assert run_of(acme, journal).flow.name == "etl"
    assert run_of(globex, own).flow.name == "eve's"


def test_nan_and_infinity_become_strings(acme: Company, journal: Journal) -> None:
    line = '{"kind":"log","seq":2,"run":"%s","t":%d,"message":"m","extra":{"x":NaN,"y":-Infinity}}'
    journal.send(journal.begin(), journal.raw((line % (journal.root, now())).encode()))

    with acme.scope():
        assert LogLine.objects.get().extra == {"x": "nan", "y": "-inf"}


def test_a_row_that_the_database_refuses_is_found_and_left_out(acme: Company, journal: Journal) -> None:
    good = [journal.begin(), journal.log("before")]
    bad = journal.task(duration=2**62, history=[])
    bad.duration = 2**63 + 5  # More than a bigint holds.
    answer = journal.send(*good, bad, journal.task(), journal.log("after"), from_seq=1)

    assert answer["acked"] == {journal.stream: 5}
    assert [r["code"] for r in answer["rejected"]] == ["data"]
    assert lines(acme, journal) == ["before", "after"]
    with acme.scope():
        assert TaskRun.objects.count() == 1


def test_a_clock_that_is_two_days_off_is_corrected(acme: Company, api: Api) -> None:
    journal = Journal(api, skew=-2 * 86_400 * 1_000_000)
    journal.send(journal.begin(), journal.task(), journal.log())
    journal.send(journal.state("COMPLETED", run_count=1))

    moment = datetime.now(UTC)
    run = run_of(acme, journal)
    with acme.scope():
        times = [run.started_at, run.ended_at, TaskRun.objects.get().started_at, LogLine.objects.get().t]
        assert JournalStream.objects.get().clock_offset == pytest.approx(2 * 86_400 * 1_000_000, abs=5_000_000)
    assert all(abs(time - moment) < timedelta(seconds=10) for time in times)
    assert run.bucket == moment.date()


def test_events_and_usage_are_recorded(acme: Company, journal: Journal) -> None:
    event = Event(**journal._next(), id=uuid7(), event="order.paid", resource={"id": "7"})
    usage = [Usage(**journal._next(), cpu=1_000, memory=50), Usage(**journal._next(), cpu=500, memory=70)]
    begin = Journal(journal.api, root=journal.root, token=journal.token).begin()
    for number, entry in enumerate([begin, event, *usage], 1):
        entry.seq = number
    journal.send(begin, event, *usage, from_seq=1)

    run = run_of(acme, journal)
    assert (run.cpu, run.memory) == (1_500, 70)
    with acme.scope():
        assert EventRow.objects.get(id=event.id).event == "order.paid"
        assert sum(UsageDelta.objects.values_list("cpu", flat=True)) == 1_500


def test_a_batch_of_one_entry_costs_few_queries(
    journal: Journal, django_assert_max_num_queries: pytest.FixtureRequest
) -> None:
    journal.send(journal.begin())
    with django_assert_max_num_queries(12):
        journal.send(journal.log("one more"))


def test_rows_are_small(acme: Company, journal: Journal) -> None:
    """Design §11: at most 500 bytes of database per task run, indexes included."""
    history = [(now(), "RUNNING", None, None)]
    entries = [journal.begin(), *(journal.task(history=history) for _ in range(3_000))]
    leaf = f"task_run_r30_{time.strftime('%Y%m%d', time.gmtime())}"
    before = _bytes_of(leaf)  # What tests before this one wrote and took back still lies there.
    journal.send(*entries, from_seq=1)
    assert 0 < (_bytes_of(leaf) - before) / 3_000 <= 500


def _bytes_of(table: str) -> int:
    with connection.cursor() as cursor:
        cursor.execute("SELECT pg_total_relation_size(%s::regclass)", [table])
        return cursor.fetchone()[0]
