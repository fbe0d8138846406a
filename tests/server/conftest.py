"""A stack beside the one that the other tests use, to be stopped, killed and broken."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from orchestrator.server.embedded import data_directory
from orchestrator.server.embedded.console import Console
from orchestrator.server.embedded.processes import Supervisor
from orchestrator.server.embedded.stack import Stack


@pytest.fixture
def spare(open_directory: Path) -> Iterator[Stack]:
    """A running stack; its data outlives the test, so that only the first one waits for initdb."""
    directory = open_directory / "data"
    data_directory.prepare(directory)
    supervisor = Supervisor(Console())
    try:
        yield start(directory, supervisor)
    finally:
        supervisor.stop_all()


def start(directory: Path, supervisor: Supervisor) -> Stack:
    stack = Stack(directory, supervisor, {})
    stack.start_stores()
    stack.publish("http://127.0.0.1:1")
    return stack
