"""Each scenario is run against the server in memory and against the real one."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from orchestrator import testing
from tests.contract.journals import Journal
from tests.contract.slot_process import Process
from tests.contract.worlds import MemoryWorld, RealWorld, World

BOTH = [pytest.param("memory", id="memory"), pytest.param("real", id="real", marks=pytest.mark.django_db)]
WAIT_SECONDS = 0.05


@pytest.fixture(params=BOTH)
def world(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> Iterator[World]:
    """The server that the scenario is about."""
    if request.param == "memory":
        with testing.time_control() as clock, testing.server(wait_seconds=WAIT_SECONDS) as server:
            yield MemoryWorld(server, clock)
        return
    from django.db import connection

    from runs import long_polls, waiting
    from tenants.authentication import forget_secrets

    forget_secrets()
    monkeypatch.setattr(long_polls, "WAIT_SECONDS", WAIT_SECONDS)
    if connection.in_atomic_block:
        monkeypatch.setattr("channels.db.close_old_connections", lambda: None)
    waiting._agents.clear()
    committed = request.getfixturevalue("django_capture_on_commit_callbacks")
    yield RealWorld(request.getfixturevalue("acme"), committed)


@pytest.fixture
def journal(world: World) -> Journal:
    """A local run's journal."""
    return Journal(world.api)


@pytest.fixture
def first(world: World) -> Process:
    return Process(world)


@pytest.fixture
def second(world: World) -> Process:
    return Process(world)
