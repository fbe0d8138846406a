"""1.13: `orchestrator cache`."""

from __future__ import annotations

import json
from typing import Any

import pytest
from click.testing import CliRunner

from orchestrator import testing
from orchestrator.cli.root import cli
from orchestrator.exceptions import NotFound
from tests.contract.journals import Journal
from tests.contract.test_cache import cached, used
from tests.contract.worlds import MemoryApi


@pytest.fixture
def command():
    with testing.server() as server:
        journal = Journal(MemoryApi(server, server.key))
        journal.send(
            journal.begin(),
            cached(journal, "day-1", ended=1_700_000_001_000_000),
            cached(journal, "day-2", task="flows.load", ended=1_700_000_002_000_000),
            used(journal, "day-1"),
        )

        def run(*arguments: str) -> Any:
            return CliRunner().invoke(cli, ["cache", *arguments])

        yield run


def live(command: Any) -> list[str]:
    return [each["key"] for each in json.loads(command("ls", "--state", "live", "-o", "json").output)]


def test_entries_are_listed(command):
    lines = [line.split()[:4] for line in command("ls").output.splitlines()]
    assert lines == [
        ["KEY", "TASK", "STATE", "HITS"], ["day-2", "flows.load", "live", "0"], ["day-1", "flows.extract", "live", "1"],
    ]  # fmt: skip
    assert command("ls", "--task", "flows.load").output.count("day-") == 1
    assert command("ls", "--prefix", "day-1").output.count("day-") == 1


def test_one_is_looked_at(command):
    assert "used_by" in command("inspect", "day-1").output
    assert len(json.loads(command("inspect", "day-1", "-o", "json").output)["used_by"]) == 1
    assert isinstance(command("inspect", "none").exception, NotFound)


@pytest.mark.parametrize(
    ("which", "left"),
    [
        (["day-1"], ["day-2"]),
        (["--prefix", "day"], []),
        (["--task", "flows.load"], ["day-1"]),
        (["--all"], []),
    ],
)
def test_values_are_invalidated(command, which: list[str], left: list[str]):
    number = 2 - len(left)
    told = "1 value is computed anew." if number == 1 else "2 values are computed anew."
    assert command("invalidate", *which).output.strip() == told
    assert live(command) == left


@pytest.mark.parametrize("which", [[], ["day-1", "--all"]])
def test_what_is_meant_is_said_once(command, which: list[str]):
    assert command("invalidate", *which).exit_code == 2
    assert live(command) == ["day-2", "day-1"]
