"""What is wrong with a line, a batch or a clock never costs its neighbours (design §4)."""

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
    EventRow,
    FlowRun,
    JournalQuarantine,
    JournalStream,
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
