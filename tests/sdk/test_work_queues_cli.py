"""2.4: `orchestrator work-queue` and `orchestrator work-pool`."""

from __future__ import annotations

import json
from typing import Any

import pytest
from click.testing import CliRunner

from orchestrator import testing
from orchestrator.cli.root import cli
from orchestrator.exceptions import Conflict, Invalid, NotFound


@pytest.fixture
def command():
    with testing.server():

        def run(*arguments: str, **options: Any):
            return CliRunner().invoke(cli, list(arguments), **options)

        yield run


def told(result: Any) -> Any:
    assert result.exit_code == 0, result.output
    return json.loads(result.output)


def test_a_queue_through_its_life(command):
    made = told(command("work-queue", "create", "gpu", "--priority", "5", "--limit", "2", "-o", "json"))
    assert (made["pool"], made["priority"], made["concurrency_limit"]) == ("default", 5, 2)
    assert [line.split()[0] for line in command("work-queue", "ls").output.splitlines()] == ["QUEUE", "gpu", "default"]
    changed = told(command("work-queue", "set", "gpu", "--no-limit", "--description", "Cards", "-o", "json"))
    assert (changed["priority"], changed["concurrency_limit"], changed["description"]) == (5, None, "Cards")
    assert "paused" in command("work-queue", "pause", "gpu").output
    assert [each["paused"] for each in told(command("work-queue", "ls", "-o", "json"))] == [True, False]
    assert "again" in command("work-queue", "resume", "gpu").output
    assert command("work-queue", "delete", "gpu", input="n\n").exit_code == 1
    assert command("work-queue", "delete", "gpu", "-y").exit_code == 0
    assert isinstance(command("work-queue", "pause", "gpu").exception, NotFound)


def test_what_is_refused(command):
    assert isinstance(command("work-queue", "create", "a/b").exception, Invalid)
    assert isinstance(command("work-queue", "delete", "default", "-y").exception, Conflict)
    assert isinstance(command("work-queue", "ls", "--pool", "none").exception, NotFound)
    assert command("work-queue", "set", "default", "--limit", "2", "--no-limit").exit_code == 2


def test_a_pool_through_its_life(command):
    assert "agent start --pool cards" in command("work-pool", "create", "cards", "--limit", "3").output
    assert [line.split()[0] for line in command("work-pool", "ls").output.splitlines()] == ["POOL", "cards", "default"]
    assert "paused" in command("work-pool", "pause", "cards").output
    shown = told(command("work-pool", "inspect", "cards", "-o", "json"))
    assert (shown["paused"], shown["concurrency_limit"]) == (True, 3)
    assert [queue["name"] for queue in shown["queues"]] == ["default"]
    command("work-pool", "resume", "cards")
    assert "priority 100, 0 running, 0 waiting" in command("work-pool", "inspect", "cards").output
    assert isinstance(command("work-pool", "inspect", "none").exception, NotFound)
