"""2.7: Secrets that parameters name by a block, on both servers."""

from __future__ import annotations

from typing import Any

import pytest

from tests.contract.test_blocks import save
from tests.contract.worlds import World

SECRET = {"type": "string", "format": "password", "writeOnly": True, "minLength": 20}
SCHEMA = {
    "type": "object",
    "properties": {
        "password": {"anyOf": [SECRET, {"type": "null"}]},
        "logins": {"type": "array", "items": {"type": "object", "properties": {"key": SECRET}}},
        "plain": {"type": "string"},
    },
}
DB = {"$block": "secret/db"}


def trigger(world: World, **parameters: Any) -> Any:
    return world.api.post("/flow-runs", {"deployment": "etl/nightly", "parameters": parameters})


def test_2_7_the_server_keeps_the_name_and_the_process_is_told_where(world: World) -> None:
    save(world, "secret/db", {"value": "planted-secret"})
    world.deploy(parameter_schema=SCHEMA)
    agent = world.agent()
    parameters = {"password": DB, "logins": [{"key": DB}]}
    run = trigger(world, **parameters)
    assert (run.status_code, run.json()["parameters"]) == (201, parameters)
    (claim,) = agent.claim()
    assert (claim["parameters"], sorted(claim["secrets"])) == (parameters, ["/logins/0/key", "/password"])


def test_2_7_a_schedule_names_a_secret_too(world: World) -> None:
    save(world, "secret/db", {"value": "planted-secret"})
    world.deploy(parameter_schema=SCHEMA, schedule={"interval": 60}, parameters={"password": DB})
    agent = world.agent()
    world.pass_time(61)
    assert [claim["secrets"] for claim in agent.claim()][:1] == [["/password"]]


@pytest.mark.parametrize(
    ("parameters", "field"),
    [
        ({"password": {"$block": "secret/none"}}, "parameters.password"),
        ({"password": {"$block": "json/settings"}}, "parameters.password"),
        ({"logins": [{"key": {"$block": "secret/none"}}]}, "parameters.logins.0.key"),
        ({"plain": DB}, "parameters.plain"),
        ({"password": DB, "plain": 3}, "parameters.plain"),
        ({"password": {"$block": 3}}, "parameters.password"),
    ],
)
def test_2_7_names_that_can_not_be_taken(world: World, parameters: dict[str, Any], field: str) -> None:
    save(world, "secret/db", {"value": "planted-secret"})
    world.deploy(parameter_schema=SCHEMA)
    told = trigger(world, **parameters)
    assert (told.status_code, list(told.json()["error"]["fields"])) == (400, [field])
