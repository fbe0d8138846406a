"""2.7: Job variables of one run, over those of its deployment, on both servers."""

from __future__ import annotations

from typing import Any

import pytest

from tests.contract.journals import Journal
from tests.contract.test_retries import claimed, fail, retried
from tests.contract.test_triggers import error
from tests.contract.worlds import World

OWN = {"env": {"LEVEL": "info", "REGION": "eu"}, "memory_mib": 512}
OVER = {"env": {"LEVEL": "debug", "REGION": None}, "memory_mib": None}
DEBUG = {"env": {"LEVEL": "debug"}}


def asked(world: World, variables: Any, **more: Any) -> Any:
    return world.api.post("/flow-runs", {"deployment": "etl/nightly", "job_variables": variables, **more})


def test_2_7_a_run_changes_what_its_deployment_sets_name_by_name(world: World) -> None:
    deployment = world.deploy(job_variables=OWN)
    changed, plain = world.trigger(job_variables=OVER), world.trigger()
    told = {claim["run"]: claim["job_variables"] for claim in world.agent().claim()}
    assert told == {changed: {"env": {"LEVEL": "debug"}}, plain: OWN}
    assert (world.run(changed)["job_variables"], world.run(plain)["job_variables"]) == (OVER, {})
    assert world.api.get(f"/deployments/{deployment['id']}").json()["job_variables"] == OWN


def test_2_7_what_a_run_does_not_change_is_as_deployed_when_it_starts(world: World) -> None:
    world.deploy(job_variables=OWN)
    world.trigger(job_variables=DEBUG)
    world.deploy(job_variables={"memory_mib": 64})
    (claim,) = world.agent().claim()
    assert claim["job_variables"] == {"env": {"LEVEL": "debug"}, "memory_mib": 64}


def test_2_7_a_retry_keeps_them_whoever_asks(world: World) -> None:
    world.deploy()
    world.trigger(job_variables=DEBUG)
    (claim,) = world.agent().claim()
    journal = Journal.of_claim(world, claim)
    journal.send(journal.state("RUNNING", run_count=1))
    fail(journal)
    by = world.as_role("runner").post(f"/flow-runs/{journal.root}/retry", {})
    assert (by.status_code, by.json()["job_variables"]) == (201, DEBUG)
    assert claimed(world, by.json()["id"])["job_variables"] == DEBUG
    assert retried(world, journal.root, from_failure=False)["job_variables"] == DEBUG


def test_2_7_who_may_not_edit_the_deployment_gives_none(world: World) -> None:
    """Variables of the environment can decide which code runs; a run's own token is refused as well."""
    world.deploy()
    world.trigger()
    (claim,) = world.agent().claim()
    for api in (world.as_role("runner"), world.with_key(claim["token"])):
        body = {"deployment": "etl/nightly", "job_variables": DEBUG}
        told = error(api.post("/flow-runs", body), 403)
        assert (told["code"], "(deployments.edit)" in told["message"]) == ("forbidden", True)
        assert api.post("/flow-runs", {**body, "job_variables": {}}).status_code == 201
    id = world.api.get("/deployments/by-name/etl/nightly").json()["id"]
    check = {"job_variables": DEBUG}
    assert world.as_role("runner").post(f"/deployments/{id}/estimate", check).status_code == 403
    assert world.api.post(f"/deployments/{id}/estimate", check).status_code == 200
    assert all(run["job_variables"] == {} for run in world.api.get("/flow-runs").json()["items"])


@pytest.mark.parametrize(
    ("variables", "field"),
    [
        ({"env": {"A": 1}}, "job_variables.env"),
        ({"env": {"A=B": "x"}}, "job_variables.env"),
        ({"env": {"": None}}, "job_variables.env"),
        ({"env": "LEVEL=debug"}, "job_variables.env"),
        ({"memory_mib": 1}, "job_variables.memory_mib"),
        ({"memory_mib": True}, "job_variables.memory_mib"),
        ({"note": "x" * 70_000}, "job_variables"),
    ],
)
def test_2_7_variables_that_can_not_be_taken(world: World, variables: dict[str, Any], field: str) -> None:
    world.deploy()
    assert list(error(asked(world, variables), 400)["fields"]) == [field]
    assert world.api.get("/flow-runs").json()["items"] == []


def test_2_7_variables_are_nested_so_deep_and_no_deeper(world: World) -> None:
    anything = {"variables": {"properties": {"a": {}}}, "job_configuration": {}}
    world.api.patch("/work-pools/default", {"base_job_template": anything})
    world.deploy()
    nested: dict[str, Any] = {}
    for _ in range(19):
        nested = {"a": nested}
    assert asked(world, nested).status_code == 201
    assert error(asked(world, {"a": {"a": nested}}), 400)["fields"] == {
        "job_variables": "Nested 20 levels deep at most."
    }


def test_2_7_the_same_key_answers_the_first_ones_and_the_last_of_a_window_wins(world: World) -> None:
    world.deploy()
    first = asked(world, DEBUG, idempotency_key="k").json()
    again = asked(world, {"memory_mib": 64}, idempotency_key="k").json()
    assert (again["id"], again["job_variables"], again["created"]) == (first["id"], DEBUG, False)
    asked(world, DEBUG, debounce=60)
    assert asked(world, {"memory_mib": 64}, debounce=60).json()["job_variables"] == {"memory_mib": 64}
    assert asked(world, {}, debounce=60).json()["job_variables"] == {}
