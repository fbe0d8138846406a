"""2.5: `orchestrator agent ls|inspect|logs` and `orchestrator task-run`."""

from __future__ import annotations

import json
from typing import Any

import pytest
from click.testing import CliRunner

from orchestrator import flow, task, testing
from orchestrator.agent.agent import Agent
from orchestrator.agent.settings import Settings
from orchestrator.cli.root import cli
from orchestrator.client import Client
from orchestrator.config import require_api
from orchestrator.exceptions import Invalid, NotFound
from orchestrator.logging import get_run_logger


@task
def load(n: int) -> int:
    get_run_logger().info("loading %s", n)
    if n == 2:
        raise ValueError("no two")
    return n


@flow
def loads() -> None:
    for n in range(3):
        load(n, return_state=True)


@pytest.fixture
def command() -> Any:
    with testing.server() as server:

        def run(*arguments: str) -> Any:
            return CliRunner().invoke(cli, list(arguments))

        run.server = server
        yield run


def told(result: Any) -> Any:
    assert result.exit_code == 0, result.output
    return json.loads(result.output)


def test_agents_are_listed_and_looked_at(command):
    facts = {"pool": "default", "name": "box-1", "slots": 2, "version": "1", "python": "3.11", "host": "rack-7"}
    made = Client().post("/agents", facts)
    lines = [{"t": 1_700_000_000_000_000, "message": "started", "level": 20}]
    Client().post(f"/agents/{made['id']}/heartbeat", {"leases": [], "log": lines})
    (listed,) = told(command("agent", "ls", "--connected", "-o", "json"))
    assert (listed["name"], listed["running"], listed["host"]) == ("box-1", 0, "rack-7")
    assert "0 of 2" in command("agent", "ls").output
    assert told(command("agent", "ls", "--gone", "-o", "json")) == []
    assert told(command("agent", "inspect", made["id"], "-o", "json"))["runs"] == []
    assert command("agent", "logs", made["id"]).output.split()[2:] == ["INFO", "started"]
    assert isinstance(command("agent", "ls", "--pool", "none").exception, NotFound)


@pytest.mark.parametrize(("limit", "name", "says"), [(0, "box", "1 to 1000 slots"), (1, "x" * 201, "1 to 200")])
def test_2_5_an_agent_that_the_server_can_not_take_says_why_and_ends(command, limit, name, says):
    with pytest.raises(Invalid, match=says):
        Agent(require_api(), Settings(limit=limit, name=name, output=False)).run()


def test_2_5_an_agent_says_which_queues_its_pool_has_not(command):
    agent = Agent(require_api(), Settings(queues=["default", "gpuu"], output=False))
    agent.register()
    agent._close()
    assert [line["message"].split(";")[0] for line in agent.log.take()] == ["the pool 'default' has no queue 'gpuu'"]


def test_task_runs_are_listed_and_looked_at(command):
    loads(return_state=True)
    run = str(command.server.runs("loads")[0].id)
    listed = told(command("task-run", "ls", run, "-o", "json"))
    assert len(listed) == 3
    (failed,) = told(command("task-run", "ls", run, "--state", "failed", "-o", "json"))
    assert told(command("task-run", "inspect", run, failed["id"], "-o", "json"))["error"]["message"] == "no two"
    assert "no two" in command("task-run", "inspect", run, failed["id"]).output
    messages = [line["message"] for line in told(command("task-run", "logs", run, failed["id"], "-o", "json"))]
    assert messages[0] == "loading 2"
    assert not any("loading 1" in message for message in messages)
    assert command("task-run", "ls", run, "--task", "other").output.splitlines()[1:] == []
