"""3.7: events of code, as the journal tells of them, as programs send them, and as the API shows them."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

import msgspec
import pytest

from orchestrator.ids import uuid7
from orchestrator.wire import MAX_PAYLOAD, Event, encode
from tests.contract.journals import Journal
from tests.contract.test_lists import pages
from tests.contract.worlds import World

PAID = {"event": "order.paid", "resource": {"id": "order.17"}}


def event(journal: Journal, name: str = "order.paid", resource: Any = "order.17", **more: Any) -> Event:
    payload = more.pop("payload", None)
    raw = {} if payload is None else {"payload": msgspec.Raw(encode(payload))}
    labels = {"id": resource} if isinstance(resource, str) else resource
    entry = {"id": uuid7(), **journal._next(), "resource": labels}
    return Event(**{**entry, **raw, **more}, event=name)


def found(world: World, **query: Any) -> list[str]:
    answer = world.api.get("/events", **query)
    assert answer.status_code == 200, answer.content
    return [each["event"] for each in answer.json()["items"] if not each["event"].startswith("flow-run.")]


def test_one_is_shown_as_it_was_told(world: World, journal: Journal) -> None:
    """3.7: with its resource, those related to it, its payload and its run."""
    begun = journal.begin()
    related = [{"id": "customer.3", "role": "buyer"}]
    told = event(journal, related=related, payload={"total": 12.5}, resource="order.17")
    journal.send(begun, told)
    shown = world.api.get(f"/events/{told.id}").json()
    assert (shown["event"], shown["resource"], shown["related"]) == ("order.paid", {"id": "order.17"}, related)
    assert (shown["payload"], shown["flow_run"]) == ({"total": 12.5}, str(journal.root))
    assert shown in world.api.get("/events").json()["items"]


def test_a_program_tells_of_one_without_a_run(world: World) -> None:
    """3.7: with an id of its own it may do so twice."""
    id, at = uuid7(), datetime(2026, 11, 20, 12, 30, tzinfo=UTC)
    for _ in range(2):
        made = world.api.post("/events", {**PAID, "id": str(id), "occurred": at.isoformat(), "payload": [1]})
        assert (made.status_code, made.json()) == (201, {"id": str(id)})
    [shown] = world.api.get("/events").json()["items"]
    assert datetime.fromisoformat(shown["occurred"]) == at
    assert (shown["payload"], shown["flow_run"], shown["related"]) == ([1], None, [])


def test_filters(world: World, journal: Journal) -> None:
    """3.7: by name and how names begin, by resource, by run, by time."""
    journal.send(journal.begin(), event(journal), event(journal, "order.shipped"), event(journal, "stock.low", "sku.1"))
    world.api.post("/events", {**PAID, "occurred": (datetime.now(UTC) - timedelta(days=3)).isoformat()})
    other = Journal(world.api)
    other.send(other.begin(), event(other, "orders.closed", "shop"))

    assert sorted(found(world)) == ["order.paid", "order.paid", "order.shipped", "orders.closed", "stock.low"]
    assert sorted(found(world, event="order.")) == ["order.paid", "order.paid", "order.shipped"]
    assert sorted(found(world, event="order.*")) == sorted(found(world, event="order."))
    assert found(world, event="order.shipped") == ["order.shipped"]
    assert found(world, event="nothing") == []
    assert sorted(found(world, resource="order.17")) == ["order.paid", "order.paid", "order.shipped"]
    assert found(world, resource="order.17", event="order.s") == ["order.shipped"]
    assert found(world, flow_run=other.root) == ["orders.closed"]
    assert found(world, flow_run=uuid7()) == []
    assert sorted(found(world, flow_run=journal.root, event="order.")) == ["order.paid", "order.shipped"]
    day = (datetime.now(UTC) - timedelta(days=1)).isoformat()
    assert found(world, until=day) == ["order.paid"]
    assert found(world, until=day, event="order.") == ["order.paid"]
    assert len(found(world, since=day)) == 4
    assert sorted(found(world, since=day, event="order.")) == ["order.paid", "order.shipped"]


@pytest.mark.parametrize("query", [{"event": "tick."}, {"resource": "clock"}, {"event": "tick.1", "resource": "clock"}])
def test_pages_are_newest_first(world: World, journal: Journal, query: dict[str, str]) -> None:
    journal.send(journal.begin())
    for number in range(9):
        journal.send(event(journal, f"tick.{1 if 'resource' in query else number % 3}", "clock"))
        world.pass_time(0.001)
    listed = pages(world, "/events", limit=2, **query)
    assert len({each["id"] for each in listed}) == len(listed) == 9
    times = [each["occurred"] for each in listed]
    assert times == sorted(times, reverse=True)


@pytest.mark.parametrize(
    ("body", "field"),
    [
        ({"event": "flow-run.failed"}, "event"),
        ({"event": "asset.materialized"}, "event"),
        ({"event": ""}, "event"),
        ({"event": "a*"}, "event"),
        ({"event": "x" * 201}, "event"),
        ({"resource": {}}, "resource"),
        ({"resource": {"name": "x"}}, "resource"),
        ({"resource": {"id": "x" * 1_001}}, "resource"),
        ({"resource": {"id": 5}}, "resource[...]"),
        ({"related": [{"id": "x"}] * 51}, "related"),
        ({"payload": "x" * MAX_PAYLOAD}, "payload"),
        ({"occurred": "2026-11-20T10:00:00"}, "occurred"),
        ({"occurred": "1999-11-20T10:00:00Z"}, "occurred"),
    ],
)
def test_what_can_not_be_taken(world: World, body: dict[str, Any], field: str) -> None:
    answer = world.api.post("/events", {**PAID, **body})
    assert answer.status_code == 400
    assert list(answer.json()["error"]["fields"]) == [field]
    assert found(world) == []


@pytest.mark.parametrize(
    "more",
    [{"name": "flow-run.failed"}, {"name": "x" * 201}, {"resource": ""}, {"payload": "x" * MAX_PAYLOAD},
     {"related": [{"id": "x"}] * 51}],
)  # fmt: skip
def test_what_a_journal_can_not_tell(world: World, journal: Journal, more: dict[str, Any]) -> None:
    """3.7: nobody takes code's events for the platform's."""
    refused = journal.send(journal.begin(), event(journal, **more), event(journal, "is.fine"))["rejected"]
    assert [each["code"] for each in refused] == ["invalid"]
    assert found(world) == ["is.fine"]


@pytest.mark.parametrize(
    ("path", "query", "status"),
    [
        ("/events", {"flow_run": "x"}, 400),
        ("/events", {"since": "yesterday"}, 400),
        ("/events", {"until": "2026-11-20T10:00:00"}, 400),
        ("/events", {"cursor": "x"}, 400),
        ("/events", {"cursor": "x", "event": "a."}, 400),
        ("/events/01a206c7-6f08-4b3b-86ef-59734346d202", {}, 404),
    ],
)
def test_refusals(world: World, path: str, query: dict[str, str], status: int) -> None:
    assert world.api.get(path, **query).status_code == status


def test_who_may(world: World) -> None:
    """3.7: whoever writes journals tells of events, whoever sees runs sees them."""
    assert world.as_role("viewer").get("/events").status_code == 200
    assert world.as_role("agent").get("/events").status_code == 403
    assert world.as_role("agent").post("/events", PAID).status_code == 201
    for role in ("viewer", "runner"):
        assert world.as_role(role).post("/events", PAID).status_code == 403


def test_a_run_may_send_one_by_its_token(world: World) -> None:
    world.deploy()
    world.trigger()
    [claim] = world.agent().claim()
    assert world.with_key(claim["token"]).post("/events", PAID).status_code == 201
