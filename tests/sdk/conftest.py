"""The SDK alone: no Django, no database; a home of its own for each test, and a fake API where one is needed."""

from __future__ import annotations

import os
import re
import signal
import socket
import subprocess
import sys
import textwrap
import threading
import time
import urllib.error
import urllib.request
from pathlib import Path

import pytest

from orchestrator import config, context, journal, pool_types
from orchestrator.agent.agent import Agent
from orchestrator.agent.settings import Settings
from tests.sdk.fake_platform import FakePlatform
from tests.sdk.fake_server import FakeServer

ROOT = Path(__file__).resolve().parents[2]
_GUIDE = (ROOT / "docs" / "pool-types.md").read_text(encoding="utf-8")
_EXAMPLE = re.search(r"```python\n(.*?)```", _GUIDE, re.DOTALL)[1]
_MODULE = re.search(r"`(\w+)\.py`", _GUIDE)[1]
_ENTRY = re.search(r'"orchestrator.pool_types"]\n(.*?)\n', _GUIDE)[1].replace('"', "")


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
def platform(monkeypatch):
    """A fake API that agents can work for."""
    fake = FakePlatform()
    monkeypatch.setenv("ORCHESTRATOR_API_URL", fake.url)
    monkeypatch.setenv("ORCHESTRATOR_API_KEY", "orc_agent_key")
    yield fake
    fake.close()


@pytest.fixture
def code(tmp_path):
    """Write modules into a directory; a function makes what a deployment from there would be."""
    directory = tmp_path / "code"
    directory.mkdir()

    def deployed(name, text="", **more):
        if text:
            (directory / "flows.py").write_text(textwrap.dedent(text))
        source = {"type": "path", "path": str(directory)}
        return {"flow": name, "name": "d", "entrypoint": f"flows.py:{name}", "source": source, "parameters": {}, **more}

    return deployed


@pytest.fixture
def agent(platform, tmp_path):
    """Start agents as people do; stop them all."""
    started = []

    def start(*options, **environment):
        output = (tmp_path / f"agent-{len(started)}.log").open("w+")
        process = subprocess.Popen(
            [sys.executable, "-m", "orchestrator.cli", "agent", "start", "--name", "tester", *options],
            env={**os.environ, "PYTHONPATH": str(ROOT), "ORCHESTRATOR_AGENT_GRACE_SECONDS": "2", **environment},
            stdout=output,
            stderr=subprocess.STDOUT,
        )
        started.append((process, output))
        process.output = lambda: (tmp_path / output.name).read_text()
        return process

    yield start
    for process, output in started:
        process.kill()
        process.wait()
        output.close()


@pytest.fixture
def inside(until):
    """Have agents work in threads of this process, to be looked into. They stop at the end, and leave nothing."""
    started = []

    def start(agent):
        agent.thread = threading.Thread(target=agent.run, daemon=True)
        agent.thread.start()
        started.append(agent)
        until(lambda: agent.id)
        return agent

    yield start
    for agent in started:
        agent.stop()
        agent.stop()
        agent.thread.join(20)
        assert not agent.thread.is_alive()


@pytest.fixture
def working(platform, inside):
    """An agent for the fake platform in a thread of this process."""

    def start(launcher=None, **settings):
        known = Settings(**{"name": "inside", "grace": 2.0, "output": False, **settings})
        return inside(Agent(config.require_api(), known, launcher))

    return start


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

    def wait(condition, seconds=180.0):
        end = time.monotonic() + seconds
        while time.monotonic() < end:
            value = condition()
            if value:
                return value
            time.sleep(0.02)
        raise AssertionError("what was waited for did not happen")

    return wait


def dead(pid):
    """True when a process is gone, or waits for its parent to notice."""
    try:
        with open(f"/proc/{pid}/stat") as file:
            facts = file.read().rpartition(")")[2].split()
            return facts[0] == "Z" and int(facts[17]) <= 1  # Threads: until the last one is gone, nobody can notice.
    except (FileNotFoundError, ProcessLookupError):  # The latter when it goes between opening and reading.
        return True


@pytest.fixture(scope="session")
def moto():
    """The address of a server that speaks S3's protocol, in a process of its own."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    command = [sys.executable, "-m", "moto.server", "-H", "127.0.0.1", "-p", str(port)]
    process = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    url = f"http://127.0.0.1:{port}"
    try:
        _wait_for_moto(url, process)
        yield url
    finally:
        process.terminate()
        process.wait(10)


def _wait_for_moto(url, process):
    until = time.monotonic() + 60
    while True:
        try:
            with urllib.request.urlopen(f"{url}/moto-api/", timeout=5):
                return
        except urllib.error.HTTPError:
            return
        except OSError:
            assert process.poll() is None, "moto ended"
            assert time.monotonic() < until, "moto does not answer"
            time.sleep(0.1)


@pytest.fixture
def program(tmp_path, until):
    """Start a program that serves, as a person would, and wait until it does; it is told to stop as by Ctrl-C."""
    file, log = tmp_path / "program.py", tmp_path / "serve.log"
    started = []

    def start(text):
        file.write_text(text)
        with log.open("a") as output:
            process = subprocess.Popen(
                [sys.executable, str(file)],
                env={**os.environ, "PYTHONPATH": str(ROOT)},
                stdout=output,
                stderr=subprocess.STDOUT,
            )
        started.append(process)
        until(lambda: process.poll() is not None or log.read_text().count("works for the pool") == len(started))
        assert process.poll() is None, log.read_text()
        return process

    yield start
    for process in started:
        if process.poll() is None:
            process.send_signal(signal.SIGTERM)
            process.wait(30)


@pytest.fixture
def install(tmp_path, monkeypatch):
    """Install a distribution as pip does: its module, and what tells of it. Gone after the test."""
    site = tmp_path / "site"
    site.mkdir()
    monkeypatch.syspath_prepend(str(site))
    before = set(sys.modules)

    def installed(name: str, module: str, text: str, entry: str, group: str = pool_types.GROUP) -> None:
        (site / f"{module}.py").write_text(text)
        facts = site / f"{name.replace('-', '_')}-1.0.dist-info"
        facts.mkdir()
        (facts / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {name}\nVersion: 1.0\n")
        (facts / "entry_points.txt").write_text(f"[{group}]\n{entry}\n")

    yield installed
    for each in set(sys.modules) - before:
        if getattr(sys.modules[each], "__file__", None) and str(site) in str(sys.modules[each].__file__):
            del sys.modules[each]


@pytest.fixture
def nice(install):
    """The plug-in of the guide; the guide's text."""
    install("orchestrator-nice", _MODULE, _EXAMPLE, _ENTRY)
    return _GUIDE
