"""2.12: `orchestrator flow-run explain`."""

from __future__ import annotations

import json
from typing import Any

import pytest
from click.testing import CliRunner

from orchestrator import testing
from orchestrator.cli.root import cli


@pytest.fixture
def server():
    with testing.server() as server:
        yield server


def explained(id: Any, *options: str) -> str:
    result = CliRunner().invoke(cli, ["flow-run", "explain", str(id), *options])
    assert result.exit_code == 0, result.output
    return result.output


def test_causes_are_printed_in_their_order_with_what_to_do(server):
    from orchestrator.client import Client

    with Client() as client:
        body = {"flow": "etl", "name": "nightly", "entrypoint": "f.py:etl", "source": {"type": "path", "path": "/f"}}
        client.post("/deployments", body)
        run = client.post("/flow-runs", {"deployment": "etl/nightly"})
        client.patch("/work-pools/default", {"paused": True})
    lines = explained(run["id"]).splitlines()
    assert lines[0].startswith("1. The work pool default is paused by ")
    assert lines[1].startswith("   since ")
    assert lines[2].startswith("   work-pool default ")
    assert lines[3:5] == ["   -> Resume the pool.", "2. No agent was ever started for the work pool default."]
    assert lines[-3:] == [
        "   -> Start one: orchestrator agent start --pool default",
        "Before it: 0 due runs of its pool.",
        "Starts: Unknown: it starts when this is mended.",
    ]
    told = json.loads(explained(run["id"], "-o", "json"))
    assert [cause["code"] for cause in told["causes"]] == ["pool_paused", "no_agent"]
    with Client() as client:
        client.post(f"/flow-runs/{run['id']}/cancel")
    assert explained(run["id"]) == "It does not wait: it is CANCELLED.\n"


def test_2_7_a_dry_run_checks_it_and_triggers_nothing(server):
    from orchestrator import flow

    @flow
    def nightly(n: int) -> None: ...

    nightly.deploy("prod")
    command = ["deployment", "run", "nightly/prod", "--dry-run", "-p"]
    done = CliRunner().invoke(cli, [*command, "n=3"])
    wrong = CliRunner().invoke(cli, [*command, "n=x"])
    assert done.exit_code == 0, done.output
    assert done.output.startswith(
        "Nothing was triggered. A run of nightly/prod can be.\nNo run has completed yet.\n1. No agent was ever started"
    )
    assert (wrong.exit_code, list(wrong.exception.fields)) == (1, ["parameters.n"])
    assert server.runs() == []
