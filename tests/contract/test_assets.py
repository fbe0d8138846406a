"""1.21: assets, as journals tell of them and as the API shows them."""

from __future__ import annotations

from typing import Any

import pytest

from orchestrator.ids import uuid7
from orchestrator.wire import Event
from tests.contract.journals import Journal
from tests.contract.test_events import event
from tests.contract.test_lists import pages
from tests.contract.worlds import World

RAW, CLEAN = "s3://lake/raw.csv", "s3://lake/clean.csv"


def materialized(journal: Journal, key: str, upstream: list[str] | None = None, **more: Any) -> Event:
    """What a task tells that has made an asset."""
    name = more.pop("event", "asset.materialized")
    labels = {"id": key, **more.pop("labels", {})}
    related = [{"id": each, "role": "upstream"} for each in upstream or []]
    return event(journal, name, related=related, payload={"metadata": {}, **more}, resource=labels)


def asset_of(api: Any, key: str) -> str:
    """The id of an asset."""
    [found] = [each for each in api.get("/assets", key=key).json()["items"] if each["key"] == key]
    return found["id"]


def shown(world: World, key: str) -> dict[str, Any]:
    return world.api.get(f"/assets/{asset_of(world.api, key)}").json()


def makings(world: World, key: str, **query: Any) -> list[dict[str, Any]]:
    return world.api.get(f"/assets/{asset_of(world.api, key)}/materializations", **query).json()["items"]


def test_what_was_made_of_what(world: World, journal: Journal) -> None:
    """1.21: by whom, when, with which metadata; and both neighbours."""
    begun, task = journal.begin(), uuid7()
    made = materialized(
        journal, CLEAN, [RAW, "postgres://air/flights"], metadata={"rows": 3}, task_run=str(task), by="dbt"
    )
    journal.send(begun, made)

    assert shown(world, CLEAN)["upstream"] == sorted([RAW, "postgres://air/flights"])
    assert shown(world, RAW)["downstream"] == [CLEAN]
    [told] = makings(world, CLEAN)
    assert (told["id"], told["succeeded"], told["metadata"], told["by"]) == (str(made.id), True, {"rows": 3}, "dbt")
    assert (told["flow_run"], told["task_run"]) == (str(journal.root), str(task))
    assert told["upstream"] == [RAW, "postgres://air/flights"]
    assert makings(world, RAW) == []


def test_new_words_replace_old_ones_and_no_words_leave_them(world: World, journal: Journal) -> None:
    journal.send(journal.begin(), materialized(journal, RAW, labels={"name": "Raw"}, description="one", owners=["ada"]))
    journal.send(materialized(journal, RAW, description="two"), materialized(journal, CLEAN, [RAW]))
    told = shown(world, RAW)
    assert (told["name"], told["description"], told["owners"]) == ("Raw", "two", ["ada"])


def test_a_failure_is_kept(world: World, journal: Journal) -> None:
    """1.21: an attempt that failed is no materialization that succeeded."""
    journal.send(journal.begin(), materialized(journal, RAW, event="asset.failed"))
    assert [each["succeeded"] for each in makings(world, RAW)] == [False]


def test_they_are_listed_by_key(world: World, journal: Journal) -> None:
    keys = [f"s3://lake/{number:02}" for number in range(7)]
    journal.send(journal.begin(), *(materialized(journal, key) for key in reversed(keys)))
    assert [each["key"] for each in pages(world, "/assets", limit=3)] == keys
    assert [each["key"] for each in world.api.get("/assets", key="LAKE/03").json()["items"]] == ["s3://lake/03"]


def test_materializations_are_paged(world: World, journal: Journal) -> None:
    journal.send(journal.begin())
    for _ in range(5):
        journal.send(materialized(journal, RAW))
        world.pass_time(0.01)
    listed = pages(world, f"/assets/{asset_of(world.api, RAW)}/materializations", limit=2)
    assert len({each["id"] for each in listed}) == 5
    assert [each["at"] for each in listed] == sorted((each["at"] for each in listed), reverse=True)


def test_one_batch_may_tell_much(world: World, journal: Journal) -> None:
    begun = journal.begin()
    made = [materialized(journal, f"s3://lake/{number % 10}", [f"s3://lake/{number % 10 + 1}"]) for number in range(60)]
    assert journal.send(begun, *made)["rejected"] == []
    assert len(makings(world, "s3://lake/3", limit=100)) == 6
    assert shown(world, "s3://lake/3")["upstream"] == ["s3://lake/4"]


@pytest.mark.parametrize(
    "told", [{"metadata": [1]}, {"owners": "ada"}, {"task_run": "x"}, {"url": 5}, {"description": None}]
)
def test_what_makes_no_sense_is_left_out(world: World, journal: Journal, told: dict[str, Any]) -> None:
    assert journal.send(journal.begin(), materialized(journal, RAW, **told))["rejected"] == []
    assert makings(world, RAW)[0]["metadata"] == {}


def test_a_key_that_is_too_long_is_no_asset(world: World, journal: Journal) -> None:
    journal.send(journal.begin(), materialized(journal, "s3://" + "x" * 600))
    assert world.api.get("/assets").json()["items"] == []


@pytest.mark.parametrize("rest", ["", "/materializations"])
def test_an_unknown_one(world: World, rest: str) -> None:
    assert world.api.get(f"/assets/{uuid7()}{rest}").status_code == 404
    assert world.as_role("agent").get(f"/assets/{uuid7()}{rest}").status_code == 403
