"""The journal's protocol as the server keeps it (design §4): whatever a client sends, nothing is lost or doubled."""

import gzip
import json
import time
from datetime import UTC, datetime, timedelta

import pytest
import zstandard
from django.db import connection

from orchestrator.ids import uuid7
from orchestrator.wire import MAX_ENTRY, Dropped, Event, Usage
from runs.models import (
    Attempt,
    EventRow,
    FlowRun,
    JournalQuarantine,
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


# ── what can't be taken never costs its neighbours ───────────────────────────────────────────────


def test_an_unknown_kind_is_quarantined(acme: Company, journal: Journal) -> None:
    line = json.dumps({"kind": "telepathy", "seq": 2, "run": str(journal.root), "t": now()}).encode()
    answer = journal.send(journal.begin(), journal.raw(line), journal.log("after it"))

    assert answer["acked"] == {journal.stream: 3}
    assert [(r["seq"], r["code"]) for r in answer["rejected"]] == [(2, "unknown_kind")]
    assert lines(acme, journal) == ["after it"]
    with acme.scope():
        kept = JournalQuarantine.objects.get()
        assert (kept.code, kept.seq) == ("unknown_kind", 2)
        assert "telepathy" in kept.entry


def test_unknown_fields_are_ignored(acme: Company, journal: Journal) -> None:
    line = {"kind": "log", "seq": 2, "run": str(journal.root), "t": now(), "message": "new", "mood": "good"}
    answer = journal.send(journal.begin(), journal.raw(json.dumps(line).encode()))

    assert answer["rejected"] == []
    assert lines(acme, journal) == ["new"]


@pytest.mark.parametrize(
    "bad",
    [
        b"{nonsense",
        b"[1, 2]",
        b'{"kind":"log"}',
        b'{"kind":"log","seq":2,"run":"not-an-id","t":1,"message":"x"}',
        b"\xff\xfe\xfd",
        b"[" * 100_000,
    ],
)
def test_invalid_lines_are_quarantined(acme: Company, journal: Journal, bad: bytes) -> None:
    answer = journal.send(journal.begin(), journal.raw(bad), journal.log("after it"))

    assert answer["acked"] == {journal.stream: 3}
    assert [r["seq"] for r in answer["rejected"]] == [2]
    assert lines(acme, journal) == ["after it"]


def test_nul_and_surrogates_become_replacement_characters(acme: Company, journal: Journal) -> None:
    template = '{"kind":"log","seq":%d,"run":"%s","t":%d,"message":"%s","extra":{"k":"%s"}}'
    texts = ["a\\u0000b", "c\\ud800d", "e\\udfff"]
    raws = [journal.raw((template % (i + 2, journal.root, now(), text, text)).encode()) for i, text in enumerate(texts)]
    begin = Journal(journal.api, root=journal.root, token=journal.token)
    answer = journal.send(begin.begin(), *raws, from_seq=1)

    assert answer["rejected"] == []
    assert lines(acme, journal) == ["a\ufffdb", "c\ufffdd", "e\ufffd"]


def test_nan_and_infinity_become_strings(acme: Company, journal: Journal) -> None:
    line = '{"kind":"log","seq":2,"run":"%s","t":%d,"message":"m","extra":{"x":NaN,"y":-Infinity}}'
    journal.send(journal.begin(), journal.raw((line % (journal.root, now())).encode()))

    with acme.scope():
        assert LogLine.objects.get().extra == {"x": "nan", "y": "-inf"}


def test_a_line_of_more_than_a_megabyte_is_refused_alone(acme: Company, journal: Journal) -> None:
    huge = journal.log("x" * (MAX_ENTRY + 10))
    huge.seq, journal.seq = 2, 2
    begin = Journal(journal.api, root=journal.root, token=journal.token).begin()
    answer = journal.send(begin, huge, journal.log("after it"), from_seq=1)

    assert [(r["seq"], r["code"]) for r in answer["rejected"]] == [(2, "too_large")]
    assert lines(acme, journal) == ["after it"]


@pytest.mark.parametrize("pack", [None, "gzip", "zstd"])
def test_a_line_of_20_megabytes_is_413(journal: Journal, pack: str | None) -> None:
    body = journal.body([journal.begin(), journal.log("x" * (20 << 20))])
    headers = {"Content-Encoding": pack} if pack else {}
    packed = {"gzip": gzip.compress, "zstd": zstandard.compress}.get(pack or "", bytes)(body)
    response = journal.api.post("/journal", packed, **headers)

    assert response.status_code == 413
    assert response.json()["error"]["code"] == "too_large"


def test_a_bomb_is_not_unpacked(journal: Journal) -> None:
    bomb = zstandard.compress(b"\n" * (512 << 20), level=19)
    assert len(bomb) < 1 << 20
    assert journal.api.post("/journal", bomb, **{"Content-Encoding": "zstd"}).status_code == 413


@pytest.mark.parametrize("pack", ["gzip", "zstd"])
def test_packed_batches(acme: Company, journal: Journal, pack: str) -> None:
    body = journal.body([journal.begin(), journal.log("packed")])
    packed = {"gzip": gzip.compress, "zstd": zstandard.compress}[pack](body)
    assert journal.api.post("/journal", packed, **{"Content-Encoding": pack}).status_code == 200
    assert lines(acme, journal) == ["packed"]


@pytest.mark.parametrize(
    ("body", "encoding"),
    [(b"", ""), (b"{}", ""), (b"not json", ""), (b"not packed", "zstd"), (b"not packed", "gzip"), (b"x", "br")],
)
def test_what_is_no_batch_is_400(api: Api, body: bytes, encoding: str) -> None:
    response = api.post("/journal", body, **({"Content-Encoding": encoding} if encoding else {}))
    assert response.status_code == 400
    assert response.json()["error"]["code"] == "invalid"


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


def test_a_time_out_of_this_century_is_invalid(acme: Company, journal: Journal) -> None:
    answer = journal.send(journal.begin(), journal.log("then", t=2**62), journal.log("now"))
    assert [r["code"] for r in answer["rejected"]] == ["invalid"]
    assert lines(acme, journal) == ["now"]


def test_what_the_client_gave_up_is_said_in_the_log(acme: Company, journal: Journal) -> None:
    begin = journal.begin()
    dropped = Dropped(seq=2, run=journal.root, t=now(), last=51, why="disk full", count={"log": 50})
    journal.seq = 51
    answer = journal.send(begin, dropped, journal.log("and on"), from_seq=1)

    assert answer["acked"] == {journal.stream: 52}
    assert lines(acme, journal) == ["Not recorded: 50 × log (disk full)", "and on"]


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
        assert EventRow.objects.get().event == "order.paid"
        assert sum(UsageDelta.objects.values_list("cpu", flat=True)) == 1_500


@pytest.mark.parametrize(("wire", "status"), [("1", 200), ("0", 426), ("99", 426), ("x", 426)])
def test_the_wire_version_is_checked(journal: Journal, wire: str, status: int) -> None:
    body = journal.body([journal.begin()])
    response = journal.api.post("/journal", body, **{"Orchestrator-Wire": wire})
    assert response.status_code == status


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
    journal.send(*entries, from_seq=1)
    leaf = f"task_run_r30_{time.strftime('%Y%m%d', time.gmtime())}"
    with connection.cursor() as cursor:
        cursor.execute("SELECT pg_total_relation_size(%s::regclass)", [leaf])
        size = cursor.fetchone()[0]
    assert size / 3_000 <= 500
