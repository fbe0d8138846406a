"""2.7: Triggers that follow each other closely become one run, by the API, on both servers."""

from __future__ import annotations

from datetime import datetime
from typing import Any

import pytest

from tests.contract.test_explain import explained
from tests.contract.worlds import SOURCE, World


def push(world: World, **more: Any) -> dict[str, Any]:
    made = world.api.post("/flow-runs", {"deployment": "etl/nightly", "debounce": 60, **more})
    assert made.status_code == (201 if made.json()["created"] else 200), made.content
    return made.json()


def seconds_between(earlier: str, later: str) -> float:
    return (datetime.fromisoformat(later) - datetime.fromisoformat(earlier)).total_seconds()


def test_2_7_triggers_within_the_window_become_one_run_with_the_last_parameters(world: World) -> None:
    world.deploy(tags=["nightly"])
    first = push(world, parameters={"n": 1}, tags=["a"], priority=3, name="mine")
    world.pass_time(30)
    second = push(world, parameters={"m": 2})

    assert (first["created"], second["created"], second["id"]) == (True, False, first["id"])
    assert (second["parameters"], second["tags"], second["priority"]) == ({"m": 2}, ["nightly"], 0)
    assert second["name"] == "mine"
    assert (second["debounce"]["key"], second["debounce"]["triggers"]) == ("", 2)
    assert seconds_between(first["due_at"], first["debounce"]["until"]) == pytest.approx(540, abs=1)


def test_2_7_it_starts_when_its_window_has_been_quiet(world: World) -> None:
    world.deploy()
    agent = world.agent()
    first = push(world)
    world.pass_time(50)
    push(world)
    world.pass_time(50)
    assert agent.claim() == []
    world.pass_time(11)
    assert [each["run"] for each in agent.claim()] == [first["id"]]
    assert push(world)["created"]


def test_2_7_endless_triggers_postpone_it_so_long_and_no_longer(world: World) -> None:
    world.deploy()
    agent = world.agent()
    first = push(world, debounce_max=100)
    world.pass_time(50)
    push(world)
    world.pass_time(49)
    assert agent.claim() == []
    last = push(world)
    assert last["due_at"] == last["debounce"]["until"]
    world.pass_time(2)
    assert [each["run"] for each in agent.claim()] == [first["id"]]


def test_2_7_keys_and_deployments_are_gathered_apart(world: World) -> None:
    world.deploy()
    world.deploy("other")
    ids = [push(world, **more)["id"] for more in ({}, {"debounce_key": "a"}, {"deployment": "etl/other"})]
    assert len({*ids, world.trigger()}) == 4
    assert push(world, debounce_key="a")["id"] == ids[1]


def test_2_7_a_trigger_that_is_sent_again_postpones_nothing(world: World) -> None:
    world.deploy()
    push(world, idempotency_key="one")
    second = push(world, idempotency_key="two", parameters={"n": 2})
    push(world, idempotency_key="three", parameters={"n": 3})
    for key in ("one", "two"):
        again = push(world, idempotency_key=key, parameters={"n": 9})
        assert (again["id"], again["created"]) == (second["id"], False)
        assert (again["parameters"], again["debounce"]["triggers"]) == ({"n": 3}, 3)


def test_2_7_a_cancelled_run_gathers_nothing(world: World) -> None:
    world.deploy()
    first = push(world)
    world.api.post(f"/flow-runs/{first['id']}/cancel")
    assert push(world)["created"]


def test_2_7_explain_says_until_when_it_is_debounced(world: World) -> None:
    world.deploy()
    world.agent()
    push(world)
    run = push(world)
    (cause,) = explained(world, run["id"])["causes"]
    due, latest = (datetime.fromisoformat(at) for at in (run["due_at"], run["debounce"]["until"]))
    day = "" if due.date() == latest.date() else f"{latest:%Y-%m-%d} "
    assert (cause["code"], cause["until"]) == ("debounced", run["due_at"])
    until = f"{due:%H:%M:%S} UTC, and {day}{latest:%H:%M:%S} at the latest"
    assert cause["text"] == f"Debounced until {until}: so far 2 triggers became this run."


@pytest.mark.parametrize(
    ("more", "field"),
    [
        ({"debounce": 0.05}, "debounce"),
        ({"debounce": 0, "debounce_key": "a"}, "debounce"),
        ({"debounce": 86_401}, "debounce"),
        ({"debounce_max": 59}, "debounce_max"),
        ({"debounce_key": "k" * 201}, "debounce_key"),
        ({"debounce": None, "debounce_key": "a"}, "debounce"),
        ({"scheduled_at": "2030-01-01T00:00:00Z"}, "scheduled_at"),
    ],
)
def test_2_7_windows_that_can_not_be(world: World, more: dict[str, Any], field: str) -> None:
    world.deploy()
    told = world.api.post("/flow-runs", {"deployment": "etl/nightly", "debounce": 60, **more})
    assert (told.status_code, list(told.json()["error"]["fields"])) == (400, [field])


def test_2_7_what_is_refused_moves_nothing(world: World) -> None:
    world.deploy(parameter_schema={"type": "object", "properties": {"n": {"type": "integer"}}})
    first = push(world, parameters={"n": 1})
    told = world.api.post("/flow-runs", {"deployment": "etl/nightly", "debounce": 60, "parameters": {"n": "x"}})
    assert told.status_code == 400
    assert world.run(first["id"])["debounce"]["triggers"] == 1


def test_2_7_a_deployment_has_a_window_for_triggers_that_name_none(world: World) -> None:
    deployment = world.deploy(debounce=60)
    agent = world.agent()
    first, second = push(world, debounce=None), push(world, debounce=None, parameters={"n": 2})
    assert (deployment["debounce"], second["id"], second["created"]) == (60, first["id"], False)
    assert seconds_between(second["created_at"], second["due_at"]) == pytest.approx(60, abs=2)
    apart = push(world, debounce=None, debounce_key="a")
    assert (apart["created"], apart["debounce"]["key"]) == (True, "a")
    assert agent.claim() == []
    world.pass_time(61)
    assert {each["run"] for each in agent.claim()} == {first["id"], apart["id"]}


def test_2_7_what_a_trigger_says_goes_before_the_deployments_window(world: World) -> None:
    world.deploy(debounce=60)
    at_once, later = push(world, debounce=0), push(world, debounce=None, scheduled_at="2030-01-01T00:00:00Z")
    assert (at_once["debounce"], later["debounce"], later["scheduled_at"][:10]) == (None, None, "2030-01-01")
    assert [each["run"] for each in world.agent().claim()] == [at_once["id"]]
    longer = push(world, debounce=600)
    assert seconds_between(longer["created_at"], longer["due_at"]) == pytest.approx(600, abs=2)


def test_2_7_schedules_make_each_run_of_a_deployment_with_a_window(world: World) -> None:
    world.deploy(debounce=600, schedule={"interval": 60})
    for _ in range(3):
        world.pass_time(61)
    runs = world.api.get("/flow-runs").json()["items"]
    assert len(runs) >= 2
    assert all(run["debounce"] is None for run in runs)


def test_2_7_a_deployments_window_is_part_of_its_versions(world: World) -> None:
    deployment = world.deploy()
    world.deploy(debounce=30)
    told = world.api.get(f"/deployments/{deployment['id']}/versions/2/diff").json()
    assert told["settings"] == [{"name": "debounce", "before": None, "after": "30.0"}]
    back = world.api.post(f"/deployments/{deployment['id']}/rollback", {"version": 1}).json()
    assert back["debounce"] is None
    wrong = {"flow": "etl", "name": "nightly", "entrypoint": "flows.py:etl", "source": SOURCE, "debounce": 0}
    assert list(world.api.post("/deployments", wrong).json()["error"]["fields"]) == ["debounce"]
