"""1.19: calls of tasks that are queued, on both servers."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from orchestrator import clock
from tests.contract.test_triggers import UNKNOWN, error
from tests.contract.worlds import World

QUEUE = "serve mail-background"
TASK = {"entrypoint": "app.py:mail", "queue": QUEUE, "retries": 2, "tags": ["slow"]}


def delay(world: World, *calls: dict[str, Any], api: Any = None, **more: Any) -> Any:
    body = {"deployment": "mail/background", "task": TASK, "calls": list(calls) or [{}], **more}
    return (api or world.api).post("/background-runs", body)


def queued(world: World, *calls: dict[str, Any], **more: Any) -> list[str]:
    told = delay(world, *calls, **more)
    assert told.status_code == 201, told.content
    return [run["id"] for run in told.json()["runs"]]


def test_the_first_call_makes_the_deployment_and_its_queue(world: World) -> None:
    assert delay(world, task=None).status_code == 404
    (run,) = queued(world, {"parameters": {"to": "you"}, "tags": ["now"], "name": "first"}, api=world.as_role("runner"))

    told = world.run(run)
    assert (told["origin"], told["flow"], told["deployment"]) == ("background", "mail", "mail/background")
    assert (told["parameters"], told["tags"], told["name"]) == ({"to": "you"}, ["slow", "now"], "first")
    made = world.api.get("/deployments/by-name/mail/background").json()
    assert (made["work_queue"], made["entrypoint"], made["source"]) == (QUEUE, "app.py:mail", {"type": "served"})
    assert delay(world, task=None).status_code == 201


def test_only_who_serves_the_task_is_given_its_calls(world: World) -> None:
    (run,) = queued(world, {"call": {"options": {"retries": 5}}, "parameters": {"to": "you"}})
    world.deploy()
    world.trigger()
    assert [claim["flow"] for claim in world.agent(name="any").claim()] == ["etl"]
    assert world.agent(name="other", queues=["default"]).claim() == []

    (claim,) = world.agent(name="server", queues=[QUEUE]).claim()
    assert (claim["run"], claim["parameters"]) == (run, {"to": "you"})
    assert claim["call"] == {"options": {"retries": 5}}


def test_a_key_queues_a_call_once(world: World) -> None:
    calls = [{"idempotency_key": "order-17"}, {"idempotency_key": "order-18"}]
    first = queued(world, *calls)
    again = delay(world, *calls)
    assert again.status_code == 200
    assert [run["id"] for run in again.json()["runs"]] == first
    assert [run["new"] for run in again.json()["runs"]] == [False, False]


def test_a_call_waits_until_its_time_and_higher_priority_goes_first(world: World) -> None:
    later = datetime.fromtimestamp(clock.now() / 1e6, UTC) + timedelta(minutes=5)
    queued(
        world, {"name": "later", "scheduled_at": later.isoformat()}, {"name": "low"}, {"name": "high", "priority": 9}
    )
    agent = world.agent(queues=[QUEUE])
    assert [claim["name"] for claim in agent.claim()] == ["high", "low"]
    world.pass_time(301)
    assert "later" in [claim["name"] for claim in agent.claim()]


def test_what_a_run_of_an_agent_calls_has_its_code_and_follows_it(world: World) -> None:
    """The task is executed by the same agents, also after the flow was deployed anew."""
    world.deploy()
    world.trigger()
    agent = world.agent()
    (parent,) = agent.claim()
    caller = world.with_key(parent["token"])
    (run,) = queued(world, {"parent": parent["run"]}, api=caller)

    (claim,) = agent.claim()
    assert (claim["run"], claim["entrypoint"], claim["source"]["path"]) == (run, "app.py:mail", "/flows")
    assert world.run(run)["parent"] == parent["run"]
    world.deploy(source={"type": "path", "path": "/newer"}, process="fresh")
    queued(world, {}, api=caller)
    (claim,) = agent.claim()
    assert (claim["source"]["path"], claim["process"]) == ("/newer", "fresh")


def test_a_task_that_was_deployed_keeps_its_own_code(world: World) -> None:
    world.deploy("background", flow="mail", source={"type": "path", "path": "/own"})
    world.deploy()
    world.trigger()
    agent = world.agent()
    (parent,) = agent.claim()
    queued(world, {}, api=world.with_key(parent["token"]))
    (claim,) = agent.claim()
    assert claim["source"] == {"type": "path", "path": "/own"}


def test_who_stored_arguments_asks_whether_they_are_needed(world: World) -> None:
    """1.19: also for a run that somebody made again of the first one."""
    first, second = ({"arguments": name, "stored": {}} for name in ("a" * 32, "b" * 32))
    run, *_ = queued(world, {"call": first}, {"call": second}, {})
    asked = {"calls": ["a" * 32, "c" * 32, "b" * 32]}
    told = world.as_role("viewer").post("/background-runs/arguments", asked)
    assert (told.status_code, told.json()) == (200, {"needed": ["a" * 32, "b" * 32]})
    world.api.post(f"/flow-runs/{run}/cancel")
    retry = world.api.post(f"/flow-runs/{run}/retry", {"from_failure": False})
    assert retry.status_code == 201, retry.content
    assert world.run(retry.json()["id"])["state"]["type"] == "SCHEDULED"
    assert world.api.post("/background-runs/arguments", asked).json()["needed"] == ["a" * 32, "b" * 32]
    for wrong in ({"calls": []}, {"calls": ["a"] * 1_001}, {"calls": 1}):
        assert world.api.post("/background-runs/arguments", wrong).status_code == 400


@pytest.mark.parametrize(
    ("body", "status"),
    [
        ({"calls": []}, 400),
        ({"calls": [{}] * 501}, 400),
        ({"deployment": "mail"}, 400),
        ({"deployment": UNKNOWN}, 400),
        ({"task": {**TASK, "queue": "default"}}, 400),
        ({"task": {"queue": QUEUE}}, 400),
        ({"calls": [{"scheduled_at": "2026-01-01T00:00:00"}]}, 400),
        ({"calls": [{"priority": 40_000}]}, 400),
        ({"calls": [{"idempotency_key": ""}]}, 400),
        ({"calls": [{"parent": UNKNOWN}]}, 404),
        ({"calls": [{"call": {"options": {"retries": -1}}}]}, 400),
        ({"calls": [{"call": {"x": "y" * 70_000}}]}, 400),
        ({"calls": [{"parameters": {"x": "y" * 600_000}}]}, 400),
    ],
)
def test_calls_that_can_not_be_queued(world: World, body: dict[str, Any], status: int) -> None:
    error(delay(world, **{"calls": [{}], **body}) if "calls" not in body else _sent(world, body), status)
    assert world.api.get("/flow-runs").json()["items"] == []


def _sent(world: World, body: dict[str, Any]) -> Any:
    return world.api.post("/background-runs", {"deployment": "mail/background", "task": TASK, **body})


def test_those_that_have_ended_are_told(world: World) -> None:
    first, second = queued(world, {}, {})
    ask = {"runs": [first, second, UNKNOWN]}
    assert world.api.post("/flow-runs/wait", ask).json() == {"runs": [], "unknown": [UNKNOWN]}
    assert world.api.post(f"/flow-runs/{second}/cancel").status_code == 200
    (told,) = world.api.post("/flow-runs/wait", ask).json()["runs"]
    assert (told["id"], told["state"]["type"]) == (second, "CANCELLED")
    assert error(world.api.post("/flow-runs/wait", {"runs": []}), 400)["fields"].keys() == {"runs"}
    error(world.api.post("/flow-runs/wait", {"runs": [UNKNOWN] * 1_001}), 400)


def test_calls_that_came_before_their_task_was_served_have_its_budget_for_crashes(world: World) -> None:
    (run,) = queued(world, {"call": {"options": {"retries": 0}}})
    world.deploy("background", flow="mail", work_queue=QUEUE, crash_retries=2)
    agent = world.agent(queues=[QUEUE])
    (claim,) = agent.claim()
    assert agent.tell_end(claim, reason="killed", exit=-9).status_code == 200
    assert world.state(run)[0] == "SCHEDULED"
