"""A real agent, with real processes, works for the server in memory over its port."""

from __future__ import annotations

import os
import signal
import subprocess
import sys

import pytest

from orchestrator import testing
from orchestrator.client import Client
from tests.sdk.conftest import ROOT

FLOWS = """
import os, time
from orchestrator import flow, get_run_logger, runtime, task

@task
def double(x):
    return 2 * x

@flow
def good(x: int):
    get_run_logger().info("is %d", double(x))

@flow
def stays(path: str):
    with open(path, "a") as file:
        file.write(f"{os.getpid()}\\n")
    if runtime.flow_run.run_count < 2:
        time.sleep(60)
"""


@pytest.fixture
def served():
    with testing.server(serve=True, lease_seconds=20, wait_seconds=1) as server:
        yield server


@pytest.fixture(autouse=True)
def agent(served, tmp_path):
    """An agent with a key of its own."""
    settings = {
        "PYTHONPATH": str(ROOT),
        "ORCHESTRATOR_API_KEY": served.new_key("agent"),
        "ORCHESTRATOR_AGENT_GRACE_SECONDS": "2",
    }
    command = [sys.executable, "-m", "orchestrator.cli", "agent", "start", "--name", "tester"]
    with (tmp_path / "agent.log").open("w") as log:
        process = subprocess.Popen(command, env={**os.environ, **settings}, stdout=log, stderr=subprocess.STDOUT)
        yield process
        process.send_signal(signal.SIGTERM)
        process.wait(30)


def deploy(tmp_path, name, **more):
    """A deployment of code that is in a directory."""
    (tmp_path / "flows.py").write_text(FLOWS)
    source = {"type": "path", "path": str(tmp_path)}
    body = {"flow": name, "name": "prod", "entrypoint": f"flows.py:{name}", "source": source, **more}
    with Client() as client:
        client.post("/deployments", body)


def test_it_claims_executes_and_tells(served, tmp_path, until):
    deploy(tmp_path, "good")
    runs = [served.trigger("good/prod", {"x": x}) for x in (3, 4)]
    until(lambda: all(run.is_final for run in runs), 30)
    for run, line in zip(runs, ("is 6", "is 8"), strict=True):
        served.assert_completed(run)
        served.assert_logged(run, line)
        assert [task.state_type for task in served.tasks(run)] == ["COMPLETED"]
        assert run.states == ["Scheduled", "Pending", "Running", "Completed"]


def test_a_cancel_reaches_the_process(served, tmp_path, until):
    deploy(tmp_path, "stays")
    run = served.trigger("stays/prod", {"path": str(tmp_path / "pids")})
    until(lambda: (tmp_path / "pids").exists(), 30)
    served.cancel(run)
    until(lambda: run.is_final, 30)
    served.assert_state(run, "CANCELLED")


def test_a_killed_process_is_followed_by_the_next_attempt(served, tmp_path, until):
    deploy(tmp_path, "stays", retries=1)
    pids = tmp_path / "pids"
    run = served.trigger("stays/prod", {"path": str(pids)})
    until(lambda: run.state_name == "Running" and pids.exists() and pids.read_text().endswith("\n"), 30)
    os.kill(int(pids.read_text()), signal.SIGKILL)
    until(lambda: run.is_final, 30)
    served.assert_completed(run)
    assert (run.attempt, run.run_count, len(pids.read_text().split())) == (2, 2, 2)
    assert run.states == ["Scheduled", "Pending", "Running", "AwaitingRetry", "Pending", "Retrying", "Completed"]
