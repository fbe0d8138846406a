"""`manage.py up` as a person uses it: from start to Ctrl-C."""

import json
import os
import signal
import subprocess
import sys
import time
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import psutil
import pytest

from orchestrator.server import environment, local
from orchestrator.server.embedded import ports
from orchestrator.server.embedded.stack import ADDRESS_NAMES, Stack

START_SECONDS = 60
pytestmark = pytest.mark.skipif(
    not (environment.BASE_DIR / "staticfiles" / "staticfiles.json").exists(), reason="`make install` builds the assets"
)


@pytest.fixture(scope="module")
def log(open_directory: Path) -> Path:
    return open_directory / "up.log"


def command(open_directory: Path, *options: str) -> list[str]:
    return [sys.executable, "manage.py", "up", "--data-dir", str(open_directory / "whole"), "--no-agent", *options]


def clean_environment() -> dict[str, str]:
    """Without the addresses of the tests' stack, which `up` would use instead of starting stores."""
    ours = {*ADDRESS_NAMES, "ORCHESTRATOR_DATA_DIR", "ORCHESTRATOR_DATABASE_LOGIN"}
    return {name: value for name, value in os.environ.items() if name not in ours}


@contextmanager
def up(open_directory: Path, log: Path, **given: str) -> Iterator[subprocess.Popen[bytes]]:
    with log.open("wb") as output:
        process = subprocess.Popen(
            command(open_directory),
            cwd=environment.BASE_DIR,
            env=clean_environment() | given,
            stdout=output,
            stderr=subprocess.STDOUT,
            start_new_session=True,
        )
        try:
            wait_for(process, log)
            yield process
        finally:
            process.terminate()
            process.wait(30)


def wait_for(process: subprocess.Popen[bytes], log: Path) -> None:
    deadline = time.monotonic() + START_SECONDS
    while "Orchestrator runs: " not in log.read_text():
        assert process.poll() is None, log.read_text()
        assert time.monotonic() < deadline, log.read_text()
        time.sleep(0.1)


def answers(open_directory: Path) -> bool:
    url = json.loads((open_directory / "whole" / "stack.json").read_text())["PUBLIC_URL"]
    with urllib.request.urlopen(f"{url}/health/ready", timeout=5) as answer:
        return json.load(answer)["status"] == "ok"


def test_it_serves_refuses_a_second_one_and_stops_on_ctrl_c(open_directory: Path, log: Path):
    with up(open_directory, log) as process:
        assert answers(open_directory)
        second = subprocess.run(
            command(open_directory), cwd=environment.BASE_DIR, env=clean_environment(), capture_output=True, text=True
        )
        assert second.returncode == 1
        assert "runs already: http://127.0.0.1:" in second.stderr
        children = psutil.Process(process.pid).children(recursive=True)
        process.send_signal(signal.SIGINT)
        assert process.wait(30) == 0
    assert psutil.wait_procs(children, timeout=5)[1] == []
    assert log.read_text().endswith("Stopped.\n")


def test_it_recovers_from_kill_9_of_everything(open_directory: Path, log: Path):
    with up(open_directory, log) as process:
        whole = psutil.Process(process.pid)
        for each in [whole, *whole.children(recursive=True)]:
            with suppress(psutil.NoSuchProcess):
                each.kill()
    with up(open_directory, log):
        assert answers(open_directory)


def test_stores_that_are_given_are_used(open_directory: Path, log: Path, spare: Stack):
    given = {name: value for name, value in spare.addresses.items() if name != "PUBLIC_URL"}
    with up(open_directory, log, **given) as process:
        assert answers(open_directory)
        names = {child.name() for child in psutil.Process(process.pid).children()}
    assert not names & {"postgres", "valkey-server"}


def test_a_port_that_was_asked_for_and_is_taken_is_an_error(open_directory: Path, monkeypatch):
    monkeypatch.setattr(ports, "is_free", lambda host, port: port != 8000)
    assert local._choose_port("127.0.0.1", None) == 8001
    with pytest.raises(local.StackError, match=r"Port 8000 of 127\.0\.0\.1 is taken"):
        local._choose_port("127.0.0.1", 8000)
