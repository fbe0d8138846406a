"""1.17: flows that wait for people, in their process or without one."""

from __future__ import annotations

import asyncio
import threading
import time
from collections.abc import Callable
from typing import Any

import pytest

from orchestrator import flow, task
from orchestrator.engine.flow_run import FlowRun
from orchestrator.exceptions import (
    FlowPauseTimeout,
    MissingContext,
    NotConfigured,
    NotPaused,
    PauseRefused,
    RunCancelled,
)
from orchestrator.flow_runs import aresume_flow_run, pause_flow_run, resume_flow_run
from orchestrator.journal.shipper import Shipper
from orchestrator.testing import Server
from tests.sdk.pauses import WITHIN, beside, in_state, server, signal, step, stopping, wait_for

__all__ = ["server"]  # a fixture


@flow
def waits() -> int:
    step()
    pause_flow_run(title="Look at it")
    return step(2)


# ── paused ───────────────────────────────────────────────────────────────────────────────────────


def test_a_flow_waits_in_its_process_until_it_is_resumed(server: Server) -> None:
    """1.17: PAUSED, with what it says; that time is no run time."""
    with beside(waits) as came:
        run = in_state(server, "PAUSED")
        assert (run.state_message, run.lease is not None) == ("Look at it", True)
        resume_flow_run(run.id)
    assert came == [2]
    assert server.run(run).states == ["Running", "Paused", "Running", "Completed"]
    at = [state[0] for state in run.history]
    assert run.duration <= (at[1] - at[0]) + (at[3] - at[2]) + 50_000


def test_several_pauses_of_a_run_are_told_apart(server: Server) -> None:
    """1.17: counted, or by the key that they are given."""

    @flow
    def twice() -> None:
        pause_flow_run()
        pause_flow_run(key="second look")
        pause_flow_run(key="second look")

    with beside(twice) as came:
        for key in ("pause-0", "second look"):
            wait_for(key, lambda key=key: any(k == key for _, k in server.memory.store.inputs))
            resume_flow_run(in_state(server, "PAUSED").id, key=key)
    assert came == [None]
    assert [key for _, key in server.memory.store.inputs] == ["pause-0", "second look"]


def test_an_async_flow_waits_without_holding_up_its_loop(server: Server) -> None:
    """1.17: what runs beside it goes on."""
    beats: list[int] = []

    @flow
    async def waits_softly() -> str:
        async def beat() -> None:
            while len(beats) < 3:
                await asyncio.sleep(0.001)
                beats.append(1)
            run = server.runs()[0]
            await asyncio.to_thread(wait_for, "PAUSED", lambda: run.state_type == "PAUSED")
            await aresume_flow_run(run.id)

        beating = asyncio.create_task(beat())
        await pause_flow_run()
        await beating
        return "on"

    assert asyncio.run(waits_softly()) == "on"
    assert server.runs()[0].states == ["Running", "Paused", "Running", "Completed"]


def test_a_subflow_pauses_its_root(server: Server) -> None:
    """1.17: both are PAUSED, and both go on."""

    @flow
    def part() -> int:
        pause_flow_run()
        return 1

    @flow
    def whole() -> int:
        return part() + part()

    with beside(whole) as came:
        for number in range(2):
            key = f"part-{number}/pause-0"
            wait_for(key, lambda key=key: any(k == key for _, k in server.memory.store.inputs))
            root = in_state(server, "PAUSED", "whole")
            resume_flow_run(root.id, key=key)
    assert came == [2]
    assert server.runs("whole")[0].states == ["Running", *["Paused", "Running"] * 2, "Completed"]
    assert [run.states for run in server.runs("part")] == [["Running", "Paused", "Running", "Completed"]] * 2


def test_nobody_resumes_it_in_time(server: Server) -> None:
    """1.17: FlowPauseTimeout, which the flow may catch; else it has failed, by a name that says why."""

    @flow
    def impatient() -> None:
        pause_flow_run(timeout=0.05)

    @flow
    def provides() -> str:
        try:
            pause_flow_run(timeout=0.05)
        except FlowPauseTimeout:
            return "went without"
        return ""

    with pytest.raises(FlowPauseTimeout):
        ticking(server, impatient)
    assert ticking(server, provides) == "went without"
    assert [run.state_name for run in server.runs()] == ["PauseTimedOut", "Completed"]


def ticking(server: Server, call: Callable[[], Any]) -> Any:
    """A call, while the server looks at its clock now and then."""
    over = threading.Event()

    def tick() -> None:
        while not over.wait(0.01):
            server.memory.tick()

    thread = threading.Thread(target=tick)
    thread.start()
    try:
        return call()
    finally:
        over.set()
        thread.join()


def test_a_paused_flow_is_cancelled(server: Server) -> None:
    """1.17: RunCancelled is raised where it waits."""
    with beside(waits) as came:
        server.cancel(in_state(server, "PAUSED"))
        server.run(server.runs()[0]).lines.clear()
        hurry(server)
    assert isinstance(came[0], RunCancelled)
    assert server.runs()[0].states == ["Running", "Paused", "Cancelling", "Cancelled"]


def hurry(server: Server) -> None:
    """Have this process hear now what it would hear within some seconds."""
    from orchestrator import journal

    for stream in list(journal.hub_of(server.api).streams.values()):
        if stream.stopping is not None:
            stream.stopping.signalled("cancel")


def test_a_pause_that_was_ended_is_passed_by_the_next_execution(server: Server) -> None:
    """1.17: nobody is asked twice, though the flow fails after it and is tried again."""
    tries: list[int] = []

    @flow(retries=1)
    def second_try() -> int:
        pause_flow_run()
        tries.append(1)
        if len(tries) == 1:
            raise ValueError
        return len(tries)

    with beside(second_try) as came:
        resume_flow_run(in_state(server, "PAUSED").id)
    assert came == [2]
    assert server.runs()[0].states.count("Paused") == 1


def test_the_time_of_a_pause_is_none_of_the_flows_timeout(server: Server) -> None:
    """1.17: its clock stands still."""

    @flow(timeout_seconds=0.3)
    def quick() -> str:
        pause_flow_run()
        return "in time"

    with beside(quick) as came:
        run = in_state(server, "PAUSED")
        over = time.monotonic() + 0.4
        wait_for("its timeout to pass", lambda: time.monotonic() > over)
        resume_flow_run(run.id)
    assert came == ["in time"]


def test_where_nobody_could_resume_it_it_is_not_paused(server: Server) -> None:
    """1.17: outside of a flow, in a task, without an API."""

    @task
    def pausing() -> None:
        pause_flow_run()

    @flow
    def by_a_task() -> None:
        pausing()

    with pytest.raises(MissingContext):
        pause_flow_run()
    with pytest.raises(PauseRefused, match="is a task"):
        by_a_task()
    with pytest.raises(NotPaused):
        resume_flow_run(server.runs()[0].id)


def test_without_a_server_a_flow_is_not_paused(monkeypatch: pytest.MonkeyPatch) -> None:
    """1.17."""
    monkeypatch.setattr("orchestrator.journal.current_api", lambda: None)
    with pytest.raises(NotConfigured, match="orchestrator login"):
        waits()


def test_a_server_that_is_away_is_waited_for(server: Server) -> None:
    """1.17: the process asks again, and hears the answer then."""

    @flow
    def patient() -> str:
        server.refuse("unavailable", times=3)
        pause_flow_run()
        return "heard"

    with beside(patient) as came:
        resume_flow_run(in_state(server, "PAUSED").id)
    assert came == ["heard"]


def test_a_flow_that_somebody_else_pauses_waits_at_its_next_call(server: Server) -> None:
    """1.17: of a task; what was asked for is done once."""

    @flow
    def looping() -> int:
        step()
        signal("pause")
        step()
        return step(3)

    with beside(looping) as came:
        run = in_state(server, "PAUSED")
        resume_flow_run(run.id)
    assert came == [3]
    assert server.run(run).states == ["Running", "Paused", "Running", "Completed"]


def test_a_wish_from_before_the_end_of_a_pause_pauses_nothing_once_more(
    server: Server, monkeypatch: pytest.MonkeyPatch
) -> None:
    """1.17: an answer that was under way meanwhile says `pause` still; one after the server knows better counts."""
    told, go_on, ship = threading.Event(), FlowRun.go_on, Shipper._ship
    told.set()

    def going_on(run: FlowRun) -> None:
        told.clear()
        go_on(run)

    def shipping(shipper: Shipper, pieces: Any) -> None:
        assert told.wait(WITHIN)
        ship(shipper, pieces)

    monkeypatch.setattr(FlowRun, "go_on", going_on)
    monkeypatch.setattr(Shipper, "_ship", shipping)

    @flow
    def looping() -> int:
        pause_flow_run()
        signal("pause")
        done = step()
        told.set()
        wait_for("the server to hear of it", lambda: signal("pause") or stopping().wish)
        monkeypatch.undo()
        return done + step()

    with beside(looping) as came:
        resume_flow_run(in_state(server, "PAUSED").id, key="pause-0")
        wait_for("the second one", lambda: len(server.memory.store.inputs) == 2)
        resume_flow_run(in_state(server, "PAUSED").id, key="asked-1-1-0")
    assert came == [2]
    assert server.runs()[0].states == ["Running", *["Paused", "Running"] * 2, "Completed"]


def test_an_async_flow_that_somebody_else_pauses_waits_with_all_its_calls(server: Server) -> None:
    """1.17: none of those that it gathers begins meanwhile."""

    @task
    async def softly(number: int) -> int:
        return number

    @flow
    async def gathering() -> list[int]:
        signal("pause")
        return await asyncio.gather(softly(1), softly(2))

    with beside(lambda: asyncio.run(gathering())) as came:
        run = in_state(server, "PAUSED")
        assert server.tasks(run) == []
        resume_flow_run(run.id)
    assert came == [[1, 2]]
