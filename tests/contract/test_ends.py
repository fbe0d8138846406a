"""2.9: How runs of agents end: cancelled, by the end of a process, by silence (design §4)."""

from __future__ import annotations

from typing import Any

import pytest

from orchestrator.agent_messages import HOOKS_WITHIN
from orchestrator.ids import uuid7
from tests.contract.journals import Journal
from tests.contract.test_agents import begin, held_run
from tests.contract.worlds import World

# ── cancel ───────────────────────────────────────────────────────────────────────────────────────


def test_an_unclaimed_run_is_cancelled_at_once(world: World) -> None:
    world.deploy()
    run = world.trigger()
    told = world.api.post(f"/flow-runs/{run}/cancel").json()
    assert told["state"]["type"] == "CANCELLED"
    assert world.agent().claim() == []
    again = world.api.post(f"/flow-runs/{run}/cancel")
    assert (again.status_code, again.json()["error"]["code"]) == (409, "conflict")


def test_the_holder_of_a_claimed_run_is_told(world: World) -> None:
    agent, claim = held_run(world)
    journal = begin(world, claim)
    assert world.api.post(f"/flow-runs/{claim['run']}/cancel").json()["state"]["type"] == "CANCELLING"
    signal = {"run": claim["run"], "signal": "cancel"}
    assert agent.beat(claim)["signals"] == [signal]
    assert journal.send(journal.log("stopping"))["signals"] == [signal]
    journal.send(journal.state("CANCELLED", run_count=1))
    assert world.state(claim["run"]) == ("CANCELLED", "Cancelled")


def test_a_run_that_finishes_before_it_is_cancelled_has_finished(world: World) -> None:
    _, claim = held_run(world)
    journal = begin(world, claim)
    world.api.post(f"/flow-runs/{claim['run']}/cancel")
    assert journal.send(journal.state("COMPLETED", run_count=1))["rejected"] == []
    assert world.state(claim["run"]) == ("COMPLETED", "Completed")


def test_a_subflow_is_cancelled_with_its_execution(world: World) -> None:
    _, claim = held_run(world)
    journal, child = begin(world, claim), uuid7()
    journal.send(journal.subflow(child))
    world.api.post(f"/flow-runs/{child}/cancel")
    assert world.state(claim["run"]) == ("CANCELLING", "Cancelling")
    assert world.state(child) == ("RUNNING", "Running")


def test_a_silent_holder_of_a_cancelling_run_is_not_waited_for(world: World) -> None:
    _, claim = held_run(world, retries=3)
    begin(world, claim)
    world.api.post(f"/flow-runs/{claim['run']}/cancel")
    world.pass_time(61)
    assert world.state(claim["run"]) == ("CANCELLED", "Cancelled")


# ── the end of a process ─────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize(
    ("told", "state", "message"),
    [
        ({"reason": "killed", "exit": -9}, "CRASHED", "The process ended with exit code -9."),
        ({"reason": "exited", "exit": 1, "message": "a\x00b"}, "CRASHED", "a\ufffdb"),
    ],
)
def test_the_end_of_a_process_without_a_last_word(world: World, told: Any, state: str, message: str) -> None:
    agent, claim = held_run(world)
    begin(world, claim)
    for _ in range(2):
        response = agent.tell_end(claim, **told)
        assert (response.status_code, list(response.json())) == (200, ["hooks"])
    run = world.run(claim["run"])["state"]
    assert (run["type"], run["message"]) == (state, message)


def test_who_tells_of_a_runs_lost_process_is_asked_to_call_its_hooks(world: World) -> None:
    """1.8: with what it needs for them; again, should the answer be lost; and the token acts for the run meanwhile."""
    agent, claim = held_run(world)
    begin(world, claim)
    told = [agent.tell_end(claim, exit=-9).json()["hooks"] for _ in range(2)]
    assert told[0] == told[1]
    state = told[0]["state"]
    assert (state["type"], state["name"], state["message"]) == (
        "CRASHED",
        "Crashed",
        "The process ended with exit code -9.",
    )
    assert told[0]["run"] == {**claim, "token": "", "run_count": 1}
    by_run = world.with_key(claim["token"])
    assert by_run.get("/variables/none").status_code == 404
    world.pass_time(HOOKS_WITHIN + 1)
    assert by_run.get("/variables/none").status_code == 403
    assert agent.tell_end(claim, exit=-9).json() == {"hooks": None}


def test_a_cancelled_run_that_had_to_be_killed_has_hooks_to_be_called(world: World) -> None:
    """1.8: on_cancellation after SIGKILL."""
    agent, claim = held_run(world)
    begin(world, claim)
    world.api.post(f"/flow-runs/{claim['run']}/cancel")
    assert agent.tell_end(claim, exit=-9).json()["hooks"]["state"]["type"] == "CANCELLED"


@pytest.mark.parametrize("last", ["COMPLETED", "FAILED", "CANCELLED", None])
def test_hooks_are_not_asked_for_where_the_engine_had_the_last_word_or_the_run_goes_on(
    world: World, last: str | None
) -> None:
    """1.8: exactly when nobody else calls them."""
    agent, claim = held_run(world, retries=1)
    journal = begin(world, claim)
    if last is not None:
        journal.send(journal.state(last, run_count=1))
    assert agent.tell_end(claim, exit=-9).json() == {"hooks": None}
    assert world.state(claim["run"])[0] == (last or "SCHEDULED")


def test_a_holder_may_name_a_run_that_the_server_has_made(world: World) -> None:
    """1.22: by its flow's template, with a state that counts."""
    _, claim = held_run(world)
    journal = Journal.of_claim(world, claim)
    journal.send(journal.state("RUNNING", run_count=1, label="load-monday\x00"))
    assert world.run(claim["run"])["name"] == "load-monday\ufffd"
    journal.send(journal.state("COMPLETED", run_count=1))
    journal.send(journal.state("RUNNING", run_count=1, label="too late"))
    assert world.run(claim["run"])["name"] == "load-monday\ufffd"


def test_what_a_process_told_of_itself_counts(world: World) -> None:
    agent, claim = held_run(world)
    journal = begin(world, claim)
    journal.send(journal.state("FAILED", run_count=1, message="ValueError: no"))
    agent.tell_end(claim, exit=1)
    assert world.state(claim["run"]) == ("FAILED", "Failed")


def test_a_process_that_never_started_goes_back_to_the_queue_three_times(world: World) -> None:
    agent, claim = held_run(world)
    for pause in (6, 11):
        agent.tell_end(claim, reason="never_started", message="no memory")
        assert world.state(claim["run"]) == ("SCHEDULED", "Scheduled")
        assert agent.claim() == []
        world.pass_time(pause)
        (claim,) = agent.claim()
        assert claim["run_count"] == 0
    agent.tell_end(claim, reason="never_started", message="no memory")
    assert world.state(claim["run"]) == ("CRASHED", "Crashed")
    assert world.run(claim["run"])["state"]["message"] == "no memory Claimed 3 times, never started."


def test_a_crash_is_followed_by_the_next_attempt_while_retries_are_left(world: World) -> None:
    agent, claim = held_run(world, retries=1, retry_delay=30)
    begin(world, claim)
    agent.tell_end(claim, exit=-11)
    assert world.state(claim["run"]) == ("SCHEDULED", "AwaitingRetry")
    world.pass_time(31)
    (again,) = agent.claim()
    assert (again["attempt"], again["run_count"]) == (2, 1)
    begin(world, again)
    agent.tell_end(again, exit=-11)
    assert world.state(claim["run"]) == ("CRASHED", "Crashed")


def test_a_deployment_grants_more_for_crashes(world: World) -> None:
    agent, claim = held_run(world, crash_retries=1)
    begin(world, claim)
    agent.tell_end(claim, exit=-11)
    assert world.state(claim["run"]) == ("SCHEDULED", "AwaitingRetry")


def test_an_end_is_told_by_whoever_held_the_attempt(world: World) -> None:
    _, claim = held_run(world)
    assert world.agent(name="box-2").tell_end(claim).status_code == 404
    assert world.state(claim["run"]) == ("PENDING", "Pending")


# ── silence ──────────────────────────────────────────────────────────────────────────────────────


def test_a_claim_that_is_not_begun_goes_back_to_the_queue(world: World) -> None:
    agent, claim = held_run(world)
    world.pass_time(61)
    assert world.state(claim["run"]) == ("SCHEDULED", "Scheduled")
    assert agent.beat(claim)["lost"] == [{"run": claim["run"], "attempt": 1}]
    world.pass_time(6)
    (again,) = agent.claim()
    assert (again["attempt"], again["run_count"]) == (2, 0)


def test_a_silent_holder_is_replaced_while_retries_are_left(world: World) -> None:
    agent, claim = held_run(world, retries=1)
    journal = begin(world, claim)
    world.pass_time(61)
    assert world.state(claim["run"]) == ("SCHEDULED", "AwaitingRetry")
    (again,) = agent.claim()
    assert (again["attempt"], again["run_count"]) == (2, 1)
    begin(world, again)
    # The one before still has a word, in its own attempt.
    answer = journal.send(journal.log("last words"), journal.task(), journal.state("COMPLETED", run_count=1))
    assert answer["acked"] == {journal.stream: 4}
    assert [r["code"] for r in answer["rejected"]] == ["superseded"]
    assert answer["signals"] == [{"run": claim["run"], "signal": "superseded"}]
    assert world.state(claim["run"]) == ("RUNNING", "Running")
    assert world.lines(claim["run"]) == ["last words"]
    assert world.late_words(claim["run"], attempt=1) == ["COMPLETED"]
    assert [task["attempt"] for task in world.tasks(claim["run"])] == [1]


def test_a_silent_holder_without_retries_may_come_back(world: World) -> None:
    agent, claim = held_run(world)
    journal = begin(world, claim)
    world.pass_time(61)
    assert world.state(claim["run"]) == ("RUNNING", "Unreachable")
    journal.send(journal.log("here again"))
    assert world.state(claim["run"]) == ("RUNNING", "Running")
    world.pass_time(61)
    assert world.state(claim["run"]) == ("RUNNING", "Unreachable")
    assert agent.beat(claim)["lost"] == []
    assert world.history(claim["run"])[2:] == ["Running", "Unreachable", "Running", "Unreachable", "Running"]


def test_a_holder_that_stays_silent_is_lost(world: World) -> None:
    agent, claim = held_run(world)
    journal = begin(world, claim)
    world.pass_time(61)
    world.pass_time(601)
    assert world.state(claim["run"]) == ("CRASHED", "Crashed")
    assert agent.beat(claim)["lost"] == [{"run": claim["run"], "attempt": 1}]
    assert journal.send(journal.log("too late"))["signals"] == [{"run": claim["run"], "signal": "over"}]


@pytest.mark.parametrize("speaks", [True, False])
def test_cancelling_a_lost_holder_is_over_after_one_lease(world: World, speaks: bool) -> None:
    """Who wants it gone doesn't wait for as long as the holder might come back; who comes back is told to stop."""
    agent, claim = held_run(world)
    begin(world, claim)
    world.pass_time(61)
    world.api.post(f"/flow-runs/{claim['run']}/cancel")
    world.pass_time(59)
    assert world.state(claim["run"])[0] == "CANCELLING"
    if speaks:
        assert agent.beat(claim)["signals"] == [{"run": claim["run"], "signal": "cancel"}]
    world.pass_time(2)
    assert world.state(claim["run"])[0] == ("CANCELLING" if speaks else "CANCELLED")


def test_a_run_that_nobody_takes_is_late(world: World) -> None:
    world.deploy()
    run = world.trigger()
    world.pass_time(16)
    assert world.state(run) == ("SCHEDULED", "Late")
    assert [claim["run"] for claim in world.agent().claim()] == [run]


def test_an_agent_renews_for_its_processes_whatever_they_say(world: World) -> None:
    _, claim = held_run(world)
    journal = begin(world, claim)
    world.pass_time(40)
    journal.send(journal.log("I am here"))
    world.pass_time(30)
    assert world.state(claim["run"]) == ("RUNNING", "Unreachable")


def test_an_attempt_that_was_replaced_speaks_for_itself(world: World) -> None:
    """Of a subflow that was never made it speaks to the root; what it leaves open is closed with it."""
    agent, claim = held_run(world, retries=1)
    former = begin(world, claim)
    world.pass_time(61)
    (again,) = agent.claim()
    present, child = begin(world, again), uuid7()
    own = present.task("RUNNING", ended=None, duration=None)
    present.send(own)
    former.send(former.task("RUNNING", ended=None, duration=None), former.log("from a subflow", run=child))
    assert world.run(claim["run"])["tasks"] == {"RUNNING": 1, "CRASHED": 1}
    present.send(present.task("COMPLETED", id=own.id), present.state("COMPLETED", run_count=2))

    assert world.lines(claim["run"]) == ["from a subflow"]
    assert world.run(claim["run"])["tasks"] == {"COMPLETED": 1, "CRASHED": 1}
    assert world.api.get(f"/flow-runs/{child}").status_code == 404
