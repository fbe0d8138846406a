"""1.18: limits that code names: made, changed, deleted; raised, lowered, taken away; rates. By both servers."""

from __future__ import annotations

from typing import Any

import pytest

from orchestrator.ids import uuid7
from tests.contract.slot_process import Process
from tests.contract.test_queues import error
from tests.contract.worlds import World


def limited(world: World, name: str = "database", **told: Any) -> dict[str, Any]:
    answer = world.api.put(f"/limits/{name}", {"slots": 1, **told})
    assert answer.status_code in (200, 201), answer.content
    return answer.json()


def take(process: Process, *names: str, **more: Any) -> tuple[str, str]:
    return process.take(*(names or ("database",)), kind="limit", **more)


def test_a_limit_is_made_changed_listed_and_deleted(world: World) -> None:
    told = limited(world, slots=3)
    made = {name: told[name] for name in told if name != "created_at"}
    assert made == {
        "name": "database", "slots": 3, "rate": 0.0, "active": True, "held": 0, "waiting": 0, "holders": [],
        "queue": [],
    }  # fmt: skip
    assert world.api.put("/limits/database", {"rate": 2.5}).json()["slots"] == 3
    limited(world, "tag:gpu")
    assert [each["name"] for each in world.api.get("/limits").json()["items"]] == ["database", "tag:gpu"]
    assert [each["name"] for each in world.api.get("/limits", prefix="tag:").json()["items"]] == ["tag:gpu"]
    page = world.api.get("/limits", limit=1).json()
    assert [each["name"] for each in world.api.get("/limits", cursor=page["next"]).json()["items"]] == ["tag:gpu"]
    assert world.api.delete("/limits/database").status_code == 204
    assert error(world.api.get("/limits/database"), 404)["code"] == "not_found"
    assert error(world.api.delete("/limits/database"), 404)["code"] == "not_found"


@pytest.mark.parametrize(
    ("name", "told", "field"),
    [
        ("a", {}, "slots"),
        ("a", {"slots": -1}, "slots"),
        ("a", {"slots": 2**40}, "slots"),
        ("a", {"slots": 1, "rate": -1}, "rate"),
        ("a", {"slots": 1, "rate": 1e9}, "rate"),
        ("x" * 501, {"slots": 1}, "name"),
        ("tag:", {"slots": 1}, "name"),
    ],
)
def test_what_no_limit_is(world: World, name: str, told: dict[str, Any], field: str) -> None:
    assert list(error(world.api.put(f"/limits/{name}", told), 400)["fields"]) == [field]
    assert world.api.get("/limits").json()["items"] == []


def test_who_may_change_limits(world: World) -> None:
    limited(world)
    for role in ("viewer", "runner", "agent"):
        api = world.as_role(role)
        assert api.get("/limits").status_code == 200
        assert api.put("/limits/database", {"slots": 9}).status_code == 403
        assert api.delete("/limits/database").status_code == 403
        assert api.post("/limits/database/reset", {}).status_code == 403


def test_as_many_as_there_are_slots(first: Process, second: Process, world: World) -> None:
    """1.18: `occupy` counts; who wants much is not overtaken."""
    limited(world, slots=3)
    two, state = take(first, occupy=2)
    assert state == "held"
    assert take(first)[1] == "held"
    much, state = take(second, occupy=2)
    assert state == "waiting"
    little, state = take(second)
    assert state == "waiting"
    told = world.api.get("/limits/database").json()
    assert (told["held"], told["waiting"]) == (3, 2)
    assert [row["occupy"] for row in told["holders"]] == [2, 1]
    assert [row["id"] for row in told["queue"]] == [much, little]
    first.give(two)
    assert second.heard() == [much]
    second.give(much)
    assert second.keep(little) == ([little], [])


def test_more_than_there_are_is_never_free(first: Process, world: World) -> None:
    limited(world, slots=2)
    id = str(uuid7())
    told = first.ask(asks=[{"id": id, "names": ["database"], "occupy": 3}])["asks"][id]
    assert (told["state"], told["code"]) == ("refused", "conflict")


def test_a_limit_of_nought_lets_nobody_pass_until_it_is_raised(first: Process, world: World) -> None:
    limited(world, slots=0)
    waiting, state = take(first)
    assert state == "waiting"
    limited(world, slots=1)
    assert first.heard() == [waiting]


@pytest.mark.parametrize("change", [{"slots": 3}, {"active": False}, None], ids=["raised", "inactive", "deleted"])
def test_who_waits_goes_on_when_the_limit_allows_it(world: World, first: Process, change: Any) -> None:
    """2.8: raising takes effect at once."""
    limited(world)
    take(first)
    waiting = [take(first)[0] for _ in range(2)]
    if change is None:
        world.api.delete("/limits/database")
    else:
        limited(world, **change)
    assert first.heard() == waiting


def test_a_lowered_limit_lets_nobody_in_until_enough_came_back(world: World, first: Process) -> None:
    """2.8: lowering takes effect at once; what is held stays held."""
    limited(world, slots=3)
    held = [take(first)[0] for _ in range(3)]
    waiting, _ = take(first)
    limited(world, slots=1)
    assert first.give(*held[:2])["granted"] == []
    assert first.give(held[2])["granted"] == [waiting]


def test_who_waits_for_more_than_there_is_now_stands_aside(world: World, first: Process) -> None:
    limited(world, slots=3)
    limited(world, "other", slots=3)
    held, _ = take(first, "database", "other")
    much, _ = take(first, "database", "other", occupy=3)
    little, _ = take(first, "other")
    limited(world, slots=1)
    assert first.keep(held, much, little) == (sorted([held, little]), [much])
    first.give(held, little)
    limited(world, slots=3)
    assert first.keep(much) == ([much], [])


def test_slots_are_taken_away_by_hand(world: World, first: Process, second: Process) -> None:
    limited(world, slots=2)
    held = [take(first)[0] for _ in range(2)]
    waiting = [take(second)[0] for _ in range(3)]
    assert world.api.post("/limits/database/reset", {"id": held[0]}).json() == {"taken_away": 1}
    assert second.heard() == waiting[:1]
    assert first.keep(*held) == (held[1:], [])
    assert error(world.api.post("/limits/database/reset", {"id": held[0]}), 404)["code"] == "not_found"
    assert error(world.api.post("/limits/database/reset", {"id": waiting[2]}), 404)["code"] == "not_found"
    assert world.api.post("/limits/database/reset", {}).json() == {"taken_away": 2}
    assert second.keep(*waiting[1:]) == (waiting[1:], [])
    assert error(world.api.post("/limits/none/reset", {}), 404)["code"] == "not_found"


def test_a_process_hears_at_once_that_a_slot_was_taken_away(world: World, first: Process) -> None:
    limited(world)
    held, _ = take(first)
    world.api.post("/limits/database/reset", {})
    assert world.wait_for_slots(first.api, first.session, "0-0")["lost"] == [held]


# ── rates ────────────────────────────────────────────────────────────────────────────────────────
# Slow ones: the time that the test itself takes is nothing to them.


def turns(process: Process, *names: str, number: int = 1, **more: Any) -> list[Any]:
    """For how many times ten seconds the turns of some asks are ahead, or what else became of them."""
    asks = [{"id": str(uuid7()), "names": list(names or ["api"]), "kind": "rate", **more} for _ in range(number)]
    answers = process.ask(asks=asks)["asks"]
    told = [answers[ask["id"]] for ask in asks]
    return [round(each["seconds"] / 10) if each["state"] == "held" else each["state"] for each in told]


def test_a_rate_lets_through_what_it_has_and_then_so_many_a_second(world: World, first: Process) -> None:
    """1.18: rate_limit."""
    limited(world, "api", slots=3, rate=0.01)
    assert turns(first, number=6) == [0, 0, 0, 10, 20, 30]
    world.pass_time(1000)
    assert turns(first, number=4) == [0, 0, 0, 10]


def test_turns_count_over_processes_and_by_what_they_occupy(world: World, first: Process, second: Process) -> None:
    limited(world, "api", slots=2, rate=0.01)
    assert turns(first, occupy=2) == [0]
    assert turns(second, occupy=2) == [20]
    assert turns(first) == [30]


def test_a_turn_that_comes_too_late_is_not_taken(world: World, first: Process) -> None:
    limited(world, "api", rate=0.01)
    assert turns(first, number=3, within=150) == [0, 10, "busy"]
    assert turns(first, within=250) == [20]


def test_several_rates_are_waited_for_together(world: World, first: Process) -> None:
    limited(world, "api", rate=0.01)
    limited(world, "other", rate=0.005)
    assert turns(first, "api", "other", number=3) == [0, 20, 40]


def test_rates_that_can_not_be_had(world: World, first: Process) -> None:
    limited(world, "api")
    assert turns(first) == ["refused"]
    assert turns(first, "nothing") == [0]
    assert turns(first, "nothing", strict=True) == ["refused"]
    limited(world, "api", rate=0.01)
    assert turns(first, occupy=2) == ["refused"]
    limited(world, "api", active=False)
    assert turns(first, number=3) == [0, 0, 0]


def test_a_turn_that_would_come_in_years_is_nobodys(world: World, first: Process) -> None:
    """1.18: who waits without a time of its own is told so, and nothing is reserved."""
    limited(world, "api", slots=1_000_000, rate=1e-6)
    assert turns(first, number=3, occupy=1_000_000) == [0, "refused", "refused"]
