"""Runs that outlive their agent: the next one of its name adopts them."""

import json
import os
import signal
import socket
import stat

import pytest

from orchestrator.agent.adoption import directory_of
from orchestrator.agent.agent import Agent
from orchestrator.agent.settings import Settings
from orchestrator.config import require_api
from tests.sdk.conftest import dead

FLOWS = """
    import os, time
    from pathlib import Path
    from orchestrator import flow

    @flow
    def lasts(path: str):
        Path(path).write_text(f"{os.getpid()}")
        n = 0
        try:
            while not Path(path + ".go").exists():
                n += 1
                print(f"still here {n}" + "." * 500)
                time.sleep(0.01)
        except BaseException as error:
            Path(path).write_text(f"{os.getpid()} {type(error).__name__}")
            raise
"""


@pytest.fixture
def running(platform, code, agent, until, tmp_path):
    """An agent and its run: (agent, run, path of what the run tells, its process)."""

    def start(process="warm", lease=20.0, **more):
        platform.lease_seconds = lease
        first = agent()
        path = tmp_path / "told"
        run = platform.trigger(code("lasts", FLOWS), {"path": str(path)}, process=process, **more)
        until(lambda: path.exists() and path.read_text())
        return first, run, path, int(path.read_text())

    return start


def go(path):
    path.with_name(path.name + ".go").touch()


@pytest.mark.parametrize("process", ["warm", "fresh", "reuse"])
def test_a_killed_agents_run_goes_on_under_the_next_one(platform, running, agent, until, process):
    first, run, path, pid = running(process)
    first.kill()
    first.wait()
    second = agent()
    until(lambda: "goes on under this agent" in second.output())
    until(lambda: "still here" in second.output())
    until(lambda: platform.heartbeats[-1:] == [[{"run": run, "attempt": 1}]])
    go(path)
    until(lambda: platform.run_states(run) == ["RUNNING", "COMPLETED"])
    until(lambda: dead(pid))
    second.terminate()
    assert second.wait(10) == 0
    assert platform.ended == []


def test_printing_does_not_fail_while_there_is_no_agent(platform, running, until):
    first, run, path, _ = running()
    first.kill()
    first.wait()
    go(path)
    until(lambda: platform.run_states(run) == ["RUNNING", "COMPLETED"])


def test_an_adopted_run_hears_signals(platform, running, agent, until):
    first, run, path, pid = running()
    first.kill()
    second = agent()
    until(lambda: "goes on under this agent" in second.output())
    platform.cancels.append(run)
    until(lambda: platform.run_states(run) == ["RUNNING", "CANCELLED"])
    assert path.read_text().split()[1] == "RunCancelled"
    until(lambda: dead(pid))


def test_the_exit_code_of_an_adopted_run_is_unknown_when_it_vanishes(platform, running, agent, until):
    first, run, _, pid = running()
    first.kill()
    second = agent()
    until(lambda: "goes on under this agent" in second.output())
    os.kill(pid, signal.SIGKILL)
    ended = until(lambda: platform.ended)[0]
    assert (ended["run"], ended["attempt"], ended["exit"]) == (run, 1, None)


def test_an_agent_that_is_hung_up_on_leaves_its_runs_to_the_next(platform, running, agent, until):
    first, run, path, pid = running()
    first.send_signal(signal.SIGHUP)
    assert first.wait(10) == 0
    assert not dead(pid)
    second = agent()
    until(lambda: "goes on under this agent" in second.output())
    go(path)
    until(lambda: platform.run_states(run) == ["RUNNING", "COMPLETED"])
    assert platform.ended == []


def test_2_3_an_adopted_run_keeps_its_bound(platform, running, working, until):
    first, run, path, _ = running(job_configuration={"memory_mib": 900}, job_variables={})
    first.kill()
    first.wait()
    second = working(name="tester")
    until(lambda: run in second.holdings._executions)
    assert second.holdings._executions[run].bound == 900 << 20
    go(path)
    until(lambda: platform.run_states(run) == ["RUNNING", "COMPLETED"])


def test_2_5_an_agent_that_lacks_its_pools_type_leaves_runs_to_the_next(platform, running, agent, until):
    first, run, path, _ = running()
    first.kill()
    platform.facts["pool_type"] = "lost"
    second = agent()
    assert second.wait(20) == 1
    assert "Error: The pool type 'lost' is not installed here" in second.output()
    platform.facts.clear()
    third = agent()
    until(lambda: "goes on under this agent" in third.output())
    go(path)
    until(lambda: platform.run_states(run) == ["RUNNING", "COMPLETED"])
    assert platform.ended == []


def test_an_adopted_run_is_drained_like_any_other(platform, running, agent, until):
    first, run, path, _ = running()
    first.kill()
    second = agent(ORCHESTRATOR_AGENT_DRAIN_SECONDS="0.5")
    until(lambda: "goes on under this agent" in second.output() and "works for the pool" in second.output())
    second.terminate()
    assert second.wait(15) == 0
    assert path.read_text().split()[1:] == ["RunTerminated"], second.output()[-2000:]
    assert [told["run"] for told in platform.ended] == [run]


def test_a_run_that_nobody_adopts_stops(platform, running, until):
    first, run, path, pid = running(lease=1.0)
    first.kill()
    until(lambda: dead(pid))
    assert path.read_text().split()[1] == "RunTerminated"
    assert platform.run_states(run) == ["RUNNING"]


def test_who_has_not_the_secret_is_sent_away(platform, working):
    agent = working()
    path = directory_of(agent.client.api.url, "default", "inside") / "socket"
    assert stat.S_IMODE(path.parent.stat().st_mode) == 0o700
    claim = {"run": "r", "attempt": 1, "name": "r", "job_variables": {}, "lease_seconds": 5.0}
    told = {"secret": "guessed", "pid": os.getpid(), "silent": 0.1, "claim": claim}
    with socket.socket(socket.AF_UNIX) as stranger:
        stranger.settimeout(5)
        stranger.connect(str(path))
        socket.send_fds(stranger, [json.dumps(told).encode() + b"\n"], [0])
        assert stranger.recv(100) == b""
    assert not agent.holdings


def test_a_second_agent_of_the_same_name_leaves_the_first_ones_runs_alone(platform, working, capsys):
    working()
    other = Agent(require_api(), Settings(name="inside"))
    assert other.adoption.open(lambda claimed, execution: True) is False
    assert "another agent named 'inside' runs on this machine" in capsys.readouterr().err
    other.watch.close()
    other.launcher.close()


def test_a_home_that_is_too_deep_for_sockets_is_left_for_the_temporary_directory(monkeypatch, tmp_path):
    monkeypatch.setenv("ORCHESTRATOR_HOME", str(tmp_path / ("deep" * 30)))
    directory = directory_of("http://x", "default", "a")
    assert str(os.getuid()) in directory.name
    assert len(str(directory / "socket")) <= 103
    assert directory != directory_of("http://x", "default", "b")
