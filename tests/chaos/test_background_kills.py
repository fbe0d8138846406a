"""1.19: background tasks while the web server and those who execute them are killed: each call ends, none is lost."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from orchestrator.background import get_background_task
from orchestrator.config import Api, use_api
from orchestrator.futures import wait
from orchestrator.server.environment import BASE_DIR
from tests.chaos.conftest import PATIENCE, Platform, gated_flows, wait_for

pytestmark = pytest.mark.chaos

CALLS, LIMIT = 24, 4
SERVE = f"from gated_flows import counted; counted.serve(limit={LIMIT}, crash_retries=5)"


@pytest.fixture
def attached(platform: Platform) -> Iterator[None]:
    use_api(Api(f"{platform.whole.url}/api/v1", platform.key))
    yield
    use_api(None)


@contextmanager
def serving(platform: Platform, log: Path) -> Iterator[Callable[[], subprocess.Popen[bytes]]]:
    """Start processes that serve the task; none survives."""
    variables = {"ORCHESTRATOR_API_URL": f"{platform.whole.url}/api/v1", "ORCHESTRATOR_API_KEY": platform.key}
    started: list[subprocess.Popen[bytes]] = []

    def start() -> subprocess.Popen[bytes]:
        with log.open("ab") as output:
            started.append(
                subprocess.Popen(
                    [sys.executable, "-c", SERVE],
                    cwd=Path(__file__).parent,
                    env={
                        **os.environ,
                        **variables,
                        "ORCHESTRATOR_HOME": str(platform.home),
                        "PYTHONPATH": str(BASE_DIR),
                    },
                    stdout=output,
                    stderr=subprocess.STDOUT,
                )
            )
        return started[-1]

    try:
        yield start
    finally:
        for process in started:
            process.kill()
            process.wait()


def visits(folder: Path) -> list[int]:
    """How often each call was executed."""
    return [len(path.read_text().splitlines()) for path in folder.glob("*.txt")]


def test_calls_survive_the_kill_of_the_web_server_and_of_those_who_serve_them(
    platform: Platform, tmp_path: Path, attached: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    """1.19: both at once, while calls are queued. What was under way may be executed twice: it is counted."""
    monkeypatch.setenv("ORCHESTRATOR_HOME", str(platform.home))
    folder = tmp_path / "visits"
    folder.mkdir()
    queued = gated_flows.counted.delay_map(str(folder), range(CALLS), 0.1)
    with serving(platform, tmp_path / "serve.log") as start:
        first = start()
        wait_for("some calls to be executed", lambda: len(visits(folder)) >= CALLS // 3)
        first.kill()
        web = platform.whole.child("web")
        for process in [*web.children(recursive=True), web]:
            process.kill()
        queued.append(gated_flows.counted.delay(str(folder), CALLS))  # It comes through when there is a web server.
        start()
        futures = [get_background_task(future.run_id) for future in queued]
        assert not wait(futures, timeout=PATIENCE).not_done

    assert [future.result() for future in futures] == [*range(CALLS + 1)]
    assert len(visits(folder)) == CALLS + 1
    twice = sum(visits(folder)) - CALLS - 1
    again = sum(platform.run(future.run_id)["attempt"] - 1 for future in futures)
    assert twice <= again <= 2 * LIMIT
    platform.check_invariants()


def test_what_a_run_of_an_agent_delays_is_executed_by_agents(platform: Platform, tmp_path: Path) -> None:
    """1.19: from the same code, though nobody deployed or served the task."""
    id = platform.trigger(platform.deploy(gated_flows.delays, name="agents"), folder=str(tmp_path), count=3)
    assert platform.wait_until_ended(id)["state"]["type"] == "COMPLETED"
    wait_for("the calls to be executed", lambda: len(visits(tmp_path)) == 3)
