"""2.4: Work queues and pools are made, changed, paused and deleted; claims obey priority, limit and pause at once."""

from __future__ import annotations

from typing import Any

import pytest

from tests.contract.worlds import World

QUEUES = "/work-pools/default/queues"


def made(world: World, name: str = "gpu", **more: Any) -> dict[str, Any]:
    answer = world.api.post(QUEUES, {"name": name, **more})
    assert answer.status_code == 201, answer.content
    return answer.json()


def error(answer: Any, status: int) -> dict[str, Any]:
    assert answer.status_code == status, answer.content
    return answer.json()["error"]


def test_a_queue_is_made_listed_and_shown(world: World) -> None:
    """2.4: queues are listed in the order in which they are served."""
    told = made(world, "gpu", priority=5, concurrency_limit=2, description="Cards")
    assert {name: told[name] for name in told if name != "id"} == {
        "name": "gpu", "pool": "default", "description": "Cards", "priority": 5, "paused": False,
        "concurrency_limit": 2, "waiting": 0, "running": 0, "deployments": 0,
    }  # fmt: skip
    listed = world.api.get(QUEUES).json()
    assert [each["name"] for each in listed["items"]] == ["gpu", "default"]
    assert listed["next"] is None
    assert world.api.get(f"{QUEUES}/gpu").json() == told


@pytest.mark.parametrize(
    ("more", "field"),
    [
        ({"name": " "}, "name"),
        ({"name": "a/b"}, "name"),
        ({"name": "x" * 201}, "name"),
        ({"name": "default"}, "name"),
        ({"priority": -1}, "priority"),
        ({"priority": 40_000}, "priority"),
        ({"concurrency_limit": 0}, "concurrency_limit"),
        ({"concurrency_limit": 2**40}, "concurrency_limit"),
        ({"description": "x" * 10_001}, "description"),
        ({"priority": "high"}, "priority"),
    ],
)
def test_what_a_queue_can_not_be_told(world: World, more: dict[str, Any], field: str) -> None:
    told = error(world.api.post(QUEUES, {"name": "gpu", **more}), 400)
    assert list(told["fields"]) == [field]
    assert len(world.api.get(QUEUES).json()["items"]) == 1


def test_unknown_fields_are_refused(world: World) -> None:
    made(world)
    assert world.api.patch(f"{QUEUES}/gpu", {"prioritaet": 3}).status_code == 400
    assert world.api.patch("/work-pools/default", {"name": "other"}).status_code == 400


def test_what_is_not_told_stays(world: World) -> None:
    made(world, priority=5, concurrency_limit=2, description="Cards")
    told = world.api.patch(f"{QUEUES}/gpu", {"priority": 7}).json()
    assert (told["priority"], told["concurrency_limit"], told["description"]) == (7, 2, "Cards")
    told = world.api.patch(f"{QUEUES}/gpu", {"concurrency_limit": None}).json()
    assert (told["priority"], told["concurrency_limit"], told["description"]) == (7, None, "Cards")
    assert error(world.api.patch(f"{QUEUES}/gpu", {"priority": -1}), 400)["fields"].keys() == {"priority"}


@pytest.mark.parametrize("path", ["/work-pools/none/queues", "/work-pools/none", f"{QUEUES}/none"])
def test_unknown_ones(world: World, path: str) -> None:
    assert error(world.api.get(path), 404)["code"] == "not_found"


def test_who_may_change_queues(world: World) -> None:
    for role in ("viewer", "runner", "agent"):
        api = world.as_role(role)
        assert api.get(QUEUES).status_code == 200
        assert api.post(QUEUES, {"name": "mine"}).status_code == 403
        assert api.patch(f"{QUEUES}/default", {"paused": True}).status_code == 403
        assert api.patch("/work-pools/default", {"paused": True}).status_code == 403
        assert api.delete(f"{QUEUES}/default").status_code == 403


# ── claims ───────────────────────────────────────────────────────────────────────────────────────


def test_a_lower_number_goes_first_at_once(world: World) -> None:
    made(world, "first", priority=1)
    made(world, "last", priority=500)
    world.deploy()
    runs = {name: world.trigger(work_queue=name) for name in ("last", "default", "first")}
    agent = world.agent()
    assert [each["run"] for each in agent.claim(1)] == [runs["first"]]
    world.api.patch(f"{QUEUES}/last", {"priority": 0})
    assert [each["run"] for each in agent.claim(1)] == [runs["last"]]
    assert [each["run"] for each in agent.claim(1)] == [runs["default"]]


def test_a_queues_own_limit(world: World) -> None:
    made(world, concurrency_limit=1)
    world.deploy(work_queue="gpu")
    for _ in range(3):
        world.trigger()
    agent = world.agent()
    assert (len(agent.claim()), len(agent.claim())) == (1, 0)
    told = world.api.get(f"{QUEUES}/gpu").json()
    assert (told["running"], told["waiting"], told["deployments"]) == (1, 2, 1)
    world.api.patch(f"{QUEUES}/gpu", {"concurrency_limit": 2})
    assert (len(agent.claim()), len(agent.claim())) == (1, 0)
    world.api.patch(f"{QUEUES}/gpu", {"concurrency_limit": None})
    assert len(agent.claim()) == 1


def test_a_pools_limit(world: World) -> None:
    world.deploy()
    for _ in range(3):
        world.trigger()
    told = world.api.patch("/work-pools/default", {"concurrency_limit": 2, "description": "Ours"}).json()
    assert (told["concurrency_limit"], told["description"]) == (2, "Ours")
    assert len(world.agent().claim()) == 2


@pytest.mark.parametrize("path", ["/work-pools/default", f"{QUEUES}/default"], ids=["pool", "queue"])
def test_what_is_paused_hands_out_nothing_and_wakes_who_waits_when_it_goes_on(world: World, path: str) -> None:
    agent = world.agent()
    world.deploy()
    assert world.api.patch(path, {"paused": True}).json()["paused"]
    run = world.trigger()
    assert agent.claim() == []
    since = world.wait(agent.id)[1]["since"]
    assert world.wait(agent.id, since)[1]["due"] is False
    assert not world.api.patch(path, {"paused": False}).json()["paused"]
    assert world.wait(agent.id, since)[1]["due"]
    assert [each["run"] for each in agent.claim()] == [run]


@pytest.mark.parametrize(("change", "wakes"), [({"concurrency_limit": 2}, True), ({"priority": 3}, False)])
def test_a_higher_limit_wakes_who_waits(world: World, change: dict[str, Any], wakes: bool) -> None:
    agent = world.agent()
    world.api.patch(f"{QUEUES}/default", {"concurrency_limit": 1})
    world.deploy()
    for _ in range(2):
        world.trigger()
    assert len(agent.claim()) == 1
    since = world.wait(agent.id)[1]["since"]
    world.api.patch(f"{QUEUES}/default", change)
    assert world.wait(agent.id, since)[1]["due"] is wakes


# ── delete ───────────────────────────────────────────────────────────────────────────────────────


def test_a_queue_that_nothing_names_is_deleted(world: World) -> None:
    made(world, concurrency_limit=1)
    world.deploy()
    run = world.trigger(work_queue="gpu")
    world.api.post(f"/flow-runs/{run}/cancel")
    assert world.api.delete(f"{QUEUES}/gpu").status_code == 204
    assert world.api.get(f"{QUEUES}/gpu").status_code == 404
    assert world.state(run) == ("CANCELLED", "Cancelled")
    assert made(world)["concurrency_limit"] is None


def test_a_queue_that_is_used_says_by_what(world: World) -> None:
    made(world)
    world.deploy(work_queue="gpu")
    world.trigger(name="mine")
    told = error(world.api.delete(f"{QUEUES}/gpu"), 409)
    assert told["fields"] == {"used_by": "deployment etl/nightly, run mine"}
    assert told["message"].startswith("The queue gpu is used by deployment etl/nightly, run mine.")
    world.deploy()
    assert error(world.api.delete(f"{QUEUES}/gpu"), 409)["fields"] == {"used_by": "run mine"}


def test_the_default_queue_stays(world: World) -> None:
    assert "Pause it instead" in error(world.api.delete(f"{QUEUES}/default"), 409)["message"]


# ── pools ────────────────────────────────────────────────────────────────────────────────────────


def test_a_pool_is_made_with_its_settings(world: World) -> None:
    answer = world.api.post("/work-pools", {"name": "gpu", "description": "Cards", "concurrency_limit": 4})
    assert answer.status_code == 201
    told = world.api.get("/work-pools/gpu").json()
    assert told == answer.json()
    assert (told["type"], told["description"], told["concurrency_limit"]) == ("process", "Cards", 4)
    assert [each["name"] for each in world.api.get("/work-pools/gpu/queues").json()["items"]] == ["default"]
    assert [each["name"] for each in world.api.get("/work-pools").json()["items"]] == ["default", "gpu"]


@pytest.mark.parametrize("name", ["", "default", "a/b", "x" * 201])
def test_names_that_no_pool_can_have(world: World, name: str) -> None:
    assert error(world.api.post("/work-pools", {"name": name}), 400)["fields"].keys() == {"name"}
