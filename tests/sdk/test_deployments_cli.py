"""2.1: `orchestrator deployment versions, rollback, canary, promote, delete`."""

from __future__ import annotations

import json
from typing import Any

import pytest
from click.testing import CliRunner

from orchestrator import testing
from orchestrator.cli.root import cli
from orchestrator.client import Client
from orchestrator.exceptions import NotFound

BODY = {"flow": "etl", "name": "prod", "entrypoint": "f.py:etl", "source": {"type": "path", "path": "/flows"}}
GIT = {"commit": "c" * 40, "branch": "main", "dirty": True}


@pytest.fixture
def command():
    with testing.server():

        def run(*arguments: str, **options: Any):
            return CliRunner().invoke(cli, ["deployment", *arguments], **options)

        yield run


def put(**more: Any) -> None:
    with Client() as client:
        client.post("/deployments", {**BODY, **more})


def shown(command: Any) -> dict[str, Any]:
    return json.loads(command("inspect", "etl/prod", "-o", "json").output)


def test_versions_are_listed_and_brought_back(command):
    put(parameters={"n": 1}, git=GIT, message="begun")
    put(parameters={"n": 2})
    lines = command("versions", "etl/prod").output.splitlines()
    assert lines[1].split()[:2] == ["2", "current"]
    assert "cccccccccc (changed)" in lines[2]
    assert lines[2].endswith("begun")
    assert [each["number"] for each in json.loads(command("versions", "etl/prod", "-o", "json").output)] == [2, 1]

    assert "that is version 3" in command("rollback", "etl/prod", "1", "-m", "no good").output
    assert (shown(command)["number"], shown(command)["parameters"]) == (3, {"n": 1})
    assert isinstance(command("rollback", "etl/prod", "9").exception, NotFound)
    assert command("rollback", "etl/prod", "0").exit_code == 2


def test_a_canary_is_changed_withdrawn_and_promoted(command):
    put()
    put(entrypoint="f.py:new", canary=10)
    assert "25 % of the new runs are made from version 2" in command("canary", "etl/prod", "25").output
    assert "withdrawn" in command("canary", "etl/prod", "0").output
    put(entrypoint="f.py:new", canary=10)
    assert "Version 3 of etl/prod is in force" in command("promote", "etl/prod").output
    assert shown(command)["entrypoint"] == "f.py:new"


def test_it_is_deleted_when_one_is_sure(command):
    put()
    assert command("delete", "etl/prod", input="n\n").exit_code == 1
    assert "is deleted" in command("delete", "etl/prod", "--yes").output
    assert isinstance(command("inspect", "etl/prod").exception, NotFound)


def test_what_a_version_changed(command):
    put(parameters={"n": 1})
    put(parameters={"n": 2})
    put(parameters={"n": 3})
    assert "Version 3 of etl/prod, compared with 2:\n  parameters.n: 2 -> 3" in command("diff", "etl/prod").output
    assert "parameters.n: 1 -> 3" in command("diff", "etl/prod", "3", "--from", "1").output
    assert "compared with nothing" in command("diff", "etl/prod", "1").output
    assert "Nothing differs" in command("diff", "etl/prod", "2", "--from", "2").output
    assert json.loads(command("diff", "etl/prod", "2", "-o", "json").output)["from"] == 1
    assert isinstance(command("diff", "etl/prod", "9").exception, NotFound)
