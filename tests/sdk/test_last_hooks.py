"""1.8: on_crashed and on_cancellation of runs whose process had to be killed: the agent calls them in a fresh one."""

from __future__ import annotations

import os
import signal
import textwrap

import pytest

from orchestrator import testing
from orchestrator.agent.agent import Agent
from orchestrator.agent.settings import Settings
from orchestrator.client import Client
from orchestrator.config import Api

FLOWS = """
    import asyncio, os, time
    from pathlib import Path
    from orchestrator import Variable, flow, get_run_logger, runtime

    def hear(flow, run, state):
        print("from a hook")
        told = [flow.name, run.name, str(run.id), run.parameters, sorted(run.tags), run.run_count, state.type.value]
        get_run_logger().info("heard %s pid %d %s", told, os.getpid(), runtime.flow_run.name == run.name)

    async def hear_later(flow, run, state):
        await asyncio.sleep(0)
        get_run_logger().warning("later %s: %s", state.name, state.message)

    def fails(flow, run, state):
        raise ValueError("a hook that fails")

    def asks(flow, run, state):
        get_run_logger().info("variable %s", Variable.get("colour"))

    def hangs(flow, run, state):
        time.sleep(60)

    def told(path):
        Path(path).write_text(str(os.getpid()))

    @flow(on_crashed=[hear, hear_later, fails, asks], on_cancellation=[hear], on_completion=[hear], log_prints=True)
    def stays(path: str, stubborn: bool = False, n: int = 0):
        told(path)
        while True:
            try:
                time.sleep(60)
            except BaseException:
                if not stubborn:
                    raise

    @flow(on_crashed=[hear], on_cancellation=[hear])
    async def waits(path: str):
        told(path)
        await asyncio.sleep(60)

    @flow(on_crashed=[hear], retries=1)
    def tried_again(path: str):
        told(path)
        time.sleep(60 if runtime.flow_run.run_count < 2 else 0)

    @flow(on_crashed=[hear])
    def grows(path: str):
        told(path)
        kept = []
        while True:
            kept.append(b"x" * (8 << 20))
            time.sleep(0.01)

    @flow(on_crashed=[hangs])
    def hung(path: str):
        told(path)
        time.sleep(60)

    @flow
    def plain(path: str):
        told(path)
        time.sleep(60)
"""


@pytest.fixture
def served():
    with testing.server(serve=True, lease_seconds=4, wait_seconds=0.5) as server:
        yield server


@pytest.fixture
def agent(served, inside):
    """Agents in threads of this process."""
    started = []

    def start(**settings):
        known = Settings(**{"name": "inside", "grace": 0.5, "output": False, "hooks": 10.0, **settings})
        started.append(inside(Agent(Api(served.url, served.new_key("agent")), known)))
        return started[-1]

    def leave():
        started[-1].leave()
        started[-1].thread.join(20)

    start.leave = leave
    return start


@pytest.fixture
def begin(served, agent, tmp_path, until):
    """Trigger a run of a flow, and wait until its process is in it: the run, and its process."""
    (tmp_path / "flows.py").write_text(textwrap.dedent(FLOWS))

    def trigger(name, settings=None, parameters=None, **more):
        agent(**(settings or {}))
        source = {"type": "path", "path": str(tmp_path)}
        body = {"flow": name, "name": "d", "entrypoint": f"flows.py:{name}", "source": source, **more}
        with Client(served.api) as client:
            client.post("/deployments", body)
        path = tmp_path / "pid"
        run = served.trigger(f"{name}/d", {"path": str(path), **(parameters or {})}, tags=["t"])
        pid = until(lambda: path.exists() and path.read_text())
        path.unlink()
        until(lambda: served.run(run).state_name == "Running")  # Until then it would be given out again.
        return run, int(pid)

    return trigger


def heard(server, run):
    return [line.message for line in server.logs(run) if line.message.startswith("heard")]


def test_a_process_killed_by_sigkill(served, begin, until):
    """1.8: sync and async hooks, with flow, run and state as in a live one; a failing one stops no other."""
    with Client(served.api) as client:
        client.put("/variables/colour", {"value": "blue"})
    run, pid = begin("stays", parameters={"n": "7"})
    os.kill(pid, signal.SIGKILL)
    until(lambda: any(line.message == "variable blue" for line in served.logs(run)))
    served.assert_state(run, "CRASHED")
    (line,) = heard(served, run)
    path = served.run(run).parameters["path"]
    wanted = [
        "stays",
        served.run(run).name,
        str(run.id),
        {"path": path, "stubborn": False, "n": 7},
        ["t"],
        1,
        "CRASHED",
    ]
    assert line.startswith(f"heard {wanted} pid ")
    assert line.endswith("True")
    assert f"pid {pid} " not in line
    served.assert_logged(run, "later Crashed: The process was ended by SIGKILL.")
    served.assert_logged(run, "a hook that fails")
    served.assert_logged(run, "from a hook")
    served.assert_logged(run, "The process of this run is gone")


def test_a_cancel_that_ends_in_sigkill_after_the_grace(served, begin, until):
    """1.8: on_cancellation, once."""
    run, _ = begin("stays", parameters={"stubborn": True})
    served.cancel(run)
    until(lambda: heard(served, run))
    served.assert_state(run, "CANCELLED")
    assert "'CANCELLED'" in heard(served, run)[0]


@pytest.mark.parametrize("name", ["stays", "waits"])
def test_a_cancel_that_the_engine_obeys_calls_them_in_the_process_itself_and_only_there(served, begin, until, name):
    """1.8: sync and async flows; nobody calls them twice."""
    run, pid = begin(name)
    served.cancel(run)
    until(lambda: heard(served, run))
    until(lambda: served.run(run).is_final)
    assert [f"pid {pid} " in line for line in heard(served, run)] == [True]
    assert not any("process of this run is gone" in line.message for line in served.logs(run))


def test_a_process_that_used_too_much_memory(served, begin, until):
    """1.8: after the memory limit."""
    run, _ = begin("grows", job_variables={"memory_mib": 200})
    until(lambda: heard(served, run))
    assert "more than the 200 MiB" in served.run(run).state_message


def test_sigterm_from_outside_leaves_the_judgement_to_the_server(served, begin, until):
    """1.8: a process that was told to end, not killed: hooks of the crash are called once, when it is known for one."""
    run, pid = begin("stays")
    os.kill(pid, signal.SIGTERM)
    until(lambda: heard(served, run))
    served.assert_state(run, "CRASHED")
    assert [f"pid {pid} " in line for line in heard(served, run)] == [False]


@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGTERM])
def test_an_attempt_that_is_followed_by_another_calls_none(served, begin, until, number):
    """1.8, 1.6: attempts crash, the run does not."""
    run, pid = begin("tried_again", retries=1)
    os.kill(pid, number)
    until(lambda: served.run(run).state_type == "COMPLETED")
    assert heard(served, run) == []


def test_hooks_that_take_too_long_are_ended(served, begin, until):
    """1.8: bounded."""
    run, pid = begin("hung", settings={"hooks": 0.5})
    os.kill(pid, signal.SIGKILL)
    until(lambda: any("took longer than 0.5 s" in line.message for line in served.logs(run)))


def test_a_flow_without_hooks_is_left_in_peace(served, begin, until, agent):
    """1.8: nothing is logged where nothing hangs on the state."""
    run, pid = begin("plain")
    os.kill(pid, signal.SIGKILL)
    until(lambda: served.run(run).is_final)
    assert not any("hooks" in line.message for line in served.logs(run))


def test_code_that_is_gone_is_said_in_the_log(served, begin, until, tmp_path):
    """1.8: the hooks can't be loaded any more."""
    run, pid = begin("stays")
    (tmp_path / "flows.py").unlink()
    os.kill(pid, signal.SIGKILL)
    until(lambda: any("Hooks can't be called" in line.message for line in served.logs(run)))


def test_the_next_agent_calls_them_for_what_it_finds(served, begin, until, agent):
    """1.8: the agent is gone as well; its successor finds the journal of the run's process."""
    run, pid = begin("stays")
    until(lambda: served.run(run).state_type == "RUNNING")
    agent.leave()
    os.kill(pid, signal.SIGKILL)
    agent()
    until(lambda: heard(served, run))
    served.assert_state(run, "CRASHED")
