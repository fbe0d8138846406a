"""`manage.py up` as a person uses it: from start to Ctrl-C."""

import json
import signal
import time
import urllib.request
from pathlib import Path

import psutil
import pytest

from orchestrator.server import environment, local
from orchestrator.server.embedded import ports
from orchestrator.server.embedded.stack import Stack
from tests.stack import restore
from tests.whole_stack import WholeStack

pytestmark = pytest.mark.skipif(
    not (environment.BASE_DIR / "staticfiles" / "staticfiles.json").exists(), reason="`make install` builds the assets"
)


@pytest.fixture(scope="module")
def whole(open_directory: Path) -> WholeStack:
    return WholeStack(open_directory)


def answers(whole: WholeStack) -> bool:
    with urllib.request.urlopen(f"{whole.url}/health/ready", timeout=5) as answer:
        return json.load(answer)["status"] == "ok"


def test_it_serves_refuses_a_second_one_and_stops_on_ctrl_c(whole: WholeStack):
    whole.start("--no-agent")
    assert answers(whole)
    second = whole.manage("up", check=False)
    assert second.returncode == 1
    assert f"runs already: {whole.url}" in second.stderr
    children = psutil.Process(whole.process.pid).children(recursive=True)
    assert whole.stop(signal.SIGINT) == 0
    assert psutil.wait_procs(children, timeout=5)[1] == []
    assert whole.lines().endswith("Stopped.\n")


def test_it_recovers_from_kill_9_of_everything(whole: WholeStack):
    whole.start("--no-agent")
    whole.kill_all()
    with whole.running("--no-agent"):
        assert answers(whole)


def test_a_killed_web_server_comes_back_at_its_address(whole: WholeStack):
    with whole.running("--no-agent"):
        first = whole.child("web")
        first.kill()
        deadline = time.monotonic() + 20
        while not came_back(whole, first):
            assert time.monotonic() < deadline, whole.lines()
            time.sleep(0.05)
        assert answers(whole)


def came_back(whole: WholeStack, first: psutil.Process) -> bool:
    try:
        web = whole.child("web")
    except LookupError:
        return False
    return web != first and ports.listens(web.pid, whole.port)


def test_stores_that_are_given_are_used(open_directory: Path, spare: Stack, migrated: Path):
    restore(migrated, spare.data_dir, spare.postgres.admin_url)
    given = {name: value for name, value in spare.addresses.items() if name != "PUBLIC_URL"}
    with WholeStack(open_directory, **given).running("--no-agent") as whole:
        assert answers(whole)
        for store in ("postgres", "valkey"):
            with pytest.raises(LookupError):
                whole.child(store)


def test_a_port_that_was_asked_for_and_is_taken_is_an_error(monkeypatch):
    monkeypatch.setattr(ports, "is_free", lambda host, port: port != 8000)
    assert local._choose_port("127.0.0.1", None) == 8001
    with pytest.raises(local.StackError, match=r"Port 8000 of 127\.0\.0\.1 is taken"):
        local._choose_port("127.0.0.1", 8000)
