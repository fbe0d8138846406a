"""1.19: arguments that `.delay` stored are removed when no run needs them any more, by those who can reach them."""

from __future__ import annotations

import os
import threading
import time
from pathlib import Path

import pytest

from orchestrator import leftovers, references, task, testing
from orchestrator.client import Client
from orchestrator.config import require_api
from orchestrator.result_storage import LocalDirectory
from orchestrator.results import get_result_store
from orchestrator.serving import _agent, _checked, _make_known
from orchestrator.testing import time_control

DAYS = 2 * 86_400


@task
def work(load):
    return len(load)


@pytest.fixture
def server(home):
    with testing.server() as server:
        yield server


@pytest.fixture(autouse=True)
def looks_anew(monkeypatch):
    monkeypatch.setattr(leftovers, "_next", {})
    monkeypatch.setattr(references, "_workspaces", {})
    monkeypatch.setattr(leftovers, "exchange_at", lambda url: None)
    yield
    looked()


def place() -> Path:
    """Where this process keeps values."""
    storage = get_result_store().storage
    assert isinstance(storage, LocalDirectory)
    return storage.base


def test_nothing_is_begun_for_a_server_in_memory(server, monkeypatch):
    """1.19: its directory is removed at its end, under whoever writes there."""
    monkeypatch.undo()
    work.delay({1, 2})
    assert [thread for thread in threading.enumerate() if thread.name == "orchestrator-leftovers"] == []


def stored() -> list[Path]:
    return sorted(place().rglob("*.0"))


def age(files: list[Path]) -> None:
    for each in files:
        os.utime(each, (time.time() - DAYS, time.time() - DAYS))


def looked() -> None:
    """Those threads are through that look after a storage."""
    for thread in threading.enumerate():
        if thread.name == "orchestrator-leftovers":
            thread.join(10)


def removed() -> int:
    return leftovers.remove(get_result_store(), require_api())


def test_what_no_run_needs_is_removed(server):
    """1.19: of calls that never became runs; in time, and not while they may be on their way."""
    future = work.delay({1, 2})
    references.put(work, {"load": {3}}, require_api())
    looked()
    assert (len(stored()), removed()) == (2, 0)
    age(stored())
    assert removed() == 1
    server.work()
    assert future.result(10) == 2
    assert removed() == 0
    server.memory.store.runs.clear()
    assert removed() == 1
    assert stored() == []


def test_other_workspaces_of_one_storage_keep_their_own(server, monkeypatch):
    """1.19: a bucket may be that of two installations."""
    work.delay({1})
    monkeypatch.setattr(references, "_workspaces", {require_api(): "another"})
    age(stored())
    assert removed() == 0
    assert len(stored()) == 1


def test_who_stores_arguments_looks_once_a_day(server):
    """1.19: one process of many, in a thread of its own."""
    with time_control() as clock:
        references.put(work, {"load": {1}}, require_api())
        looked()
        for passed, left in ((1, 2), (86_398, 3), (2, 1)):
            clock.advance(passed)
            leftovers._next.clear()  # Another process.
            age(stored())
            references.put(work, {"load": {1}}, require_api())
            looked()
            assert len(stored()) == left


def test_who_serves_a_task_looks_too(server):
    """1.19: those who store may be scripts that live for seconds."""
    work.delay({1, 2})
    references.put(work, {"load": {1}}, require_api())
    looked()
    age(stored())
    (place() / references.folder_of(require_api()) / "looked").unlink()
    leftovers._next.clear()
    deployments = _checked((work,))
    agent = _agent(require_api(), deployments, _make_known(require_api(), deployments), 1)
    runs = threading.Thread(target=agent.run)
    runs.start()
    try:
        assert work.delay([1]).result(20) == 1  # By then the first one has ended: one goes on at a time.
    finally:
        agent.stop()
        runs.join(20)
    looked()
    assert len(stored()) == 1


def test_a_storage_or_a_server_that_is_away_fails_no_call(server, monkeypatch):
    """1.19."""

    def away(*_, **__):
        raise OSError("away")

    monkeypatch.setattr("orchestrator.result_storage.local.LocalDirectory.list", away)
    future = work.delay({1, 2})
    looked()
    server.work()
    assert future.result(10) == 2


def test_arguments_on_the_server_are_its_own_affair(server):
    """1.19: it lists nothing, and lets them go with the rows of runs."""

    @task(result_storage="server")
    def small(load):
        return len(load)

    future = small.delay({1, 2})
    looked()
    with Client() as client:
        key = server.run(future.run_id).call["stored"]["load"]["key"]
        assert client.get(f"/results/{key}")
