"""1.17: who waits for people is killed meanwhile: nothing is stuck, and no answer is lost."""

from __future__ import annotations

from typing import Any

import psutil
import pytest

from tests.chaos.conftest import Platform, gated_flows, wait_for

pytestmark = pytest.mark.chaos


def asked(platform: Platform, id: str) -> list[dict[str, Any]]:
    """What the run has asked so far, the newest first."""
    with platform.api as api:
        return api.get(f"/flow-runs/{id}/inputs").raise_for_status().json()["items"]


def answer(platform: Platform, id: str, number: int) -> None:
    with platform.api as api:
        api.post(f"/flow-runs/{id}/resume", json={"value": {"value": number}}).raise_for_status()


def wait_until_asked(platform: Platform, id: str, attempt: int = 1) -> psutil.Process:
    """Until this attempt is paused, and its question is to be seen; its process."""

    def is_paused() -> bool:
        run = platform.run(id)
        return (run["state"]["type"], run["attempt"]) == ("PAUSED", attempt) and bool(asked(platform, id))

    wait_for("the question", is_paused)
    return platform.flow_process(id, attempt)


def check_nothing_is_held(platform: Platform, id: str) -> None:
    assert platform.rows("SELECT attempt FROM lease WHERE run_id = %s", id) == []
    assert [each["state"] for each in asked(platform, id) if each["state"] == "waiting"] == []
    platform.check_invariants()


def test_the_next_attempt_of_a_paused_run_asks_again(platform: Platform) -> None:
    """1.17: its slot is free meanwhile, and given to it alone."""
    id = platform.trigger(platform.deploy(gated_flows.asks, name="again", crash_retries=1, concurrency_limit=1))
    wait_until_asked(platform, id).kill()
    wait_until_asked(platform, id, attempt=2)
    assert platform.rows("SELECT DISTINCT attempt FROM lease WHERE run_id = %s", id) == [(2,)]
    answer(platform, id, 7)

    run = platform.wait_until_ended(id)
    assert (run["state"]["type"], run["attempt"]) == ("COMPLETED", 2)
    assert "answered 7" in [line["message"] for line in platform.log(id)]
    check_nothing_is_held(platform, id)


def test_without_retries_a_killed_paused_run_has_crashed_and_asks_nobody(platform: Platform) -> None:
    """1.17: an answer would change nothing any more, and is refused."""
    id = platform.trigger(platform.deploy(gated_flows.asks, name="once", concurrency_limit=1))
    wait_until_asked(platform, id).kill()

    assert platform.wait_until_ended(id)["state"]["type"] == "CRASHED"
    with platform.api as api:
        assert api.post(f"/flow-runs/{id}/resume", json={"value": {"value": 7}}).status_code == 409
    assert platform.rows("SELECT attempt FROM lease WHERE run_id = %s", id) == []
    platform.check_invariants()


def test_an_answer_that_came_while_nobody_held_the_run_is_found_by_the_next_attempt(platform: Platform) -> None:
    """1.17: the process and its agent are killed at once; the server finds out by the lease."""
    deployment = platform.deploy(gated_flows.asks, name="nobody", crash_retries=1, concurrency_limit=1)
    id = platform.trigger(deployment)
    process = wait_until_asked(platform, id)
    supervisor = psutil.Process(platform.whole.process.pid)
    agent = platform.whole.child("agent")
    supervisor.suspend()  # Else it would start the next agent at once.
    try:
        agent.kill()
        process.kill()
        wait_for("the lease to run out", lambda: platform.run(id)["state"]["type"] == "SCHEDULED")
        assert platform.rows("SELECT attempt FROM lease WHERE run_id = %s", id) == []
        answer(platform, id, 11)
    finally:
        supervisor.resume()

    run = platform.wait_until_ended(id)
    assert (run["state"]["type"], run["attempt"]) == ("COMPLETED", 2)
    assert "answered 11" in [line["message"] for line in platform.log(id)]
    assert len(asked(platform, id)) == 1
    check_nothing_is_held(platform, id)
