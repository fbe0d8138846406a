"""2.5: who works: agents as the API lists them, the runs that they hold, their own logs; and single task runs."""

from __future__ import annotations

from typing import Any

import pytest

from orchestrator.ids import uuid7
from tests.contract.journals import Journal, now
from tests.contract.test_agents import begin, held_run
from tests.contract.worlds import World

NOBODY = "01a20860-0000-4000-8000-000000000000"


def test_agents_are_listed_with_what_they_hold(world: World) -> None:
    agent, claim = held_run(world)
    begin(world, claim)
    world.pass_time(0.001)
    world.agent(name="box-2", slots=2, queues=["default"])
    second, first = world.api.get("/agents").json()["items"]
    assert (first["name"], first["pool"], first["slots"], first["running"]) == ("box-1", "default", 10, 1)
    assert (second["name"], second["queues"], second["running"], second["connected"]) == ("box-2", ["default"], 0, True)
    assert [each["name"] for each in world.api.get("/agents", limit=1).json()["items"]] == ["box-2"]
    told = world.api.get(f"/agents/{agent.id}").json()
    assert [(run["id"], run["flow"], run["state"], run["attempt"]) for run in told["runs"]] == [
        (str(claim["run"]), "etl", "Running", 1)
    ]


def test_agents_by_pool_and_by_whether_they_are_there(world: World) -> None:
    gone = world.agent()
    world.pass_time(100)
    there = world.agent(name="box-2")
    assert world.api.post("/work-pools", {"name": "gpu"}).status_code == 201

    def found(**query: str) -> list[str]:
        return [each["id"] for each in world.api.get("/agents", **query).json()["items"]]

    assert found(connected="true") == [there.id]
    assert found(connected="false") == [gone.id]
    assert sorted(found(pool="default")) == sorted([gone.id, there.id])
    assert found(pool="gpu") == []


@pytest.mark.parametrize(
    ("path", "status"),
    [
        ("/agents?connected=perhaps", 400),
        ("/agents?pool=none", 404),
        ("/agents?cursor=x", 400),
        (f"/agents/{NOBODY}", 404),
        (f"/agents/{NOBODY}/log", 404),
        (f"/flow-runs/{NOBODY}/task-runs/{NOBODY}", 404),
    ],
)
def test_what_is_refused(world: World, path: str, status: int) -> None:
    told = world.api.get(path)
    assert (told.status_code, "error" in told.json()) == (status, True)


def test_an_agents_log_is_read_from_a_line_on(world: World) -> None:
    agent = world.agent()
    lines = [{"t": now(), "message": f"line {number}", "level": 30} for number in range(3)]
    assert agent.api.post(f"/agents/{agent.id}/heartbeat", {"leases": [], "log": lines}).status_code == 200

    def read(**query: Any) -> Any:
        told = world.api.get(f"/agents/{agent.id}/log", **query).json()
        return [(line["line"], line["level"], line["message"]) for line in told["items"]], told["next"]

    assert read() == ([(1, 30, "line 0"), (2, 30, "line 1"), (3, 30, "line 2")], 3)
    assert read(after=1, limit=1) == ([(2, 30, "line 1")], 2)
    assert read(after=3) == ([], 3)


def test_task_runs_by_state_and_name_and_one_alone(world: World, journal: Journal) -> None:
    begun = journal.begin()
    good = journal.task(task="load")
    bad = journal.task("FAILED", task="save")
    line = journal.log("about the second", task=bad.id)
    journal.send(begun, good, bad, line, journal.log("about the run"))
    path = f"/flow-runs/{journal.root}"

    def found(**query: str) -> list[str]:
        return [task["task"] for task in world.api.get(f"{path}/task-runs", **query).json()["items"]]

    assert (sorted(found()), found(state="failed"), found(task="load"), found(state="FAILED", task="load")) == (
        ["load", "save"], ["save"], ["load"], [],
    )  # fmt: skip
    assert world.api.get(f"{path}/task-runs/{bad.id}").json()["state"]["type"] == "FAILED"
    assert world.api.get(f"{path}/task-runs/{uuid7()}").status_code == 404
    assert world.api.get(f"{path}/task-runs", state="NONSENSE").status_code == 400
    lines = world.api.get(f"{path}/logs", task=str(bad.id)).json()["items"]
    assert [each["message"] for each in lines] == ["about the second"]
