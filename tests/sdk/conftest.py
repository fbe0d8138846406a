"""The SDK alone: no Django, no database; a home of its own for each test, and a fake API where one is needed."""

from __future__ import annotations

import os
import subprocess
import sys
import textwrap
import time
from pathlib import Path

import pytest

from orchestrator import config, context, journal
from tests.sdk.fake_server import FakeServer

ROOT = Path(__file__).resolve().parents[2]


@pytest.fixture(autouse=True)
def home(tmp_path, monkeypatch):
    """No API, no profile, no journals but this test's."""
    for name in list(os.environ):
        if name.startswith("ORCHESTRATOR_API") or name in ("ORCHESTRATOR_PROFILE", "ORCHESTRATOR_AGENT_NAME"):
            monkeypatch.delenv(name)
    monkeypatch.setenv("ORCHESTRATOR_HOME", str(tmp_path / "home"))
    monkeypatch.setenv("ORCHESTRATOR_EXIT_SECONDS", "5")
    yield tmp_path / "home"
    config.use_api(None)
    context.adopt_strays(None)


@pytest.fixture
def server(monkeypatch):
    """A fake API that the environment names."""
    fake = FakeServer()
    monkeypatch.setenv("ORCHESTRATOR_API_URL", fake.url)
    monkeypatch.setenv("ORCHESTRATOR_API_KEY", "orc_test")
    yield fake
    fake.refuse.clear()
    journal.flush(5)
    fake.close()


@pytest.fixture
def python(tmp_path):
    """Run a script in a fresh interpreter; the finished process."""

    def run(script, *arguments, timeout=60, check=True, **environment):
        path = tmp_path / f"script_{time.monotonic_ns()}.py"
        path.write_text(textwrap.dedent(script))
        done = subprocess.run(
            [sys.executable, str(path), *arguments],
            env={**os.environ, "PYTHONPATH": str(ROOT), **environment},
            capture_output=True,
            text=True,
            timeout=timeout,
        )
        if check:
            assert done.returncode == 0, done.stderr
        return done

    return run


@pytest.fixture
def until():
    """Wait for a condition; fail when it doesn't come true in time."""

    def wait(condition, seconds=10.0):
        end = time.monotonic() + seconds
        while time.monotonic() < end:
            value = condition()
            if value:
                return value
            time.sleep(0.02)
        raise AssertionError("what was waited for did not happen")

    return wait
