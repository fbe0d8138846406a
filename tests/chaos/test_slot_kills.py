"""1.18: who holds a slot of a limit in code is killed: whoever waits for it gets it, and nobody has it twice."""

from __future__ import annotations

from pathlib import Path

import psutil
import pytest

from tests.chaos.conftest import Platform, gated_flows, wait_for

pytestmark = pytest.mark.chaos
LIMIT = "seat"


@pytest.fixture
def seat(platform: Platform) -> str:
    with platform.api as api:
        api.put(f"/limits/{LIMIT}", json={"slots": 1}).raise_for_status()
    return LIMIT


def holders(platform: Platform) -> list[str]:
    """The runs that hold the slot now."""
    rows = platform.rows(
        "SELECT run_id FROM slot s WHERE name = %s AND held_at IS NOT NULL AND CASE WHEN leased THEN EXISTS ("
        " SELECT 1 FROM lease l WHERE l.run_id = s.run_id AND l.attempt = s.attempt AND l.expires_at > now())"
        " ELSE expires_at > now() END",
        LIMIT,
    )
    return [str(run) for (run,) in rows]


def sit(platform: Platform, gate: Path, seat: str, deployment: str) -> str:
    return platform.trigger(deployment, until=str(gate), name=seat)


def wait_until_another_waits(platform: Platform, id: str) -> None:
    waiting = "SELECT count(*) FROM slot WHERE run_id = %s AND held_at IS NULL"
    wait_for("the other one in the queue", lambda: platform.rows(waiting, id) == [(1,)])


def test_the_slot_of_a_killed_process_goes_to_who_waits(platform: Platform, gate: Path, seat: str) -> None:
    """1.18: its agent tells that it is gone, and the slot is free with it."""
    deployment = platform.deploy(gated_flows.seated, name="killed")
    first = sit(platform, gate, seat, deployment)
    platform.wait_at_gate(first)
    second = sit(platform, gate, seat, deployment)
    wait_until_another_waits(platform, second)
    assert holders(platform) == [first]
    platform.flow_process(first).kill()

    platform.wait_at_gate(second)
    assert holders(platform) == [second]
    assert platform.wait_until_ended(first)["state"]["type"] == "CRASHED"
    gate.touch()
    assert platform.wait_until_ended(second)["state"]["type"] == "COMPLETED"
    assert holders(platform) == []
    platform.check_invariants()


def test_the_slot_of_a_lost_machine_is_free_when_its_lease_ends(platform: Platform, gate: Path, seat: str) -> None:
    """1.18: agent and process are gone at once, and nobody tells."""
    deployment = platform.deploy(gated_flows.seated, name="lost", crash_retries=1)
    first = sit(platform, gate, seat, deployment)
    platform.wait_at_gate(first)
    process, agent = platform.flow_process(first), platform.whole.child("agent")
    supervisor = psutil.Process(platform.whole.process.pid)
    supervisor.suspend()  # Else it would start the next agent at once.
    try:
        agent.kill()
        process.kill()
        wait_for("the slot to be free", lambda: holders(platform) == [])
    finally:
        supervisor.resume()
    platform.wait_at_gate(first, attempt=2)
    assert holders(platform) == [first]
    gate.touch()
    assert platform.wait_until_ended(first)["state"]["type"] == "COMPLETED"
    assert holders(platform) == []
    platform.check_invariants()
