"""1.17: flows that wait without a process, and go on in their next attempt."""

from __future__ import annotations

import asyncio
import threading
import time

import pytest

from orchestrator import flow, task, testing
from orchestrator.exceptions import PauseRefused
from orchestrator.flow_runs import apause_flow_run, resume_flow_run, suspend_flow_run
from orchestrator.testing import Server
from tests.sdk.pauses import WITHIN, beside, deployed, in_state, server, signal, step

__all__ = ["server"]  # a fixture


@flow
def approved() -> int:
    step()
    suspend_flow_run()
    return step(2)


def test_a_suspended_flow_ends_its_process_and_begins_anew(server: Server) -> None:
    """1.17: without a lease; the next attempt passes the place where it was suspended."""
    run = deployed(server, approved)
    assert server.work() == 1
    assert (run.state_type, run.state_name, run.lease) == ("PAUSED", "Suspended", None)
    assert server.work() == 0
    resume_flow_run(run.id)
    assert run.state_name == "Resuming"
    assert server.work() == 1
    server.assert_completed(run)
    assert (run.attempt, run.suspensions, run.error) == (2, 1, None)
    assert run.states.count("Suspended") == 1


def test_no_hook_is_called_and_no_retry_used_by_a_suspension(server: Server) -> None:
    """1.17."""
    called: list[str] = []
    tries: list[int] = []

    @flow(retries=1, on_failure=[lambda *_: called.append("failure")], on_completion=[lambda *_: called.append("done")])
    def hooked() -> None:
        suspend_flow_run()
        tries.append(1)
        if len(tries) == 1:
            raise ValueError

    run = deployed(server, hooked)
    server.work()
    assert called == []
    resume_flow_run(run.id)
    server.work()
    server.assert_completed(run)
    assert (called, len(tries)) == (["done"], 2)


def test_tasks_that_were_submitted_come_to_their_end_before_a_suspension(server: Server) -> None:
    """1.17: what was begun is done."""
    began, done = threading.Event(), []

    @task
    def slow() -> None:
        began.set()
        time.sleep(0.05)
        done.append(1)

    @flow
    def submits() -> None:
        if not done:
            slow.submit()
            began.wait(WITHIN)
        suspend_flow_run()

    run = deployed(server, submits)
    server.work()
    assert (run.state_name, done) == ("Suspended", [1])
    assert [each.state_type for each in server.tasks(run)] == ["COMPLETED"]


def test_a_subflow_suspends_its_root(server: Server) -> None:
    """1.17: the next attempt calls it again, and finds its answer by its place."""

    @flow
    def part() -> int:
        suspend_flow_run()
        return 1

    @flow
    def whole() -> int:
        return part() + part()

    run = deployed(server, whole)
    for _ in range(2):
        server.work()
        assert run.state_name == "Suspended"
        resume_flow_run(run.id)
    server.work()
    server.assert_completed(run)
    states = [each.state_name for each in server.runs("part")]
    assert states == ["Suspended", "Completed", "Suspended", "Completed", "Completed"]


def test_a_run_by_hand_is_not_suspended(server: Server) -> None:
    """1.17: no agent could start it again."""
    with pytest.raises(PauseRefused, match="pause_flow_run"):
        approved()


def test_a_suspended_run_that_nobody_resumes_has_failed(server: Server) -> None:
    """1.17."""

    @flow
    def impatient() -> None:
        suspend_flow_run(timeout=60)

    with testing.time_control() as clock:
        run = deployed(server, impatient)
        server.work()
        clock.advance(61)
        server.assert_state(run, "PauseTimedOut")


def test_a_run_is_suspended_from_outside_at_its_next_call(server: Server) -> None:
    """1.17: suspend_flow_run(flow_run_id)."""
    rounds: list[int] = []

    @flow
    def looping() -> int:
        rounds.append(1)
        if len(rounds) == 1:
            run = server.runs("looping")[0]
            suspend_flow_run(flow_run_id=run.id)
            signal("suspend")
        return step(5)

    run = deployed(server, looping)
    server.work()
    assert (run.state_name, len(rounds)) == ("Suspended", 1)
    resume_flow_run(run.id)
    server.work()
    server.assert_completed(run)


def test_the_twins_await(server: Server) -> None:
    """1.17."""

    @flow
    async def softly() -> None:
        await apause_flow_run()

    with beside(lambda: asyncio.run(softly())) as came:
        resume_flow_run(in_state(server, "PAUSED").id)
    assert came == [None]
