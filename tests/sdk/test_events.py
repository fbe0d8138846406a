"""3.7: events told by code: in flows and tasks, outside, with and without a server."""

from __future__ import annotations

import asyncio
import json
import os
import threading
from datetime import UTC, datetime
from typing import Any
from uuid import UUID

import msgspec
import pytest

from orchestrator import events, flow, journal, task
from orchestrator.blocks import Secret
from orchestrator.events import Event, emit_event
from orchestrator.exceptions import ApiError
from orchestrator.ids import uuid7
from orchestrator.masking import forget
from orchestrator.testing import recorded
from orchestrator.testing import server as memory
from orchestrator.wire import MAX_PAYLOAD


def test_events_of_flows_and_tasks() -> None:
    """3.7: what the server gets, of the innermost run."""
    at = datetime(2026, 11, 20, 12, tzinfo=UTC)

    @task
    def pay() -> Event:
        return emit_event("order.paid", {"id": "order.17", "shop": "eu"}, payload={"total": float("nan")}, occurred=at)

    @flow
    def sell() -> None:
        paid = pay()
        emit_event("order.shipped", "order.17", related=[{"id": "parcel.1", "role": "parcel"}], follows=paid)

    with recorded() as told:
        sell()
    paid, shipped = told.events()
    assert (paid.event, paid.resource, paid.t) == ("order.paid", {"id": "order.17", "shop": "eu"}, 1795176000000000)
    assert msgspec.json.decode(paid.payload) == {"total": "nan"}
    assert shipped.related == [{"id": "parcel.1", "role": "parcel"}, {"id": f"event.{paid.id}", "role": "follows"}]
    assert paid.run == shipped.run == told.run_states()[0].run


def test_labels_that_users_of_prefect_know() -> None:
    with recorded() as told:
        flow(lambda: emit_event("x", {"prefect.resource.id": "a", "prefect.resource.name": "b", "c": 1}), name="f")()
    assert told.events()[0].resource == {"id": "a", "name": "b", "c": "1"}


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        ({"event": "flow-run.failed", "resource": "a"}, "events of the platform itself"),
        ({"event": "asset.materialized", "resource": "a"}, "events of the platform itself"),
        ({"event": "", "resource": "a"}, "1 to 200 characters"),
        ({"event": "x", "resource": {"name": "a"}}, "named by its id"),
        ({"event": "x", "resource": "a", "payload": "y" * MAX_PAYLOAD}, f"{MAX_PAYLOAD:,} can be taken"),
        ({"event": "x", "resource": "a", "related": [{"id": "b"}] * 51}, "50 resources"),
        ({"event": "x", "resource": "a", "occurred": datetime(2026, 1, 1)}, "no zone"),
    ],
)
def test_what_can_not_be_told(arguments: dict[str, Any], told: str) -> None:
    """3.7: the one who tells it sees why."""
    with recorded() as journal_of, pytest.raises(ValueError, match=told):
        flow(lambda: emit_event(**arguments), name="f")()
    assert journal_of.events() == []


def test_a_resource_is_an_id_or_labels() -> None:
    with pytest.raises(TypeError, match="not int"):
        emit_event("x", 5)  # type: ignore[arg-type]


def test_without_an_api_it_is_logged(capsys: pytest.CaptureFixture[str]) -> None:
    """3.7: inside of a run and outside."""
    flow(lambda: emit_event("order.paid", "order.17"), name="f")()
    emit_event("order.lost", "order.18")
    told = capsys.readouterr().err
    assert "The event order.paid of order.17. No API is known" in told
    assert "The event order.lost of order.18. No API is known" in told


def test_secrets_are_masked(server: Any) -> None:
    """3.7: by the journal, and by what is sent at once."""
    sent: list[bytes] = []
    server.routes["POST", "/events"] = lambda body: (sent.append(body), (201, {"id": str(uuid7())}))[1]

    def tell() -> None:
        emit_event("a.hunter22-x", "hunter22-x", related=[{"id": "hunter22-x"}], payload={"hunter22-x": ["hunter22-x"]})

    @flow
    def careless() -> None:
        Secret(value="hunter22-x")
        tell()

    try:
        careless()
        tell()
        assert journal.flush(10)
    finally:
        forget()
    [by_journal] = server.all_entries("event")
    assert "hunter22" not in json.dumps(by_journal) + repr(sent)
    assert json.loads(sent[0])["payload"] == {"********": ["********"]}


def all_sent() -> None:
    """Wait until nothing waits any more for the thread by which coroutines send."""
    sender, _ = events._sender(os.getpid())
    sender.submit(int).result(10)


def test_many_events_of_coroutines_go_by_one_thread_and_have_a_bound(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """3.7: a loop that tells of everything neither starts threads nor fills the memory."""
    sent, go = [], threading.Event()

    def post(event: Event) -> None:
        go.wait(10)
        sent.append((threading.get_ident(), event.resource["id"]))

    async def tells() -> None:
        for number in range(events.MAX_WAITING + 5):
            emit_event("order.paid", f"order.{number}")

    monkeypatch.setattr(events, "_post", post)
    with memory():
        asyncio.run(tells())
        go.set()
        all_sent()
    assert [id for _, id in sent] == [f"order.{number}" for number in range(events.MAX_WAITING)]
    assert len({thread for thread, _ in sent}) == 1
    assert caplog.text.count("wait already") == 5


def test_outside_of_a_run_the_api_hears_of_it() -> None:
    """3.7: at once in sync code, in the background of a coroutine."""

    async def tells() -> Event:
        return emit_event("order.shipped", "order.17")

    with memory() as server:
        paid = emit_event("order.paid", "order.17", payload=[1])
        shipped = asyncio.run(tells())
        all_sent()
        kept = {each.id: each for each in server.events()}
        assert set(kept) == {paid.id, shipped.id}
        assert (kept[paid.id].payload, kept[paid.id].run) == ([1], None)
        assert isinstance(paid.id, UUID)


def test_outside_of_a_run_a_refusal_is_an_error(server: Any) -> None:
    server.routes["POST", "/events"] = lambda body: (403, {"error": {"code": "forbidden", "message": "no"}})
    with pytest.raises(ApiError, match="no"):
        emit_event("order.paid", "order.17")


def test_the_server_is_away(server: Any, home: Any, until: Any) -> None:
    """3.7: the journal's file keeps it."""
    server.refuse += [(503, "unavailable")] * 10_000
    flow(lambda: emit_event("order.kept", "order.17"), name="f")()
    until(lambda: any("order.kept" in path.read_text() for path in (home / "journals").glob("*.ndjson")))
    server.refuse.clear()
    assert journal.flush(20)
    assert [entry["event"] for entry in server.all_entries("event")] == ["order.kept"]
