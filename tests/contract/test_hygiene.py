"""What is wrong with a line, a batch or a clock never costs its neighbours (design §4)."""

from __future__ import annotations

import gzip
import json
from datetime import datetime, timedelta
from typing import Any

import pytest
import zstandard

from orchestrator.wire import MAX_ENTRY, Dropped
from tests.contract.journals import Journal, now
from tests.contract.worlds import World


def test_an_unknown_kind_is_quarantined(world: World, journal: Journal) -> None:
    line = json.dumps({"kind": "telepathy", "seq": 2, "run": str(journal.root), "t": now()}).encode()
    answer = journal.send(journal.begin(), journal.raw(line), journal.log("after it"))

    assert answer["acked"] == {journal.stream: 3}
    assert [(r["seq"], r["code"]) for r in answer["rejected"]] == [(2, "unknown_kind")]
    assert world.lines(journal.root) == ["after it"]
    ((seq, code, text),) = world.quarantine()
    assert (seq, code) == (2, "unknown_kind")
    assert "telepathy" in text


def test_unknown_fields_are_ignored(world: World, journal: Journal) -> None:
    line = {"kind": "log", "seq": 2, "run": str(journal.root), "t": now(), "message": "new", "mood": "good"}
    answer = journal.send(journal.begin(), journal.raw(json.dumps(line).encode()))

    assert answer["rejected"] == []
    assert world.lines(journal.root) == ["new"]


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
def test_invalid_lines_are_quarantined(world: World, journal: Journal, bad: bytes) -> None:
    answer = journal.send(journal.begin(), journal.raw(bad), journal.log("after it"))

    assert answer["acked"] == {journal.stream: 3}
    assert [r["seq"] for r in answer["rejected"]] == [2]
    assert [seq for seq, _, _ in world.quarantine()] == [2]
    assert world.lines(journal.root) == ["after it"]


def test_nul_and_surrogates_become_replacement_characters(world: World, journal: Journal) -> None:
    template = '{"kind":"log","seq":%d,"run":"%s","t":%d,"message":"%s","extra":{"k":"%s"}}'
    texts = ["a\\u0000b", "c\\ud800d", "e\\udfff"]
    raws = [journal.raw((template % (i + 2, journal.root, now(), text, text)).encode()) for i, text in enumerate(texts)]
    begin = Journal(journal.api, root=journal.root, token=journal.token)
    answer = journal.send(begin.begin(), *raws, from_seq=1)

    assert answer["rejected"] == []
    assert world.lines(journal.root) == ["a\ufffdb", "c\ufffdd", "e\ufffd"]


def test_a_line_of_more_than_a_megabyte_is_refused_alone(world: World, journal: Journal) -> None:
    huge = journal.log("x" * (MAX_ENTRY + 10))
    huge.seq, journal.seq = 2, 2
    begin = Journal(journal.api, root=journal.root, token=journal.token).begin()
    answer = journal.send(begin, huge, journal.log("after it"), from_seq=1)

    assert [(r["seq"], r["code"]) for r in answer["rejected"]] == [(2, "too_large")]
    assert world.lines(journal.root) == ["after it"]


@pytest.mark.parametrize("pack", [None, "gzip", "zstd"])
def test_a_line_of_20_megabytes_is_413(world: World, journal: Journal, pack: str | None) -> None:
    body = journal.body([journal.begin(), journal.log("x" * (20 << 20))])
    headers = {"Content-Encoding": pack} if pack else {}
    packed = {"gzip": gzip.compress, "zstd": zstandard.compress}.get(pack or "", bytes)(body)
    response = world.api.post("/journal", packed, **headers)

    assert response.status_code == 413
    assert response.json()["error"]["code"] == "too_large"


def test_a_bomb_is_not_unpacked(world: World) -> None:
    bomb = zstandard.compress(b"\n" * (512 << 20), level=19)
    assert len(bomb) < 1 << 20
    assert world.api.post("/journal", bomb, **{"Content-Encoding": "zstd"}).status_code == 413


@pytest.mark.parametrize("pack", ["gzip", "zstd"])
def test_packed_batches(world: World, journal: Journal, pack: str) -> None:
    body = journal.body([journal.begin(), journal.log("packed")])
    packed = {"gzip": gzip.compress, "zstd": zstandard.compress}[pack](body)
    assert world.api.post("/journal", packed, **{"Content-Encoding": pack}).status_code == 200
    assert world.lines(journal.root) == ["packed"]


@pytest.mark.parametrize(
    ("body", "encoding"),
    [(b"", ""), (b"{}", ""), (b"not json", ""), (b"not packed", "zstd"), (b"not packed", "gzip"), (b"x", "br")],
)
def test_what_is_no_batch_is_400(world: World, body: bytes, encoding: str) -> None:
    response = world.api.post("/journal", body, **({"Content-Encoding": encoding} if encoding else {}))
    assert response.status_code == 400
    assert response.json()["error"]["code"] == "invalid"


@pytest.mark.parametrize("sent_at", [0, -1, 2**62, 2**70])
def test_a_batch_of_another_century_is_400(world: World, journal: Journal, sent_at: int) -> None:
    first, rest = journal.body([journal.begin()]).split(b"\n", 1)
    head = {**json.loads(first), "sent_at": sent_at}
    assert world.api.post("/journal", json.dumps(head).encode() + b"\n" + rest).status_code == 400
    assert world.api.get(f"/flow-runs/{journal.root}").status_code == 404


def test_a_clock_that_is_two_days_off_is_corrected(world: World) -> None:
    journal = Journal(world.api, skew=-2 * 86_400 * 1_000_000)
    journal.send(journal.begin(), journal.task(), journal.log())
    journal.send(journal.state("COMPLETED", run_count=1))

    run, (task,) = world.run(journal.root), world.tasks(journal.root)
    made = datetime.fromisoformat(run["created_at"])
    times = [run["started_at"], run["ended_at"], task["started_at"], task["ended_at"]]
    assert all(abs(datetime.fromisoformat(time) - made) < timedelta(seconds=10) for time in times)


def test_a_time_out_of_this_century_is_invalid(world: World, journal: Journal) -> None:
    answer = journal.send(journal.begin(), journal.log("then", t=2**62), journal.log("now"))
    assert [r["code"] for r in answer["rejected"]] == ["invalid"]
    assert world.lines(journal.root) == ["now"]


def test_what_the_client_gave_up_is_said_in_the_log(world: World, journal: Journal) -> None:
    begin = journal.begin()
    dropped = Dropped(seq=2, run=journal.root, t=now(), last=51, why="disk full", count={"log": 50})
    journal.seq = 51
    answer = journal.send(begin, dropped, journal.log("and on"), from_seq=1)

    assert answer["acked"] == {journal.stream: 52}
    assert world.lines(journal.root) == ["Not recorded: 50 × log (disk full)", "and on"]


HOSTILE: list[dict[str, Any]] = [
    {"attempt": 0}, {"attempt": -1}, {"attempt": 2**31}, {"attempt": 2**70}, {"writer": -1}, {"writer": 2**31},
    {"token": ""}, {"token": "x" * 5_000}, {"token": "a\x00b"}, {"from_seq": 0}, {"from_seq": -5}, {"from_seq": 2**62},
    {"from_seq": 2**63}, {"from_seq": 2**70},
]  # fmt: skip


@pytest.mark.parametrize("head", HOSTILE, ids=lambda head: next(iter(head)))
def test_stream_lines_that_are_none(world: World, journal: Journal, head: dict[str, Any]) -> None:
    journal.send(journal.begin())
    response = world.api.post("/journal", journal.body([journal.log("x")], head=head))

    assert response.status_code in {200, 400}
    assert world.lines(journal.root) == []
    journal.seq = 1
    assert journal.send(journal.log("y"))["acked"] == {journal.stream: 2}


@pytest.mark.parametrize(
    "more",
    [
        {"run_count": -1}, {"run_count": 2**40}, {"duration": 2**70}, {"duration": -(2**62)}, {"at": 2**70},
        {"at": -(2**62)}, {"t": 0}, {"name": "x" * 9_000}, {"message": "\x00" * 9_000}, {"state": "DANCING"},
    ],
    ids=lambda more: next(iter(more)),
)  # fmt: skip
@pytest.mark.parametrize("state", ["RUNNING", "SCHEDULED", "COMPLETED"])
def test_states_out_of_bounds_cost_no_error(world: World, state: str, more: dict[str, Any]) -> None:
    world.deploy()
    world.trigger()
    (claim,) = world.agent().claim()
    own = Journal.of_claim(world, claim)
    own.send(own.state("RUNNING", run_count=1))
    entry = own.state(state, run_count=1)
    for name, value in more.items():
        setattr(entry, name, value)
    response = own.api.post("/journal", own.body([entry, own.log("after it")]))

    assert response.status_code == 200, response.content
    assert world.lines(claim["run"]) == ["after it"]
