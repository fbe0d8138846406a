"""The journal's protocol as the server keeps it (design §4): whatever a client sends, nothing is lost or doubled."""

from datetime import UTC, datetime, timedelta

import pytest

from orchestrator.ids import uuid7
from runs.models import (
    Attempt,
    FlowRun,
    Lease,
    LogLine,
    TaskRun,
    UsageDelta,
)
from tests.cast import Api, Company
from tests.contract.journals import Journal

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


# ── what a local run makes ───────────────────────────────────────────────────────────────────────


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


def test_a_whole_life_in_one_batch(acme: Company, journal: Journal) -> None:
    journal.send(journal.begin(), journal.log(), journal.state("COMPLETED", run_count=1, duration=2_000_000))

    run = run_of(acme, journal)
    assert (run.state_type, run.duration, run.lines) == ("COMPLETED", 2_000_000, 1)
    assert [state[1] for state in run.history] == ["RUNNING", "COMPLETED"]
    assert run.ended_at >= run.started_at
    with acme.scope():
        assert not Lease.objects.exists()
        assert Attempt.objects.get().outcome == "Completed"


def test_a_second_run_of_a_flow_shares_the_flow(acme: Company, api: Api) -> None:
    first, second = Journal(api), Journal(api)
    first.send(first.begin())
    second.send(second.begin())

    assert run_of(acme, first).flow_id == run_of(acme, second).flow_id


def test_subflows_share_the_execution(acme: Company, journal: Journal) -> None:
    child = uuid7()
    journal.send(journal.begin(), journal.subflow(child), journal.task(run=child), journal.log("in it", run=child))
    journal.send(journal.state("COMPLETED", run=child, run_count=1))

    with acme.scope():
        run = FlowRun.objects.get(id=child)
        assert (run.root_id, run.parent_id, run.state_type) == (journal.root, journal.root, "COMPLETED")
        assert TaskRun.objects.of_run(run).count() == 1
        assert LogLine.objects.of_root(run).get().run_id == child
        assert FlowRun.objects.get(id=journal.root).state_type == "RUNNING"


def test_the_end_of_a_root_ends_what_it_left_open(acme: Company, journal: Journal) -> None:
    child = uuid7()
    open_task = journal.begin(), journal.subflow(child), journal.task("RUNNING", run=child, ended=None, duration=None)
    journal.send(*open_task)
    journal.send(journal.state("FAILED", run_count=1, message="ValueError: no"))

    with acme.scope():
        assert FlowRun.objects.get(id=child).state_type == "CRASHED"
        assert TaskRun.objects.filter(run_id=child).get().state_type == "CRASHED"


def test_a_task_that_speaks_after_it_was_given_up_is_believed(acme: Company, journal: Journal) -> None:
    begin = journal.begin()
    running = journal.task("RUNNING", ended=None, duration=None)
    journal.send(begin, running)
    journal.send(journal.state("COMPLETED", run_count=1))
    journal.send(journal.task("COMPLETED", id=running.id))

    with acme.scope():
        assert TaskRun.objects.filter(run_id=journal.root).get().state_type == "COMPLETED"


# ── everything may happen twice ──────────────────────────────────────────────────────────────────


def test_a_replayed_batch_changes_nothing(acme: Company, journal: Journal) -> None:
    body = journal.body([journal.begin(), journal.log("once"), journal.task()])
    first, second = (journal.api.post("/journal", body).json() for _ in range(2))

    assert first["acked"] == second["acked"] == {journal.stream: 3}
    assert lines(acme, journal) == ["once"]
    with acme.scope():
        assert TaskRun.objects.filter(run_id=journal.root).count() == 1
        assert [(d.flow_runs, d.task_runs, d.log_bytes) for d in UsageDelta.objects.all()] == [(1, 1, 4)]


def test_a_batch_that_overlaps_is_applied_from_where_it_is_new(acme: Company, journal: Journal) -> None:
    entries = [journal.begin(), journal.log("one"), journal.log("two"), journal.log("three")]
    journal.send(*entries[:3], from_seq=1)
    answer = journal.send(*entries, from_seq=1)

    assert answer["acked"] == {journal.stream: 4}
    assert lines(acme, journal) == ["one", "two", "three"]


def test_a_gap_is_answered_with_what_is_expected(acme: Company, journal: Journal) -> None:
    journal.send(journal.begin())
    journal.seq += 1  # An entry that never arrived.
    answer = journal.send(journal.log("too early"))

    assert answer["expected"] == {journal.stream: 2}
    assert answer["acked"] == {}
    assert lines(acme, journal) == []


def test_a_gap_inside_a_batch_applies_what_comes_before_it(acme: Company, journal: Journal) -> None:
    begin, first = journal.begin(), journal.log("first")
    journal.seq += 1
    answer = journal.send(begin, first, journal.log("behind the gap"), from_seq=1)

    assert (answer["acked"], answer["expected"]) == ({journal.stream: 2}, {journal.stream: 3})
    assert lines(acme, journal) == ["first"]


def test_an_empty_batch_renews_the_lease_and_brings_signals(acme: Company, journal: Journal) -> None:
    journal.send(journal.begin())
    with acme.scope():
        Lease.objects.update(expires_at=datetime.now(UTC) + timedelta(seconds=1))
    answer = journal.send(from_seq=2)

    assert answer["acked"] == {journal.stream: 1}
    with acme.scope():
        assert Lease.objects.get().expires_at > datetime.now(UTC) + timedelta(seconds=30)
    journal.api.post(f"/flow-runs/{journal.root}/cancel")
    assert journal.send(from_seq=2)["signals"] == [{"run": str(journal.root), "signal": "cancel"}]


def test_the_latest_word_about_a_task_wins_whatever_the_order(acme: Company, journal: Journal) -> None:
    task = uuid7()
    journal.send(
        journal.begin(), journal.task("FAILED", id=task, run_count=1), journal.task("RUNNING", id=task, run_count=2)
    )
    journal.send(journal.task("COMPLETED", id=task, run_count=2))
    journal.send(journal.task("RUNNING", id=task, run_count=1))

    with acme.scope():
        row = TaskRun.objects.get(run_id=journal.root)
        assert (row.state_type, row.run_count) == ("COMPLETED", 2)


def test_more_entries_than_travel_as_arrays(acme: Company, journal: Journal) -> None:
    entries = [journal.begin(), *(journal.task() for _ in range(700)), *(journal.log(f"line {i}") for i in range(300))]
    journal.send(*entries, from_seq=1)
    journal.send(*entries, from_seq=1)

    assert lines(acme, journal) == [f"line {i}" for i in range(300)]
    with acme.scope():
        assert TaskRun.objects.filter(run_id=journal.root).count() == 700
        assert sum(UsageDelta.objects.values_list("task_runs", flat=True)) == 700


# ── who may write ────────────────────────────────────────────────────────────────────────────────


def test_a_stale_token_is_refused(acme: Company, journal: Journal) -> None:
    journal.send(journal.begin())
    answer = journal.send(journal.log("not mine"), head={"token": "somebody else's"})

    assert answer["acked"] == {}
    assert [(r["stream"], r["code"]) for r in answer["rejected"]] == [(journal.stream, "stale_token")]
    assert lines(acme, journal) == []


def test_of_two_clients_with_one_id_the_first_token_counts(acme: Company, api: Api) -> None:
    first = Journal(api)
    second = Journal(api, root=first.root)
    first.send(first.begin())
    answer = second.send(second.begin(flow="another"))

    assert answer["rejected"][0]["code"] == "stale_token"
    assert run_of(acme, first).flow.name == "etl"


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


def test_an_entry_may_not_name_a_run_of_another_execution(acme: Company, api: Api) -> None:
    mine, other = Journal(api), Journal(api)
    other.send(other.begin())
    answer = mine.send(mine.begin(), mine.log("here"), mine.log("there", run=other.root), mine.task(run=other.root))

    assert [(r["seq"], r["code"]) for r in answer["rejected"]] == [(3, "unknown_run"), (4, "unknown_run")]
    assert answer["acked"] == {mine.stream: 4}
    assert lines(acme, other) == []


def test_only_writer_0_reports_states_of_runs(acme: Company, journal: Journal) -> None:
    journal.send(journal.begin())
    second = Journal(journal.api, root=journal.root, token=journal.token, writer=77)
    answer = second.send(second.log("from a worker"), second.state("COMPLETED", run_count=1))

    assert answer["acked"] == {second.stream: 2}
    assert [(r["seq"], r["code"]) for r in answer["rejected"]] == [(2, "not_writer_0")]
    assert lines(acme, journal) == ["from a worker"]
    assert run_of(acme, journal).state_type == "RUNNING"


def test_two_streams_of_one_run_in_one_batch(acme: Company, journal: Journal) -> None:
    second = Journal(journal.api, root=journal.root, token=journal.token, writer=5)
    body = journal.body([journal.begin(), journal.log("a")])
    body += b"\n" + second.body([second.log("b")]).split(b"\n", 1)[1]
    answer = journal.api.post("/journal", body).json()

    assert answer["acked"] == {journal.stream: 2, second.stream: 1}
    assert sorted(lines(acme, journal)) == ["a", "b"]


def test_a_superseded_attempt_tells_of_itself_and_changes_nothing(acme: Company, journal: Journal) -> None:
    journal.send(journal.begin())
    with acme.scope():
        FlowRun.objects.update(attempt=2)
    answer = journal.send(journal.log("last words"), journal.task(), journal.state("COMPLETED", run_count=1))

    assert answer["acked"] == {journal.stream: 4}
    assert [r["code"] for r in answer["rejected"]] == ["superseded"]
    assert answer["signals"] == [{"run": str(journal.root), "signal": "superseded"}]
    assert run_of(acme, journal).state_type == "RUNNING"
    assert lines(acme, journal) == ["last words"]
    with acme.scope():
        assert Attempt.objects.get().history[0][1] == "COMPLETED"
        assert TaskRun.objects.get().attempt == 1


def test_an_attempt_is_sealed_after_seven_days(acme: Company, journal: Journal) -> None:
    journal.send(journal.begin(), journal.state("COMPLETED", run_count=1))
    with acme.scope():
        Attempt.objects.update(ended_at=datetime.now(UTC) - timedelta(days=8))
    answer = journal.send(journal.log("much too late"))

    assert [r["code"] for r in answer["rejected"]] == ["sealed"]
    assert lines(acme, journal) == []


def test_a_finished_run_stays_finished(acme: Company, journal: Journal) -> None:
    journal.send(journal.begin(), journal.state("COMPLETED", run_count=1))
    answer = journal.send(journal.state("RUNNING", run_count=2), journal.log("after the end"))

    assert [r["code"] for r in answer["rejected"]] == ["refused"]
    assert answer["signals"] == [{"run": str(journal.root), "signal": "over"}]
    assert run_of(acme, journal).state_type == "COMPLETED"
    assert lines(acme, journal) == ["after the end"]


def test_a_viewer_and_nobody_may_not_write(acme: Company) -> None:
    journal = Journal(Api(acme.key("v", "viewer")))
    assert journal.api.post("/journal", journal.body([journal.begin()])).status_code == 403
    assert Api("orc_nonsense").post("/journal", b"").status_code == 401
    with acme.scope():
        assert not FlowRun.objects.exists()
