"""2.9: Kill what can be killed in the middle of a flow: the run ends, honestly, and nothing that was told is lost."""

from __future__ import annotations

import os
import signal
from pathlib import Path
from typing import Any

import psutil
import pytest

from tests.chaos.conftest import Platform, wait_for

pytestmark = pytest.mark.chaos

BEFORE, ALL = [f"step {n}" for n in range(40)], [f"step {n}" for n in range(80)]


def steps(log: list[dict[str, Any]], attempt: int) -> list[str]:
    return [line["message"] for line in log if line["attempt"] == attempt and line["message"].startswith("step ")]


def check_second_attempt(platform: Platform, id: str) -> None:
    """Two attempts, both recorded: all that the first one said before it died, and the whole of the second."""
    run = platform.wait_until_ended(id)
    assert (run["state"]["type"], run["attempt"]) == ("COMPLETED", 2)
    log = platform.log(id)
    assert steps(log, 1) == BEFORE
    assert steps(log, 2) == ALL
    done = [task for task in platform.tasks(id) if task["state"]["type"] == "COMPLETED"]
    assert (len(done), len({task["id"] for task in done})) == (120, 120)
    platform.check_invariants()


def test_a_killed_flow_process_is_followed_by_the_next_attempt(platform: Platform, gate: Path) -> None:
    id = platform.trigger(platform.deploy(name="process", crash_retries=1), gate)
    platform.wait_at_gate(id)
    platform.flow_process(id).kill()
    platform.wait_at_gate(id, attempt=2)
    gate.touch()

    check_second_attempt(platform, id)


def test_without_retries_a_killed_process_is_an_honest_crash(platform: Platform, gate: Path) -> None:
    id = platform.trigger(platform.deploy(name="no-retries"), gate)
    platform.wait_at_gate(id)
    platform.flow_process(id).kill()

    run = platform.wait_until_ended(id)
    assert run["state"]["type"] == "CRASHED"
    assert run["state"]["message"]
    assert steps(platform.log(id), 1) == BEFORE
    platform.check_invariants()


def test_a_killed_agents_run_goes_on_under_the_next_agent(platform: Platform, gate: Path) -> None:
    id = platform.trigger(platform.deploy(name="agent"), gate)
    platform.wait_at_gate(id)
    process = platform.flow_process(id)
    platform.whole.child("agent").kill()
    wait_for("the next agent to adopt the run", lambda: "goes on under this agent" in platform.whole.lines())
    assert process.is_running()
    gate.touch()

    run = platform.wait_until_ended(id)
    assert (run["state"]["type"], run["attempt"]) == ("COMPLETED", 1)
    assert steps(platform.log(id), 1) == ALL
    platform.check_invariants()


def test_a_killed_agent_that_does_not_come_back_loses_neither_run_nor_words(platform: Platform, gate: Path) -> None:
    id = platform.trigger(platform.deploy(name="agent-lost", crash_retries=1), gate)
    platform.wait_at_gate(id)
    process = platform.flow_process(id)
    supervisor = psutil.Process(platform.whole.process.pid)
    agent = platform.whole.child("agent")
    supervisor.suspend()  # Else it would start the next agent at once.
    try:
        agent.kill()
        wait_for(
            "the flow's process to give up",
            lambda: not process.is_running() or process.status() == psutil.STATUS_ZOMBIE,
        )
    finally:
        supervisor.resume()
    platform.wait_at_gate(id, attempt=2)
    gate.touch()

    check_second_attempt(platform, id)


def test_a_killed_web_server_is_not_noticed_by_the_flow(platform: Platform, gate: Path) -> None:
    id = platform.trigger(platform.deploy(name="web"), gate)
    platform.wait_at_gate(id)
    web = platform.whole.child("web")
    for process in [*web.children(recursive=True), web]:
        process.kill()
    gate.touch()

    run = platform.wait_until_ended(id)
    assert (run["state"]["type"], run["attempt"]) == ("COMPLETED", 1)
    assert steps(platform.log(id), 1) == ALL
    assert run["tasks"] == {"COMPLETED": 80}
    platform.check_invariants()


def test_a_flow_goes_on_while_the_web_server_is_away(platform: Platform, gate: Path) -> None:
    """Stopped for longer than a lease: the run is Unreachable for a while, and everything is recorded after."""
    id = platform.trigger(platform.deploy(name="away"), gate)
    platform.wait_at_gate(id)
    web = platform.whole.child("web")
    processes = [web, *web.children(recursive=True)]
    for process in processes:
        process.send_signal(signal.SIGSTOP)
    try:
        gate.touch()
        query = "SELECT state_name FROM flow_run WHERE id = %s AND state_name = 'Unreachable'"
        wait_for("the lease to run out", lambda: platform.rows(query, id))
    finally:
        for process in reversed(processes):
            process.send_signal(signal.SIGCONT)

    run = platform.wait_until_ended(id)
    assert (run["state"]["type"], run["attempt"]) == ("COMPLETED", 1)
    assert steps(platform.log(id), 1) == ALL
    assert run["tasks"] == {"COMPLETED": 80}
    platform.check_invariants()


def test_a_cancelled_run_ends_within_its_grace(platform: Platform, gate: Path) -> None:
    id = platform.trigger(platform.deploy(name="cancel"), gate)
    platform.wait_at_gate(id)
    process = platform.flow_process(id)
    with platform.api as api:
        api.post(f"/flow-runs/{id}/cancel").raise_for_status()

    assert platform.wait_until_ended(id)["state"]["type"] == "CANCELLED"
    wait_for("the process to be gone", lambda: not psutil.pid_exists(process.pid))
    platform.check_invariants()


def test_a_cancelled_run_whose_process_was_killed_is_cancelled(platform: Platform, gate: Path) -> None:
    id = platform.trigger(platform.deploy(name="cancel-killed"), gate)
    platform.wait_at_gate(id)
    process = platform.flow_process(id)
    os.kill(process.pid, signal.SIGSTOP)  # It can't hear the signal.
    with platform.api as api:
        api.post(f"/flow-runs/{id}/cancel").raise_for_status()
    os.kill(process.pid, signal.SIGKILL)

    assert platform.wait_until_ended(id)["state"]["type"] == "CANCELLED"
    platform.check_invariants()


def test_after_a_power_cut_the_next_start_goes_on(platform: Platform, gate: Path) -> None:
    id = platform.trigger(platform.deploy(name="power", crash_retries=1), gate)
    platform.wait_at_gate(id)
    platform.whole.kill_all()
    platform.whole.start()
    platform.wait_at_gate(id, attempt=2)
    gate.touch()

    check_second_attempt(platform, id)
