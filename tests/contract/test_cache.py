"""1.13: the index of the cache, as journals tell of it and as the API shows it."""

from __future__ import annotations

from typing import Any

import pytest

from orchestrator.ids import uuid7
from orchestrator.wire import ResultRef, TaskState
from tests.contract.journals import Journal, now
from tests.contract.test_lists import pages
from tests.contract.worlds import World


def cached(journal: Journal, key: str, name: str | None = None, **more: Any) -> TaskState:
    """A task run that has put its value into the cache; with the name `Cached` one that took it from there."""
    told = {"serializer": "pickle", "size": 120, "expires": more.pop("expires", None)}
    ref = ResultRef(url=f"s3://lake/cache/acme/main/{key}", key=f"cache/acme/main/{key}", **told)
    return journal.task(name=name, result=ref, id=uuid7(), **more)


def used(journal: Journal, key: str, **more: Any) -> TaskState:
    return cached(journal, key, "Cached", **more)


def entry_of(api: Any, key: str) -> dict[str, Any]:
    told = api.get(f"/cache-entries/by-key/{key}")
    assert told.status_code == 200, told.content
    return told.json()


def keys(world: World, **query: Any) -> list[str]:
    return sorted(each["key"] for each in world.api.get("/cache-entries", **query).json()["items"])


def invalidate(world: World, **which: Any) -> int:
    told = world.api.post("/cache-entries/invalidate", which)
    assert told.status_code == 200, told.content
    return told.json()["invalidated"]


def test_a_value_is_listed_with_who_made_it(world: World, journal: Journal) -> None:
    """1.13: list and inspect entries."""
    begun, made = journal.begin(), cached(journal, "flights")
    journal.send(begun, made)
    told = entry_of(world.api, "flights")
    assert (told["task"], told["size"], told["serializer"]) == ("flows.extract", 120, "pickle")
    assert (told["flow_run"], told["task_run"]) == (str(journal.root), str(made.id))
    assert (told["state"], told["hits"], told["url"]) == ("live", 0, "s3://lake/cache/acme/main/flights")
    assert world.api.get("/cache-entries").json()["items"] == [told]
    assert world.api.get(f"/cache-entries/{told['id']}").json() == {**told, "used_by": []}


def test_uses_are_counted_and_the_newest_are_named(world: World, journal: Journal) -> None:
    """1.13: hits, and who used a value."""
    journal.send(journal.begin(), cached(journal, "flights"))
    other = Journal(world.api)
    other.send(other.begin(), *(used(other, "flights") for _ in range(24)))
    world.pass_time(1)
    last = used(other, "flights")
    other.send(last)
    told = world.api.get(f"/cache-entries/{entry_of(world.api, 'flights')['id']}").json()
    assert told["hits"] == 25
    assert len(told["used_by"]) == 20
    newest = told["used_by"][0]
    assert (newest["flow_run"], newest["task_run"], newest["at"]) == (str(other.root), str(last.id), told["used_at"])
    assert told["flow_run"] == str(journal.root)


def test_a_newer_value_begins_without_hits(world: World, journal: Journal) -> None:
    journal.send(journal.begin(), cached(journal, "flights"), used(journal, "flights"))
    assert entry_of(world.api, "flights")["hits"] == 1
    world.pass_time(1)
    journal.send(cached(journal, "flights", ended=now() + 1_000_000))
    assert entry_of(world.api, "flights")["hits"] == 0


def test_an_older_value_that_is_told_late_changes_nothing(world: World, journal: Journal) -> None:
    begun, newer = journal.begin(), cached(journal, "flights")
    journal.send(begun, newer)
    journal.send(cached(journal, "flights", ended=now() - 60_000_000))
    assert entry_of(world.api, "flights")["task_run"] == str(newer.id)


def test_a_use_may_be_told_before_the_making(world: World, journal: Journal) -> None:
    other = Journal(world.api)
    other.send(other.begin(), used(other, "flights"))
    told = entry_of(world.api, "flights")
    assert (told["flow_run"], told["hits"], told["state"]) == (None, 1, "live")
    begun, made = journal.begin(), cached(journal, "flights", ended=now() - 5_000_000)
    journal.send(begun, made)
    told = entry_of(world.api, "flights")
    assert (told["task_run"], told["flow_run"], told["hits"]) == (str(made.id), str(journal.root), 1)


def test_a_task_that_was_undone_says_so_after_its_end(world: World, journal: Journal) -> None:
    """1.15: RolledBack, told after the last state; and that the transaction which kept its value has committed."""
    begun = journal.begin()
    done = [journal.task(id=uuid7()), journal.task(id=uuid7())]
    journal.send(begun, *done)
    ref = ResultRef(url="s3://lake/cache/acme/main/late", key="cache/acme/main/late")
    journal.send(journal.task(id=done[0].id, name="RolledBack"), journal.task(id=done[1].id, result=ref))
    told = {each["id"]: each for each in world.tasks(journal.root)}
    assert told[str(done[0].id)]["state"]["name"] == "RolledBack"
    kept = told[str(done[1].id)]
    assert (kept["state"]["name"], kept["result"]["url"]) == ("Completed", ref.url)
    assert keys(world) == ["late"]


@pytest.mark.parametrize("told", [{"name": "Replayed"}, {"name": "RolledBack"}, {"state": "FAILED"}])
def test_only_new_values_and_their_uses_count(world: World, journal: Journal, told: dict[str, Any]) -> None:
    journal.send(journal.begin(), cached(journal, "flights", **told))
    assert keys(world) == []


def test_what_was_stored_elsewhere_is_no_entry(world: World, journal: Journal) -> None:
    ref = ResultRef(url="s3://lake/runs/1/2", key="runs/1/2")
    journal.send(journal.begin(), journal.task(result=ref), journal.task(result=ResultRef(url="x", key="cache/")))
    assert keys(world) == []


def test_entries_expire(world: World, journal: Journal) -> None:
    """1.13: cache_expiration."""
    journal.send(journal.begin(), cached(journal, "old", expires=now() - 1), cached(journal, "new", expires=now() * 2))
    assert entry_of(world.api, "old")["state"] == "expired"
    assert (keys(world, state="expired"), keys(world, state="live")) == (["old"], ["new"])


def test_lists_are_narrowed(world: World, journal: Journal) -> None:
    journal.send(
        journal.begin(),
        cached(journal, "day-1"),
        cached(journal, "day-2", task="flows.load"),
        cached(journal, "week-1"),
    )
    assert keys(world, prefix="day-") == ["day-1", "day-2"]
    assert keys(world, task="flows.load") == ["day-2"]
    assert keys(world, task="flows") == []
    assert world.api.get("/cache-entries", state="lost").status_code == 400


def test_lists_are_paged(world: World, journal: Journal) -> None:
    journal.send(journal.begin(), *(cached(journal, f"day-{n}", ended=now() + n * 1_000) for n in range(7)))
    listed = pages(world, "/cache-entries", limit=3)
    assert [each["key"] for each in listed] == [f"day-{n}" for n in reversed(range(7))]


@pytest.mark.parametrize(
    ("which", "left"),
    [
        ({"key": "day-1"}, ["day-2", "week-1"]),
        ({"prefix": "day-"}, ["week-1"]),
        ({"task": "flows.load"}, ["day-1", "week-1"]),
        ({"all": True}, []),
        ({"key": "none"}, ["day-1", "day-2", "week-1"]),
    ],
)
def test_values_are_invalidated(world: World, journal: Journal, which: dict[str, Any], left: list[str]) -> None:
    """1.13: by key, by how keys begin, by task, all."""
    journal.send(
        journal.begin(),
        cached(journal, "day-1"),
        cached(journal, "day-2", task="flows.load"),
        cached(journal, "week-1"),
    )
    assert invalidate(world, **which) == 3 - len(left)
    assert keys(world, state="live") == left
    assert invalidate(world, **which) == 0


def test_what_was_invalidated_lives_again_when_it_was_made_anew(world: World, journal: Journal) -> None:
    journal.send(journal.begin(), cached(journal, "flights"))
    invalidate(world, key="flights")
    journal.send(used(journal, "flights"))
    assert entry_of(world.api, "flights")["state"] == "invalidated"
    journal.send(cached(journal, "flights", ended=now() + 1_000_000))
    assert entry_of(world.api, "flights")["state"] == "live"


def test_it_is_said_when_anything_was_invalidated_last(world: World, journal: Journal) -> None:
    journal.send(journal.begin(), cached(journal, "flights"))
    assert world.api.get("/cache-entries/invalidate").json() == {"last": None}
    invalidate(world, all=True)
    told = entry_of(world.api, "flights")["invalidated_at"]
    assert world.api.get("/cache-entries/invalidate").json() == {"last": told}


@pytest.mark.parametrize("which", [{}, {"key": "a", "all": True}, {"key": 5}, {"run": "x"}])
def test_what_is_to_be_invalidated_is_named_once(world: World, which: dict[str, Any]) -> None:
    assert world.api.post("/cache-entries/invalidate", which).status_code == 400


def test_who_may(world: World, journal: Journal) -> None:
    journal.send(journal.begin(), cached(journal, "flights"))
    assert world.as_role("viewer").get("/cache-entries").status_code == 200
    assert world.as_role("agent").get("/cache-entries").status_code == 403
    assert world.as_role("runner").post("/cache-entries/invalidate", {"all": True}).status_code == 403


def test_an_unknown_one(world: World) -> None:
    assert world.api.get(f"/cache-entries/{uuid7()}").status_code == 404
    assert world.api.get("/cache-entries/by-key/none").status_code == 404


def test_one_batch_may_tell_much(world: World, journal: Journal) -> None:
    begun = journal.begin()
    told = [cached(journal, f"k{n % 40:02}", "Cached" if n >= 40 else None, ended=now()) for n in range(120)]
    assert journal.send(begun, *told)["rejected"] == []
    assert len(keys(world, limit=200)) == 40
    assert entry_of(world.api, "k07")["hits"] == 2


def test_figures_that_make_no_sense_are_left_out(world: World, journal: Journal) -> None:
    ref = ResultRef(url="x" * 5_000, key="cache/odd", size=-5, expires=2**62)
    assert journal.send(journal.begin(), journal.task(result=ref))["rejected"] == []
    told = entry_of(world.api, "odd")
    assert (told["size"], told["expires_at"], len(told["url"])) == (0, None, 2_000)
