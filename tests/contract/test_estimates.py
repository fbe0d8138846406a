"""2.7: What a run would be like, told before it is triggered, on both servers."""

from __future__ import annotations

from typing import Any

import pytest

from tests.contract.journals import Journal, now
from tests.contract.worlds import World

SCHEMA = {"type": "object", "properties": {"n": {"type": "integer"}}, "required": ["n"]}


def estimate(world: World, **query: Any) -> dict[str, Any]:
    id = world.api.get("/deployments/by-name/etl/nightly").json()["id"]
    told = world.api.get(f"/deployments/{id}/estimate", **query)
    assert told.status_code == 200, told.content
    return told.json()


def complete(world: World, agent: Any, seconds: int) -> None:
    """A run of so many seconds."""
    world.trigger()
    (claim,) = agent.claim()
    journal = Journal.of_claim(world, claim)
    began = journal.state("RUNNING", run_count=1, t=now() - seconds * 1_000_000)
    journal.send(began, journal.state("COMPLETED", run_count=1))


def test_2_7_nothing_is_known_of_a_deployment_that_never_ran(world: World) -> None:
    deployment = world.deploy()
    told = estimate(world)
    assert sorted(told) == [
        "before", "causes", "deployment", "estimate", "expected_at", "history", "median", "p95", "runs",
    ]  # fmt: skip
    assert (told["deployment"], told["runs"], told["median"], told["p95"]) == ("etl/nightly", 0, None, None)
    assert told["history"] == "No run has completed yet."
    assert [each["code"] for each in told["causes"]] == ["no_agent"]
    assert world.api.get("/flow-runs").json()["items"] == []
    assert deployment["id"]


def test_2_7_how_long_its_last_runs_took(world: World) -> None:
    world.deploy()
    agent = world.agent()
    for seconds in (10, 42, 20, 30):
        complete(world, agent, seconds)
    world.api.post(f"/flow-runs/{world.trigger()}/cancel")
    told = estimate(world)
    assert (told["runs"], round(told["median"]), round(told["p95"])) == (4, 25, 40)
    assert told["history"] == "The median of the last 4 completed runs is 25 s; 95 of 100 took 40 s or less."


def test_2_7_an_estimate_counts_who_goes_first_and_what_is_full(world: World) -> None:
    world.deploy(concurrency_limit=1)
    agent = world.agent()
    assert (estimate(world)["before"], estimate(world)["estimate"]) == (0, "Any moment now.")
    world.trigger()
    agent.claim()
    world.trigger(priority=5)
    world.trigger()
    assert estimate(world)["before"] == 2
    assert estimate(world, priority=3)["before"] == 1
    assert [each["code"] for each in estimate(world)["causes"]] == ["deployment_limit"]


def test_2_7_a_trigger_is_checked_without_being_made(world: World) -> None:
    id = world.deploy(parameter_schema=SCHEMA)["id"]
    refused = world.api.post(f"/deployments/{id}/estimate", {"parameters": {"n": "x"}})
    taken = world.api.post(f"/deployments/{id}/estimate", {"parameters": {"n": 1}})
    assert (refused.status_code, list(refused.json()["error"]["fields"])) == (400, ["parameters.n"])
    assert (taken.status_code, taken.json()) == (200, estimate(world))
    assert world.api.get("/flow-runs").json()["items"] == []


@pytest.mark.parametrize(("query", "field"), [({"work_queue": "no"}, "work_queue"), ({"priority": 40_000}, "priority")])
def test_2_7_estimates_that_can_not_be(world: World, query: dict[str, Any], field: str) -> None:
    id = world.deploy()["id"]
    told = world.api.get(f"/deployments/{id}/estimate", **query)
    assert (told.status_code, list(told.json()["error"]["fields"])) == (400, [field])
