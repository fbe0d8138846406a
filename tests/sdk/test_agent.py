"""2.5: An agent against the fake platform: real processes, real pipes, real signals."""

import io
import os
import signal
import subprocess
import sys
import time
import zipfile

import pytest

from orchestrator.agent.bundles import extract
from orchestrator.exceptions import LoadError
from tests.sdk.conftest import ROOT, dead

FLOWS = """
import os, signal, subprocess, sys, time
from orchestrator import flow, task, get_run_logger, runtime
from orchestrator.exceptions import RunCancelled
import beside

@task
def step(x):
    return beside.double(x)

@flow(log_prints=True)
def good(x: int, y: int = 1):
    print("sum is", step(x) + y, runtime.flow_run.tags, runtime.deployment.name)
    print("key", os.environ.get("ORCHESTRATOR_API_KEY"), sys.argv[1:])

@flow(retries=2)
def counts():
    get_run_logger().info("execution %d", runtime.flow_run.run_count)
    raise ValueError("always")

@flow(retries=1, retry_delay_seconds=3600)
def patient():
    raise ValueError("later")

@flow
def dies():
    get_run_logger().info("last words")
    time.sleep(0.3)
    print("on stderr", file=sys.stderr)
    os.kill(os.getpid(), signal.SIGKILL)

@flow
def stays(path: str, stubborn: bool = False):
    with open(path, "w") as file:
        file.write(f"{os.getpid()}")
    while True:
        try:
            time.sleep(60)
        except BaseException as error:
            with open(path, "a") as file:
                file.write(f" {type(error).__name__}")
            if not stubborn:
                raise

@flow
def starts_a_process(path: str):
    child = subprocess.Popen(["sleep", "60"])
    with open(path, "w") as file:
        file.write(str(child.pid))
    os.kill(os.getpid(), signal.SIGKILL)

@flow
async def later(x: int):
    import asyncio
    await asyncio.sleep(0.01)
    return x

@flow
def leaves():
    sys.exit(3)
"""


@pytest.fixture
def deployment(platform, tmp_path):
    """Deploy a flow of FLOWS as a bundle."""
    code = tmp_path / "code"
    code.mkdir()
    (code / "flows.py").write_text(FLOWS)
    (code / "beside.py").write_text("def double(x):\n    return 2 * x\n")
    (code / "unused.py").write_text("raise RuntimeError\n")

    def deploy(name, **more):
        done = subprocess.run(
            [sys.executable, "-m", "orchestrator.cli", "deploy", f"{code}/flows.py:{name}", *more.get("options", ())],
            env={**os.environ, "PYTHONPATH": str(ROOT)},
            capture_output=True,
            text=True,
        )
        assert platform.deployments, done.stderr
        return platform.deployments[-1]

    return deploy


def test_a_run_is_claimed_executed_and_told(platform, deployment, agent, until, home):
    deployed = deployment("good")
    assert (deployed["entrypoint"], deployed["source"]["type"]) == ("flows.py:good", "bundle")
    names = zipfile.ZipFile(io.BytesIO(platform.bundles[deployed["source"]["sha256"]])).namelist()
    assert names == ["beside.py", "flows.py"]
    started = agent()
    run = platform.trigger(deployed, {"x": "20"})
    until(lambda: platform.run_states(run) == ["RUNNING", "COMPLETED"])
    assert "sum is 41 ['from-trigger'] default" in platform.messages()
    assert any(message.startswith("key None ['") for message in platform.messages())
    assert platform.tasks()["step-0"]["state"] == "COMPLETED"
    assert "about" not in platform.all_entries("run.state")[0]
    assert {key[:4] for key in platform.keys} == {"orc_", "orr_"}
    until(lambda: "sum is 41" in started.output())
    assert platform.ended == []
    until(lambda: not list((home / "journals").glob("*")))


def test_several_runs_at_once_and_no_more_than_the_limit(platform, deployment, agent, until, tmp_path):
    deployed = deployment("stays")
    agent("--limit", "2")
    paths = [tmp_path / f"pid-{n}" for n in range(3)]
    for path in paths:
        platform.trigger(deployed, {"path": str(path)})
    until(lambda: sum(path.exists() for path in paths) == 2)
    time.sleep(0.3)
    assert sum(path.exists() for path in paths) == 2
    until(lambda: platform.heartbeats and len(platform.heartbeats[-1]) == 2)


def test_retries_happen_in_the_process_and_go_on_from_the_claims_count(platform, deployment, agent, until):
    deployed = deployment("counts")
    agent()
    run = platform.trigger(deployed)
    until(lambda: platform.run_states(run)[-1:] == ["FAILED"])
    assert [m for m in platform.messages() if m.startswith("execution")] == [
        "execution 1",
        "execution 2",
        "execution 3",
    ]
    again = platform.trigger(deployed, run_count=2)
    until(lambda: platform.run_states(again)[-1:] == ["FAILED"])
    assert platform.messages().count("execution 3") == 2
    states = platform.all_entries("run.state")
    assert [entry["run_count"] for entry in states if entry["run"] == again] == [3, 3]


def test_a_distant_retry_is_handed_back(platform, deployment, agent, until):
    deployed = deployment("patient")
    agent()
    run = platform.trigger(deployed)
    until(lambda: platform.run_states(run) == ["RUNNING", "SCHEDULED"])
    entry = platform.all_entries("run.state")[-1]
    assert entry["name"] == "AwaitingRetry"
    assert 3500 < entry["at"] / 1e6 - time.time() < 3610
    time.sleep(0.2)
    assert platform.ended == []


def test_a_killed_process_leaves_its_last_lines_and_its_end_is_told(platform, deployment, agent, until):
    deployed = deployment("dies")
    started = agent()
    run = platform.trigger(deployed)
    told = until(lambda: platform.ended)[0]
    assert (told["run"], told["attempt"], told["exit"], told["reason"]) == (run, 1, -9, "killed")
    assert "SIGKILL" in told["message"]
    assert "on stderr" in told["message"]
    assert "last words" in platform.messages()
    # Who reads the agent's own log may not be one who reads this run's, and it outlives the run.
    [line] = [line for line in started.output().splitlines() if "was not ended by itself" in line]
    assert line.endswith("The process was ended by SIGKILL.")
    assert "\non stderr" not in started.output()


def test_cancel_raises_in_user_code(platform, deployment, agent, until, tmp_path):
    path = tmp_path / "pid"
    deployed = deployment("stays")
    agent()
    run = platform.trigger(deployed, {"path": str(path)})
    until(lambda: path.exists() and path.read_text())
    platform.cancels.append(run)
    until(lambda: platform.run_states(run) == ["RUNNING", "CANCELLED"])
    assert path.read_text().split()[1:] == ["RunCancelled"]
    assert platform.ended == []


def test_what_does_not_stop_is_killed_after_the_grace(platform, deployment, agent, until, tmp_path):
    path = tmp_path / "pid"
    deployed = deployment("stays")
    agent()
    run = platform.trigger(deployed, {"path": str(path), "stubborn": True})
    until(lambda: path.exists() and path.read_text())
    platform.cancels.append(run)
    told = until(lambda: platform.ended)[0]
    assert (told["run"], told["reason"]) == (run, "killed")
    assert dead(path.read_text().split()[0])


def test_a_lost_lease_stops_the_process_without_a_word_on_the_state(platform, deployment, agent, until, tmp_path):
    path = tmp_path / "pid"
    deployed = deployment("stays")
    agent()
    run = platform.trigger(deployed, {"path": str(path)})
    until(lambda: path.exists() and path.read_text())
    platform.lost.append({"run": run, "attempt": 1})
    until(lambda: path.read_text().split()[1:] == ["RunSuperseded"])
    until(lambda: dead(path.read_text().split()[0]))
    assert platform.run_states(run) == ["RUNNING"]


def test_the_processes_that_a_run_started_die_with_it(platform, deployment, agent, until, tmp_path):
    path = tmp_path / "pid"
    deployed = deployment("starts_a_process")
    agent()
    platform.trigger(deployed, {"path": str(path)})
    until(lambda: platform.ended)
    until(lambda: dead(path.read_text()))


def test_a_drained_agent_waits_for_its_runs_and_then_stops_them(platform, deployment, agent, until, tmp_path):
    path = tmp_path / "pid"
    deployed = deployment("stays")
    process = agent(ORCHESTRATOR_AGENT_DRAIN_SECONDS="0.5")
    run = platform.trigger(deployed, {"path": str(path)})
    until(lambda: path.exists() and path.read_text())
    process.send_signal(signal.SIGTERM)
    platform.trigger(deployed, {"path": str(tmp_path / "never")})
    assert process.wait(10) == 0
    assert path.read_text().split()[1:] == ["RunTerminated"]
    assert [told["run"] for told in platform.ended] == [run]
    assert platform.run_states(run) == ["RUNNING"]
    assert not (tmp_path / "never").exists()


def test_a_killed_agents_processes_stop_by_themselves(platform, deployment, agent, until, tmp_path):
    path = tmp_path / "pid"
    deployed = deployment("stays")
    process = agent()
    run = platform.trigger(deployed, {"path": str(path)})
    until(lambda: path.exists() and path.read_text())
    process.kill()
    until(lambda: dead(path.read_text().split()[0]))
    assert path.read_text().split()[1:] == ["RunTerminated"]
    assert platform.ended == []
    agent()
    assert until(lambda: platform.ended)[0]["run"] == run
    assert platform.run_states(run) == ["RUNNING"]


def test_a_new_agent_sends_what_a_dead_one_left(platform, deployment, agent, until, home):
    deployed = deployment("dies")
    first = agent()
    platform.refuse = [(503, "unavailable")] * 0
    journal_answers = platform.apply
    platform.apply = lambda body: (_ for _ in ()).throw(RuntimeError("away"))
    run = platform.trigger(deployed)
    until(lambda: "on stderr" in first.output())
    first.kill()
    assert list((home / "journals").glob("*.ndjson"))
    platform.apply = journal_answers
    agent()
    until(lambda: "last words" in platform.messages())
    until(lambda: [told["run"] for told in platform.ended] == [run])


def test_code_that_cannot_be_loaded_fails_the_run_with_the_reason(platform, deployment, agent, until):
    deployed = {**deployment("good"), "entrypoint": "flows.py:gone"}
    agent()
    run = platform.trigger(deployed)
    until(lambda: platform.run_states(run)[-1:] == ["FAILED"])
    assert "flows.py has no 'gone'" in platform.all_entries("run.state")[-1]["message"]


def test_wrong_parameters_fail_the_run(platform, deployment, agent, until):
    deployed = deployment("good")
    agent()
    run = platform.trigger(deployed, {"x": "many"})
    until(lambda: platform.run_states(run) == ["FAILED"])
    assert "valid integer" in platform.all_entries("run.state")[-1]["message"]


def test_a_bundle_that_is_not_what_it_says_never_starts(platform, deployment, agent, until):
    deployed = deployment("good")
    platform.bundles = dict.fromkeys(platform.bundles, b"something else")
    agent()
    platform.trigger(deployed, {"x": 1})
    told = until(lambda: platform.ended)[0]
    assert (told["reason"], told["exit"]) == ("never_started", None)
    assert "not what its address says" in told["message"]


def test_async_flows_and_exits(platform, deployment, agent, until):
    agent()
    run = platform.trigger(deployment("later"), {"x": 1})
    until(lambda: platform.run_states(run) == ["RUNNING", "COMPLETED"])
    run = platform.trigger(deployment("leaves"))
    told = until(lambda: platform.ended)[0]
    assert (told["run"], told["reason"], told["exit"]) == (run, "exited", 70)


def test_a_local_path_is_run_where_it_is(platform, deployment, agent, until, tmp_path):
    deployed = deployment("good", options=["--from-path"])
    assert deployed["source"] == {"type": "path", "path": str(tmp_path / "code")}
    agent()
    run = platform.trigger(deployed, {"x": 1})
    until(lambda: platform.run_states(run)[-1:] == ["COMPLETED"])


@pytest.mark.parametrize("name", ["../out.py", "/etc/passwd", "a/../../out.py", "..\\out.py", "C:/out.py"])
def test_a_bundle_cannot_write_outside_of_its_directory(tmp_path, name):
    packed = io.BytesIO()
    with zipfile.ZipFile(packed, "w") as archive:
        archive.writestr(name, "x")
    (tmp_path / "in").mkdir()
    with pytest.raises(LoadError, match="not taken"):
        extract(packed.getvalue(), tmp_path / "in")
    assert [path.name for path in tmp_path.iterdir()] == ["in"]
