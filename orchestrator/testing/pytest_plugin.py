"""Fixtures for pytest, there wherever Orchestrator is installed. Nothing is loaded until a test asks for one."""

from __future__ import annotations

from collections.abc import Generator
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from orchestrator.testing import Clock, Server


@pytest.fixture
def orchestrator_clock() -> Generator[Clock]:
    """A clock that stands still until the test moves it; retries don't wait. See `testing.time_control`."""
    from orchestrator.testing import time_control

    with time_control() as clock:
        yield clock


@pytest.fixture
def orchestrator_server(request: pytest.FixtureRequest) -> Generator[Server]:
    """A server in memory, empty for each test. See `testing.server`."""
    from orchestrator.testing import server

    if "orchestrator_clock" in request.fixturenames:
        request.getfixturevalue("orchestrator_clock")  # The server is to live by it from its first moment.
    with server() as given:
        yield given
