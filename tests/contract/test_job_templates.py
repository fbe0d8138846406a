"""2.3: Base job templates of work pools, on both servers."""

from __future__ import annotations

import copy
from typing import Any

import pytest

from orchestrator.job_templates import BUILT_IN
from tests.contract.test_triggers import error
from tests.contract.worlds import World

TEMPLATE: dict[str, Any] = {
    "variables": {
        "type": "object",
        "properties": {
            "image": {"type": "string", "default": "base:1"},
            "cpus": {"type": "number", "exclusiveMinimum": 0},
            "labels": {"type": "object", "additionalProperties": {"type": "string"}, "default": {"team": "data"}},
            "env": {"type": "object", "default": {}},
        },
        "required": ["cpus"],
        "additionalProperties": False,
    },
    "job_configuration": {
        "container": {"image": "registry/{{ image }}", "env": "{{ env }}"},
        "limits": [{"cpu": "{{ cpus }}"}, "{{ memory }}"],
        "labels": "{{ labels }}",
    },
}
TEMPLATE["variables"]["properties"]["memory"] = {"type": "string"}
GPU = {"name": "gpu", "type": "cards", "base_job_template": TEMPLATE}


def changed(**properties: Any) -> dict[str, Any]:
    """The template with other variables; None takes one away, and what names it."""
    found = copy.deepcopy(TEMPLATE)
    found["variables"]["properties"] |= properties
    return found


@pytest.fixture
def pool(world: World) -> dict[str, Any]:
    made = world.api.post("/work-pools", GPU)
    assert made.status_code == 201, made.content
    return made.json()


def test_2_3_a_pool_has_the_template_of_its_type_until_it_has_its_own(world: World) -> None:
    own = BUILT_IN["process"]
    told = world.api.get("/work-pools/default").json()
    assert (told["type"], told["base_job_template"]) == ("process", own)
    assert "base_job_template" not in world.api.get("/work-pools").json()["items"][0]

    mine = {**own, "job_configuration": {"env": {"REGION": "eu"}}}
    for template, shown in ((mine, mine), (None, own)):
        answer = world.api.patch("/work-pools/default", {"base_job_template": template})
        assert (answer.status_code, answer.json()["base_job_template"]) == (200, shown)
        assert world.api.get("/work-pools/default").json()["base_job_template"] == shown


def test_2_3_the_pool_gives_defaults_the_deployment_and_the_run_go_over_them(world: World, pool: dict) -> None:
    assert (pool["type"], pool["base_job_template"]) == ("cards", TEMPLATE)
    world.deploy(work_pool="gpu", job_variables={"cpus": 2, "labels": {"tier": "1"}})
    plain = world.trigger()
    own = world.trigger(job_variables={"image": None, "labels": {"team": None}, "env": {"A": "1"}, "memory": "1Gi"})

    agent = world.agent(pool="gpu")
    told = {claim["run"]: claim for claim in agent.claim()}
    assert told[plain]["job_variables"] == {
        "image": "base:1", "cpus": 2, "labels": {"team": "data", "tier": "1"}, "env": {},
    }  # fmt: skip
    assert told[plain]["job_configuration"] == {
        "container": {"image": "registry/base:1", "env": {}},
        "limits": [{"cpu": 2}],
        "labels": {"team": "data", "tier": "1"},
    }
    assert told[own]["job_configuration"] == {
        "container": {"image": "registry/", "env": {"A": "1"}},
        "limits": [{"cpu": 2}, "1Gi"],
        "labels": {"tier": "1"},
    }


def test_2_3_what_a_process_is_told_without_a_template(world: World) -> None:
    world.deploy(job_variables={"env": {"LEVEL": "debug"}})
    world.trigger(job_variables={"memory_mib": 64})
    (claim,) = world.agent().claim()
    assert claim["job_configuration"] == claim["job_variables"] == {"env": {"LEVEL": "debug"}, "memory_mib": 64}


def test_2_3_an_agent_is_told_the_type_of_its_pool(world: World, pool: dict) -> None:
    facts = {"name": "box-1", "slots": 1}
    registered = world.as_role("agent")
    assert registered.post("/agents", {**facts, "pool": "gpu"}).json()["pool_type"] == "cards"
    assert registered.post("/agents", facts).json()["pool_type"] == "process"


@pytest.mark.parametrize(
    ("variables", "field"),
    [
        ({}, "job_variables.cpus"),
        ({"cpus": 0}, "job_variables.cpus"),
        ({"cpus": 1, "gpus": 1}, "job_variables.gpus"),
        ({"cpus": 1, "labels": {"a": 1}}, "job_variables.labels.a"),
    ],
)
def test_2_3_a_deployment_fits_the_template_of_its_pool(world: World, pool: dict, variables: Any, field: str) -> None:
    body = {"flow": "etl", "name": "nightly", "entrypoint": "flows.py:etl", "source": {"type": "path", "path": "/f"}}
    refused = world.api.post("/deployments", {**body, "work_pool": "gpu", "job_variables": variables})
    assert list(error(refused, 400)["fields"]) == [field]
    assert world.api.get("/deployments").json()["items"] == []


def test_2_3_a_run_fits_it_as_well(world: World, pool: dict) -> None:
    id = world.deploy(work_pool="gpu", job_variables={"cpus": 2})["id"]
    for given, field in (({"cpus": None}, "cpus"), ({"cpus": "2"}, "cpus"), ({"gpus": 1}, "gpus")):
        for path, body in (("/flow-runs", {"deployment": id}), (f"/deployments/{id}/estimate", {})):
            refused = world.api.post(path, {**body, "job_variables": given})
            assert list(error(refused, 400)["fields"]) == [f"job_variables.{field}"]
    assert world.api.get("/flow-runs").json()["items"] == []


def test_2_3_a_misspelt_variable_of_a_process_is_refused(world: World) -> None:
    world.deploy()
    refused = error(world.api.post("/flow-runs", {"deployment": "etl/nightly", "job_variables": {"memory": 1}}), 400)
    assert refused["fields"] == {"job_variables.memory": "The work pool knows no such variable."}


def test_2_3_a_template_that_deployments_do_not_fit_is_refused_and_names_them(world: World, pool: dict) -> None:
    world.deploy("a", work_pool="gpu", job_variables={"cpus": 2})
    world.deploy("b", work_pool="gpu", job_variables={"cpus": 0.5})
    world.deploy("c")  # of another pool
    whole = changed(cpus={"type": "integer"})
    refused = error(world.api.patch("/work-pools/gpu", {"base_job_template": whole, "paused": True}), 409)
    assert list(refused["fields"]) == ["deployments.etl/b"]
    assert "job_variables.cpus" in refused["fields"]["deployments.etl/b"]
    told = world.api.get("/work-pools/gpu").json()
    assert (told["base_job_template"], told["paused"]) == (TEMPLATE, False)

    world.deploy("b", work_pool="gpu", job_variables={"cpus": 1})
    assert world.api.patch("/work-pools/gpu", {"base_job_template": whole}).json()["base_job_template"] == whole


def test_2_3_a_canary_has_to_fit_too(world: World, pool: dict) -> None:
    world.deploy(work_pool="gpu", job_variables={"cpus": 2})
    world.deploy(work_pool="gpu", job_variables={"cpus": 0.5}, canary=10)
    refused = world.api.patch("/work-pools/gpu", {"base_job_template": changed(cpus={"type": "integer"})})
    assert list(error(refused, 409)["fields"]) == ["deployments.etl/nightly"]


def test_2_3_runs_that_wait_are_filled_in_as_the_template_is_when_they_start(world: World, pool: dict) -> None:
    """Those that would not be taken any more too: nothing that waits is held up by a change."""
    world.deploy(work_pool="gpu", job_variables={"cpus": 2})
    world.trigger(job_variables={"cpus": 0.5})
    whole = changed(cpus={"type": "integer"}, image={"type": "string", "default": "base:2"})
    assert world.api.patch("/work-pools/gpu", {"base_job_template": whole}).status_code == 200
    (claim,) = world.agent(pool="gpu").claim()
    assert claim["job_configuration"]["container"]["image"] == "registry/base:2"
    assert claim["job_configuration"]["limits"] == [{"cpu": 0.5}]


def test_2_3_a_version_that_does_not_fit_any_more_is_not_rolled_back_to(world: World, pool: dict) -> None:
    id = world.deploy(work_pool="gpu", job_variables={"cpus": 0.5})["id"]
    world.deploy(work_pool="gpu", job_variables={"cpus": 2})
    world.api.patch("/work-pools/gpu", {"base_job_template": changed(cpus={"type": "integer"})})
    refused = error(world.api.post(f"/deployments/{id}/rollback", {"version": 1}), 400)
    assert list(refused["fields"]) == ["job_variables.cpus"]


DEEP: dict[str, Any] = {"a": "x"}
for _ in range(25):
    DEEP = {"a": DEEP}

WRONG: list[tuple[Any, str]] = [
    ({}, "base_job_template"),
    ({"variables": {}}, "base_job_template"),
    ({"variables": {}, "job_configuration": {}, "more": 1}, "base_job_template"),
    ({"variables": [], "job_configuration": {}}, "base_job_template.variables"),
    ({"variables": {"type": "array"}, "job_configuration": {}}, "base_job_template.variables"),
    ({"variables": {"properties": {"a": {"type": "no"}}}, "job_configuration": {}}, "base_job_template.variables"),
    ({"variables": {"properties": {"a b": {}}}, "job_configuration": {}}, "base_job_template.variables.properties"),
    ({"variables": {}, "job_configuration": {"env": "{{ a }}"}}, "base_job_template.job_configuration"),
    ({"variables": {}, "job_configuration": {"env": {"A": "{{ a"}}}, "base_job_template.job_configuration"),
    ({"variables": {}, "job_configuration": {"env": {"{{ a }}": ""}}}, "base_job_template.job_configuration"),
    ({"variables": {}, "job_configuration": {"comand": "x"}}, "base_job_template.job_configuration.comand"),
    ({"variables": {}, "job_configuration": {"env": DEEP}}, "base_job_template.job_configuration"),
    ({"variables": {"description": "x" * 70_000}, "job_configuration": {}}, "base_job_template"),
    (
        {"variables": {"properties": {f"a{n}": {} for n in range(101)}}, "job_configuration": {}},
        "base_job_template.variables",
    ),
    (
        {"variables": {"properties": {"a": {}}}, "job_configuration": {"env": {str(n): "{{ a }}" for n in range(101)}}},
        "base_job_template.job_configuration",
    ),
    (
        {"variables": {"properties": {"a": {"type": "integer", "default": "x"}}}, "job_configuration": {}},
        "base_job_template.variables.properties.a",
    ),
]


@pytest.mark.parametrize(("template", "field"), WRONG, ids=range(len(WRONG)))
def test_2_3_templates_that_can_not_be_taken(world: World, template: Any, field: str) -> None:
    made = world.api.post("/work-pools", {"name": "own", "base_job_template": template})
    assert list(error(made, 400)["fields"]) == [field]
    assert [each["name"] for each in world.api.get("/work-pools").json()["items"]] == ["default"]
    refused = world.api.patch("/work-pools/default", {"base_job_template": template})
    assert list(error(refused, 400)["fields"]) == [field]


def test_2_3_a_type_that_the_server_does_not_know_brings_its_template(world: World, pool: dict) -> None:
    assert list(error(world.api.post("/work-pools", {"name": "own", "type": "cards"}), 400)["fields"]) == [
        "base_job_template"
    ]
    assert list(error(world.api.post("/work-pools", {**GPU, "name": "own", "type": "A/B"}), 400)["fields"]) == ["type"]
    assert error(world.api.patch("/work-pools/gpu", {"base_job_template": None}), 400)["fields"].keys() == {
        "base_job_template"
    }


def test_2_3_what_a_template_makes_has_a_bound_and_suits_a_process(world: World) -> None:
    fifty = {f"V{n}": "{{ text }}" for n in range(50)}
    template = {"variables": {"properties": {"text": {}}}, "job_configuration": {"env": fifty}}
    assert world.api.patch("/work-pools/default", {"base_job_template": template}).status_code == 200
    world.deploy(job_variables={"text": "x"})
    for text in ("x" * 20_000, "a\0b"):
        refused = world.api.post("/flow-runs", {"deployment": "etl/nightly", "job_variables": {"text": text}})
        assert list(error(refused, 400)["fields"]) == ["job_variables"]
    assert world.api.post("/flow-runs", {"deployment": "etl/nightly", "job_variables": {"text": 5}}).status_code == 201


def test_2_3_who_may_not_edit_pools_changes_no_template(world: World) -> None:
    for role in ("runner", "viewer", "agent"):
        refused = world.as_role(role).patch("/work-pools/default", {"base_job_template": None})
        error(refused, 403)
