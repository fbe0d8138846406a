"""3.7: the feed of events: what is in it, how it is read, and automations that wait for events of code."""

from __future__ import annotations

import json
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from django.db import connection
from django.test.utils import CaptureQueriesContext

from blocks import blocks
from blocks.models import Block
from orchestrator.ids import uuid7
from runs.models import EventRow
from tenants.access import workspace_actor
from tenants.errors import Invalid
from tests.cast import Api, Company
from tests.contract.journals import Journal
from tests.contract.test_events import PAID, event
from tests.runs.automating import automate, firings, notifications, tell
from tests.runs.pages import page
from tests.runs.work import agent, claim, deploy, start, trigger

pytestmark = pytest.mark.django_db


def told(api: Api, *made: dict[str, Any]) -> Journal:
    """A run that told of events."""
    journal = Journal(api)
    begun = journal.begin()
    journal.send(begun, *(event(journal, **each) for each in made))
    return journal


# ── automations ──────────────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize(
    ("when", "fires"),
    [
        ({"events": ["order.paid"]}, 1),
        ({"events": ["order.*"]}, 2),
        ({"events": ["order.*", "order.paid"]}, 2),
        ({"events": ["order_*"]}, 0),
        ({"events": ["*.paid"]}, 1),
        ({"events": ["order.paid"], "resources": ["order.17"]}, 1),
        ({"events": ["order.paid"], "resources": ["order.1*", "x"]}, 1),
        ({"events": ["order.paid"], "resources": ["order.18"]}, 0),
        ({"events": ["order.paid"], "flows": ["etl"]}, 1),
        ({"events": ["order.paid"], "flows": ["other"]}, 0),
    ],
)
def test_automations_wait_for_events_of_code(acme: Company, api: Api, when: dict[str, Any], fires: int) -> None:
    """3.7: by name, by pattern, by what it happened to, by the flow that told of it."""
    automate(acme, when=when)
    told(api, {"name": "order.paid"}, {"name": "order.shipped"}, {"name": "stock.low"})
    assert len(firings(acme)) == fires


def test_an_event_without_a_run_fires_once(acme: Company, api: Api) -> None:
    """3.7: though it is sent twice."""
    automate(acme, when={"events": ["order.paid"]})
    id = str(uuid7())
    for _ in range(2):
        assert api.post("/events", {**PAID, "id": id}).status_code == 201
    [fired] = firings(acme)
    assert (fired.event, fired.run_id, fired.cause["resource"]) == ("order.paid", None, "order.17")


def test_what_is_told_names_the_resource_and_the_payload(acme: Company, api: Api, mailoutbox: list[Any]) -> None:
    """3.7: in the words of a template, too."""
    action = {"to": ["alice@acme.example"], "body": "{{ resource }}: {{ payload.total }} by {{ flow }}"}
    automate(acme, when={"events": ["order.*"]}, action=action)
    told(api, {"payload": {"total": 12.5, "run": "not the run", "none": None}})
    tell(acme)
    [mail] = mailoutbox
    assert mail.subject == "order.paid of order.17"
    assert mail.body.strip() == "order.17: 12.5 by etl"
    assert len(notifications(acme)) == 1


def test_labels_of_code_are_never_ids_of_ours(acme: Company, api: Api) -> None:
    """3.7: an agent that is none, a deployment that is somebody's."""
    deployment = deploy(acme, "nightly", flow="secret-flow")
    automate(acme, when={"events": ["x"]})
    automate(acme, "Of the flow", when={"events": ["x"], "flows": ["secret-flow"]})
    labels = {"id": "a", "agent": "no uuid", "deployment": str(deployment.id)}
    assert api.post("/events", {"event": "x", "resource": labels}).status_code == 201
    [fired] = firings(acme)
    assert (fired.automation.name, "deployment" in fired.cause) == ("Failures", False)


def test_a_large_payload_is_not_copied_into_firings(acme: Company, api: Api) -> None:
    automate(acme, when={"events": ["order.paid"]})
    told(api, {"payload": "x" * 10_000})
    assert firings(acme)[0].cause["payload"] is None


@pytest.mark.parametrize(
    "events", [["flow-run.lost"], ["", "x"], ["flow-run."], ["x" * 201], [f"e.{n}" for n in range(51)]]
)
def test_triggers_that_can_not_be(acme: Company, events: list[str]) -> None:
    with pytest.raises(Invalid) as refused:
        automate(acme, when={"events": events})
    assert list(refused.value.fields or {}) == ["events"]


def test_patterns_fit_the_platforms_own_events_too(acme: Company, api: Api) -> None:
    automate(acme, when={"events": ["flow-run.*"]})
    told(api)
    assert [fired.event for fired in firings(acme)] == ["flow-run.running"]


def test_the_form_takes_them(acme: Company, alice: Any, browse: Any) -> None:
    """3.7: and shows them again."""
    form = {"name": "Orders", "other_events": "order.paid, stock.*", "resources": "order.*", "tell": "mail",
            "to": "alice@acme.example", "most_per_minute": "5", "events": "agent.gone"}  # fmt: skip
    browser = browse(alice)
    made = browser.post(f"{acme.path}automations/new", form)
    assert made.status_code == 302, made.content
    shown = " ".join(browser.get(made.headers["Location"]).content.decode().split())
    assert "The event order.paid or stock.*" in shown
    assert "of order.*" in shown
    assert 'value="order.paid, stock.*"' in browser.get(f"{made.headers['Location']}/edit").content.decode()


# ── the feed ─────────────────────────────────────────────────────────────────────────────────────


def test_the_feed_shows_what_happened(acme: Company, vera: Any, browse: Any, api: Api) -> None:
    """3.7: runs, agents, code and changes of settings, each with its page."""
    assert "No events yet" in page(acme, browse(vera), "events")
    trigger(acme, deploy(acme))
    [claimed] = claim(acme, agent(acme))
    start(claimed)
    journal = told(api, {"payload": {"total": 12.5}})
    api.put("/variables/limit", {"value": 5})
    feed = page(acme, browse(vera), "events")
    for name in ("deployment.created", "flow-run.running", "order.paid", "variable.created"):
        assert f">{name}</a>" in feed
    assert "&quot;total&quot;: 12.5" in feed
    assert f"/runs/{claimed.run}" in feed
    of_run = page(acme, browse(vera), "events", run=journal.root)
    assert of_run.count("data-row") == 2
    assert "order.paid" in page(acme, browse(vera), "events", event="order.*")
    assert "No event matches" in page(acme, browse(vera), "events", event="nothing")
    assert "order.paid" in page(acme, browse(vera), "events", resource="order.17", range="1h")


def test_one_event_is_shown_whole(acme: Company, vera: Any, browse: Any, api: Api) -> None:
    hostile = "<script>alert(1)</script>"
    told(api, {"payload": {hostile: hostile}, "related": [{"id": hostile, "role": hostile}], "resource": hostile})
    with acme.scope():
        id = EventRow.objects.get(event="order.paid").id
    shown = page(acme, browse(vera), f"events/{id}")
    assert "<script>alert" not in shown + page(acme, browse(vera), "events")
    assert "&lt;script&gt;alert(1)&lt;/script&gt;" in shown
    assert "buyer" not in shown


def test_the_feed_is_paged(acme: Company, vera: Any, browse: Any, api: Api) -> None:
    journal = told(api, *({"name": f"tick.{number:02}"} for number in range(60)))
    assert journal.seq == 61
    first = page(acme, browse(vera), "events", event="tick.")
    assert first.count("data-row") == 50
    cursor = first.split("cursor=")[1].split('"')[0].split("&")[0]
    assert page(acme, browse(vera), "events", event="tick.", cursor=cursor).count("data-row") == 10


def test_changes_are_events_of_their_transaction(acme: Company, api: Api) -> None:
    """3.7: every change of an object of the workspace; reads of secrets are none."""
    api.put("/variables/limit", {"value": 5})
    api.put("/variables/limit", {"value": 6})
    api.put("/blocks/secret/vault", {"data": {"value": "open sesame"}})
    api.post("/blocks/secret/vault/value", {})
    api.delete("/variables/limit")
    with acme.scope():
        rows = list(EventRow.objects.order_by("id"))
    assert [row.event for row in rows] == [
        "variable.created", "variable.updated", "block.created", "variable.deleted",
    ]  # fmt: skip
    assert {row.resource["name"] for row in rows} == {"limit", "secret/vault"}
    assert {row.payload["by"] for row in rows} == {"developer"}
    assert "sesame" not in json.dumps([[row.resource, row.payload] for row in rows])


def test_a_restricted_block_is_not_told_by_name(acme: Company, api: Api) -> None:
    """4.4: for whoever sees the feed and isn't named by its rules the block isn't there."""
    api.put("/blocks/secret/vault", {"data": {"value": "open sesame"}})
    with acme.scope():
        Block.objects.update(restricted=True)
        owner = workspace_actor(acme.owner.id, "acme", "main")
        blocks.save(type="secret", name="vault", data={"value": "again"}, by=owner)
        made, changed = EventRow.objects.order_by("id")
    assert (made.resource["name"], changed.event) == ("secret/vault", "block.updated")
    assert "vault" not in json.dumps([changed.resource, changed.resource_id, changed.payload])


def test_changes_fire_automations(acme: Company, api: Api) -> None:
    automate(acme, when={"events": ["variable.*"]})
    api.put("/variables/limit", {"value": 5})
    assert [fired.event for fired in firings(acme)] == ["variable.created"]


def test_each_way_of_reading_uses_its_index(acme: Company, api: Api) -> None:
    """3.7: by time, by name, by resource, by run, whatever else there is."""
    from runs.reads import events as reads

    journal = told(api, {"name": "order.paid"})
    since = datetime.now(UTC) - timedelta(days=1)
    for asked, index in (
        (reads.EventFilter(since=since), "workspace_id_t_"),
        (reads.EventFilter(event="order."), "_event_t_"),
        (reads.EventFilter(resource="order.17"), "_resource_id_"),
        (reads.EventFilter(run=journal.root), "_run_id_t_"),
    ):
        with acme.scope(), CaptureQueriesContext(connection) as asked_of:
            with connection.cursor() as cursor:
                cursor.execute("SET LOCAL enable_seqscan = off; SET LOCAL enable_bitmapscan = off")
            assert len(reads.page(acme.actor(), asked)[0]) >= 1
            last = [each["sql"] for each in asked_of.captured_queries if "event" in each["sql"]]
            plans = ""
            with connection.cursor() as cursor:
                for sql in last:
                    if sql.lstrip().startswith(("SELECT", "WITH")) and "EXPLAIN" not in sql:
                        cursor.execute(f"EXPLAIN {sql}")
                        plans += " ".join(row[0] for row in cursor.fetchall())
            assert index in plans, (asked, plans[:2_000])


def test_another_organization_sees_none(acme: Company, globex: Company, api: Api, eve_api: Api) -> None:
    told(api, {"name": "order.paid"})
    assert eve_api.get("/events").json()["items"] == []
    assert eve_api.get("/events", event="order.").json()["items"] == []
    assert eve_api.get("/events", resource="order.17").json()["items"] == []
