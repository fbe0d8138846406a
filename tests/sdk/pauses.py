"""Flows that wait for people, in tests: beside the test, until somebody answers."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from contextlib import contextmanager
from typing import Any

import pytest

from orchestrator import task, testing
from orchestrator.context import current_flow_run
from orchestrator.engine.stopping import Stopping
from orchestrator.testing import Server

WITHIN = 20.0  # seconds: far beyond what anything here takes


def wait_for(what: str, answer: Callable[[], Any]) -> Any:
    """Ask until the answer is true; answers it."""
    until = time.monotonic() + WITHIN
    while not (found := answer()):
        assert time.monotonic() < until, f"waited {WITHIN} s for {what}"
        time.sleep(0.005)
    return found


@contextmanager
def beside(call: Callable[[], Any]) -> Any:
    """A call in a thread of its own; what it came to is in the list, at the end."""
    came: list[Any] = []

    def perform() -> None:
        try:
            came.append(call())
        except BaseException as error:
            came.append(error)

    thread = threading.Thread(target=perform)
    thread.start()
    try:
        yield came
    finally:
        thread.join(WITHIN)
        assert not thread.is_alive()


def in_state(server: Server, state: str, flow: str | None = None) -> Any:
    """The one run, once it is in a state."""
    return wait_for(
        state, lambda: next((run for run in server.runs(flow) if state in (run.state_type, run.state_name)), None)
    )


@pytest.fixture
def server() -> Any:
    with testing.server() as given:
        yield given


def deployed(server: Server, flow: Any) -> Any:
    """A run of a new deployment, which waits for somebody to work."""
    flow.deploy("nightly")
    return server.trigger(f"{flow.name}/nightly")


def asked(server: Server, key: str = "pause-0") -> Any:
    """What the run asks there, once it does."""
    inputs = server.memory.store.inputs
    return wait_for(key, lambda: next((each for (_, known), each in inputs.items() if known == key), None))


@task
def step(number: int = 1) -> int:
    return number


def signal(word: str) -> None:
    """What the server would say with its next answer to the run that calls this."""
    stopping().signalled(word)


def stopping() -> Stopping:
    """What the execution knows that calls this."""
    run = current_flow_run()
    assert run is not None
    return run.root.stopping_state
