"""2.4, 2.8: Keys share a deployment's slots fairly, and deployments say what becomes of runs beyond their limit."""

from __future__ import annotations

from typing import Any

import pytest

from tests.contract.worlds import SOURCE, HandAgent, World

SCHEMA = {"type": "object", "properties": {"customer": {"type": "string", "default": "none"}, "day": {}}}
BY_CUSTOMER = {"concurrency_key": "{customer}", "parameter_schema": SCHEMA}


def runs_of(world: World, customer: str, number: int = 1, **more: Any) -> list[str]:
    return [world.trigger(parameters={"customer": customer}, **more) for _ in range(number)]


def refused(world: World, **more: Any) -> Any:
    """What a deployment is answered."""
    body = {"flow": "etl", "name": "nightly", "entrypoint": "flows.py:etl", "source": SOURCE, **more}
    return world.api.post("/deployments", body)


def key_of(world: World, run: str) -> str:
    return world.api.get(f"/flow-runs/{run}").json()["concurrency_key"]


def claimed(agent: HandAgent, slots: int = 1) -> list[str]:
    return [each["run"] for each in agent.claim(slots)]


def is_gone(agent: HandAgent, run: str) -> None:
    """The agent says that the process of a run's first attempt is gone."""
    assert agent.tell_end({"run": run, "attempt": 1}, exit=1, reason="exited").status_code == 200


def limits(world: World, id: str, **change: Any) -> Any:
    return world.api.patch(f"/deployments/{id}", change)


def end(world: World, run: str) -> None:
    assert world.api.post(f"/flow-runs/{run}/cancel").status_code == 200


# ── keys ─────────────────────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize(
    ("asked", "key"),
    [
        ({}, "none"),
        ({"parameters": {"customer": "ada"}}, "ada"),
        ({"parameters": {"customer": "a" * 300}}, None),
        ({"parameters": {"customer": "ada"}, "concurrency_key": "bob"}, "bob"),
        ({"parameters": {"customer": "ada"}, "concurrency_key": ""}, ""),
    ],
)
def test_a_run_has_the_key_of_its_parameters_or_its_own(world: World, asked: dict[str, Any], key: str | None) -> None:
    """2.4: the deployment's template, over parameters and their defaults; whoever triggers may say another one."""
    told = world.deploy(**BY_CUSTOMER)
    assert (told["concurrency_key"], told["key_slots"]) == ("{customer}", None)
    found = key_of(world, world.trigger(**asked))
    assert found == key or (key is None and len(found) < 200 and found.startswith("aaa"))


def test_values_that_are_no_texts_make_keys_too(world: World) -> None:
    world.deploy(concurrency_key="{day}/{customer}", parameter_schema=SCHEMA)
    assert key_of(world, world.trigger(parameters={"day": 7})) == "7/none"
    assert key_of(world, world.trigger(parameters={"day": {"a": [1]}})) == '{"a":[1]}/none'


@pytest.mark.parametrize("template", ["{custmer}", "{customer", "{}", "{customer!r}", "{customer.name}", "x" * 501])
def test_a_template_that_means_nothing(world: World, template: str) -> None:
    answer = refused(world, **{**BY_CUSTOMER, "concurrency_key": template})
    assert answer.status_code == 400
    assert answer.json()["error"]["fields"].keys() == {"concurrency_key"}


def test_a_key_that_is_too_long(world: World) -> None:
    world.deploy()
    answer = world.api.post("/flow-runs", {"deployment": "etl/nightly", "concurrency_key": "x" * 201})
    assert answer.status_code == 400
    assert answer.json()["error"]["fields"].keys() == {"concurrency_key"}


def test_each_key_has_slots_of_its_own(world: World) -> None:
    """2.8: a key that waits hides no other one, and gets its slot back when its run ends."""
    world.deploy(**BY_CUSTOMER, key_slots=1)
    ada, bob = runs_of(world, "ada", 3), runs_of(world, "bob", 2)
    agent = world.agent()
    assert sorted(claimed(agent, 10)) == sorted([ada[0], bob[0]])
    assert claimed(agent, 10) == []
    end(world, ada[0])
    is_gone(agent, ada[0])
    assert claimed(agent, 10) == [ada[1]]


def test_runs_without_a_key_are_under_no_limit_of_keys(world: World) -> None:
    world.deploy(**BY_CUSTOMER, key_slots=1)
    for _ in range(3):
        world.trigger(concurrency_key="")
    assert len(claimed(world.agent(), 10)) == 3


def test_keys_take_turns(world: World) -> None:
    """2.4: who came late with few runs does not wait behind all of another's."""
    world.deploy(**BY_CUSTOMER)
    ada, bob = runs_of(world, "ada", 6), runs_of(world, "bob", 2)
    agent = world.agent()
    assert [claimed(agent) for _ in range(5)] == [[ada[0]], [bob[0]], [ada[1]], [bob[1]], [ada[2]]]


def test_keys_take_turns_within_one_claim(world: World) -> None:
    world.deploy(**BY_CUSTOMER)
    ada, bob, eve = runs_of(world, "ada", 4), runs_of(world, "bob", 2), runs_of(world, "eve", 1)
    assert sorted(claimed(world.agent(), 5)) == sorted([*ada[:2], *bob, *eve])


def test_a_priority_goes_before_turns(world: World) -> None:
    world.deploy(**BY_CUSTOMER)
    runs_of(world, "bob")
    ada = runs_of(world, "ada", 2, priority=5)
    assert claimed(world.agent(), 2) == ada


# ── what becomes of runs beyond the limit ────────────────────────────────────────────────────────


def states(world: World, runs: list[str]) -> list[str]:
    return [world.state(run)[0] for run in runs]


@pytest.mark.parametrize("waits", [True, False], ids=["they wait", "one is under way"])
def test_new_runs_are_cancelled(world: World, waits: bool) -> None:
    """2.8: CANCEL_NEW, whether an agent has come by or not."""
    world.deploy(concurrency_limit=1, on_limit="CANCEL_NEW")
    agent = world.agent()
    first = world.trigger()
    if not waits:
        assert claimed(agent) == [first]
    more = [world.trigger() for _ in range(2)]
    assert states(world, [first, *more]) == ["SCHEDULED" if waits else "PENDING", "CANCELLED", "CANCELLED"]
    message = world.api.get(f"/flow-runs/{more[0]}").json()["state"]["message"]
    assert message == "As many were there before it: the deployment has 1 slot for runs, and says CANCEL_NEW."
    end(world, first)


def test_whoever_triggers_is_told_that_the_run_is_cancelled(world: World) -> None:
    world.deploy(concurrency_limit=1, on_limit="CANCEL_NEW")
    world.trigger()
    answer = world.api.post("/flow-runs", {"deployment": "etl/nightly"})
    assert answer.status_code == 201
    assert answer.json()["state"]["type"] == "CANCELLED"
    assert answer.json()["ended_at"]


def test_the_oldest_runs_are_cancelled(world: World) -> None:
    """2.8: CANCEL_OLD asks the one under way to stop; the newest one has its slot afterwards."""
    world.deploy(concurrency_limit=1, on_limit="CANCEL_OLD")
    agent = world.agent()
    runs = [world.trigger()]
    assert claimed(agent) == runs
    runs += [world.trigger() for _ in range(2)]
    assert states(world, runs) == ["CANCELLING", "CANCELLED", "SCHEDULED"]
    assert claimed(agent) == []
    is_gone(agent, runs[0])
    assert states(world, runs) == ["CANCELLED", "CANCELLED", "SCHEDULED"]
    assert claimed(agent) == [runs[2]]


def test_a_policy_counts_each_key_by_itself(world: World) -> None:
    world.deploy(**BY_CUSTOMER, key_slots=1, on_limit="CANCEL_NEW")
    ada, bob = runs_of(world, "ada", 2), runs_of(world, "bob", 2)
    assert states(world, [*ada, *bob]) == ["SCHEDULED", "CANCELLED"] * 2


def test_what_is_not_due_is_not_judged_before(world: World) -> None:
    world.deploy(concurrency_limit=1, on_limit="CANCEL_NEW")
    later = [world.trigger(scheduled_at="2030-01-01T00:00:00Z") for _ in range(2)]
    now = world.trigger()
    assert states(world, [*later, now]) == ["SCHEDULED"] * 3


# ── changes ──────────────────────────────────────────────────────────────────────────────────────


def test_limits_change_at_once(world: World) -> None:
    """2.8: raising wakes who waits, lowering ends nothing; what is left out stays."""
    told = world.deploy(concurrency_limit=2)
    runs = [world.trigger() for _ in range(4)]
    agent = world.agent()
    assert claimed(agent, 10) == runs[:2]
    changed = limits(world, told["id"], concurrency_limit=1).json()
    assert (changed["concurrency_limit"], changed["key_slots"], changed["on_limit"]) == (1, None, "ENQUEUE")
    assert claimed(agent, 10) == []
    since = world.wait(agent.id)[1]["since"]
    limits(world, told["id"], concurrency_limit=3)
    assert world.wait(agent.id, since)[1]["due"]
    assert claimed(agent, 10) == [runs[2]]
    limits(world, told["id"], concurrency_limit=None)
    assert claimed(agent, 10) == [runs[3]]


def test_a_limit_that_comes_later_counts_what_is_under_way(world: World) -> None:
    told = world.deploy()
    runs = [world.trigger() for _ in range(3)]
    agent = world.agent()
    assert claimed(agent, 2) == runs[:2]
    limits(world, told["id"], concurrency_limit=2)
    assert claimed(agent) == []
    end(world, runs[0])
    is_gone(agent, runs[0])
    assert world.state(runs[0])[0] == "CANCELLED"
    assert claimed(agent) == [runs[2]]


def test_a_policy_that_is_set_later_judges_what_is_there(world: World) -> None:
    told = world.deploy(concurrency_limit=1)
    runs = [world.trigger() for _ in range(3)]
    limits(world, told["id"], on_limit="CANCEL_OLD")
    assert states(world, runs) == ["CANCELLED", "CANCELLED", "SCHEDULED"]


@pytest.mark.parametrize(
    ("change", "field"),
    [
        ({"concurrency_limit": 0}, "concurrency_limit"),
        ({"key_slots": -1}, "key_slots"),
        ({"on_limit": "no"}, "on_limit"),
    ],
)
def test_limits_that_mean_nothing(world: World, change: dict[str, Any], field: str) -> None:
    told = world.deploy()
    answer = limits(world, told["id"], **change)
    assert answer.status_code == 400
    assert answer.json()["error"]["fields"].keys() == {field}
    assert refused(world, **change).status_code == 400


def test_who_may_change_limits(world: World) -> None:
    told = world.deploy()
    for role in ("viewer", "runner", "agent"):
        assert world.as_role(role).patch(f"/deployments/{told['id']}", {"on_limit": "CANCEL_OLD"}).status_code == 403
