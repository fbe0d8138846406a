"""2.3, 2.5: types of work pools, and the plug-ins that bring them."""

from __future__ import annotations

import importlib.metadata
import re
import textwrap
import threading
from typing import Any

import pytest
from click.testing import CliRunner

from orchestrator import pool_types, testing
from orchestrator.agent.agent import Agent
from orchestrator.agent.launchers import Ending, Launcher
from orchestrator.agent.settings import Settings
from orchestrator.cli.root import cli
from orchestrator.client import Client
from orchestrator.config import Api, require_api
from orchestrator.exceptions import PoolTypeError
from orchestrator.job_templates import BUILT_IN

OTHER = (
    "from orchestrator.pool_types import PoolType\nTYPE = PoolType({type!r}, 'Something else.', {{}}, launcher=None)\n"
)

FLOWS = """
    import os, time
    from orchestrator import flow, get_run_logger
    REGION = os.environ.get("REGION")

    @flow
    def tells():
        get_run_logger().info("nice %d region %s, %s at import", os.nice(0), os.environ.get("REGION"), REGION)

    @flow
    def grows():
        kept = []
        while True:
            kept.append(b"x" * (8 << 20))
            time.sleep(0.02)
"""


@pytest.fixture
def served():
    with testing.server(serve=True, lease_seconds=20, wait_seconds=0.5) as server:
        yield server


@pytest.fixture
def works(served, inside):
    """Agents in threads of this process, which has the plug-ins."""

    def start(pool: str) -> Agent:
        settings = Settings(pool=pool, name=f"inside {pool}", grace=1.0, output=False)
        return inside(Agent(Api(served.url, served.new_key("agent")), settings))

    return start


@pytest.fixture
def run(served, tmp_path, until):
    """Deploy and trigger a flow of FLOWS, and wait for its end."""
    code = tmp_path / "flows"
    code.mkdir()
    (code / "flows.py").write_text(textwrap.dedent(FLOWS))

    def trigger(name: str, pool: str = "default", wait: bool = True, **variables: Any) -> Any:
        source = {"type": "path", "path": str(code)}
        body = {"flow": name, "name": "d", "entrypoint": f"flows.py:{name}", "source": source, "work_pool": pool}
        with Client(served.api) as client:
            client.post("/deployments", {**body, "job_variables": variables})
        run = served.trigger(f"{name}/d")
        if wait:
            until(lambda: run.is_final, 60)
        return run

    return trigger


# What is installed.


def test_2_3_the_type_of_every_agent_is_there_and_a_plug_in_beside_it(nice):
    names = [each.type for each in pool_types.installed()]
    assert names == ["nice", "process"]
    found = pool_types.find("nice")
    assert (found.type, found.launcher.__name__) == ("nice", "NiceLauncher")
    assert pool_types.find("process").base_job_template == BUILT_IN["process"]


def test_2_3_processes_need_no_metadata(monkeypatch):
    monkeypatch.setattr(importlib.metadata, "entry_points", lambda **_: [])
    assert pool_types.find("process") is pool_types.PROCESS


def test_2_3_nothing_of_a_plug_in_is_imported_before_it_is_asked_for(install):
    install("heavy", "heavy_type", "raise MemoryError('much')", "heavy = heavy_type:TYPE")
    assert [each.type for each in pool_types.installed()] == ["heavy", "process"]
    pool_types.find("process")
    with pytest.raises(PoolTypeError, match=r"'heavy' of heavy 1\.0 can't be loaded: MemoryError: much"):
        pool_types.find("heavy")


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("TYPE = 3", r"odd_type:TYPE of odd 1\.0 should be the PoolType 'odd', and is <class 'int'>"),
        (OTHER.format(type="even"), r"should be the PoolType 'odd', and is PoolType\(type='even'"),
        ("", r"can't be loaded: AttributeError: module 'odd_type' has no attribute 'TYPE'"),
    ],
)
def test_2_3_what_is_no_pool_type_is_told(install, text, says):
    install("odd", "odd_type", text, "odd = odd_type:TYPE")
    with pytest.raises(PoolTypeError, match=says):
        pool_types.find("odd")


def test_2_3_of_two_with_one_name_neither_is_used(install):
    for name in ("one", "two"):
        install(name, f"{name}_type", OTHER.format(type="same"), f"same = {name}_type:TYPE")
    with pytest.raises(PoolTypeError, match=r"'same' is brought by one 1\.0 and two 1\.0\. Uninstall all but one"):
        pool_types.find("same")


# Agents.


def test_2_3_a_plug_in_executes_runs_in_its_own_way(nice, served, works, run):
    with Client(served.api) as client:
        template = pool_types.find("nice").base_job_template
        client.post("/work-pools", {"name": "batch", "type": "nice", "base_job_template": template})
    agent = works("batch")
    assert type(agent.launcher).__name__ == "NiceLauncher"
    own = run("tells", "batch", nice=15, env={"REGION": "eu"})
    served.assert_completed(own)
    served.assert_logged(own, "nice 15 region eu, eu at import")
    served.assert_logged(run("tells", "batch"), "nice 10 region None, None at import")
    assert agent.launcher.groups() == []


def test_2_3_the_guides_own_test_passes(nice, tmp_path):
    names = {}
    exec(textwrap.dedent(re.search(r"    import threading\n.*", nice, re.DOTALL)[0]), names)
    names["test_runs_are_nice"](tmp_path)


def test_2_5_an_agent_without_its_type_claims_nothing_says_what_to_install_and_ends(served, run):
    template = {"variables": {"type": "object"}, "job_configuration": {}}
    with Client(served.api) as client:
        client.post("/work-pools", {"name": "boxes", "type": "docker", "base_job_template": template})
    waiting = run("tells", "boxes", wait=False)
    result = CliRunner().invoke(cli, ["agent", "start", "--pool", "boxes", "--name", "bare"])
    says = "The pool type 'docker' is not installed here; there is process. Install the package that brings it"
    assert (result.exit_code, says in result.output) == (1, True)
    with Client(served.api) as client:
        (agent,) = client.get("/agents", pool="boxes")["items"]
        (line,) = client.get(f"/agents/{agent['id']}/log", after=0)["items"]
    assert line["message"].startswith(says)
    assert waiting.states == ["Scheduled"]


class Broken(Launcher):
    def __init__(self, means: Any) -> None:
        if means.settings.name == "never made":
            raise RuntimeError("no cluster")

    def start(self) -> None:
        raise RuntimeError("no gate")

    def launch(self, claimed: Any) -> Any:
        raise AssertionError


@pytest.mark.parametrize(("name", "says"), [("never made", "RuntimeError: no cluster"), ("else", "start: no gate")])
def test_2_5_a_launcher_that_can_not_be_made_or_started_ends_the_agent(platform, monkeypatch, name, says):
    platform.facts["pool_type"] = "broken"
    found = pool_types.PoolType("broken", "", {}, Broken)
    monkeypatch.setattr(pool_types, "find", lambda type: {"broken": found}[type])
    agent = Agent(require_api(), Settings(name=name))
    with pytest.raises(PoolTypeError, match=says):
        agent.run()
    assert says in platform.news[-1]["log"][0]["message"]


def test_2_5_a_server_that_tells_no_type_has_processes(platform, working):
    assert platform.facts == {}
    assert type(working().launcher).__name__ == "ProcessLauncher"


def test_2_5_an_agent_whose_pool_was_made_anew_with_another_type_ends(platform):
    agent = Agent(require_api(), Settings(output=False))
    agent.kind.learn("process")
    platform.facts["pool_type"] = "nice"
    with pytest.raises(PoolTypeError, match=r"is of the type 'nice' now, and was of 'process'\. Start"):
        agent.run()


class Careless(Launcher):
    """All that it does fails, or what it starts does."""

    def __init__(self, at: str) -> None:
        self.at = at
        self.pid = 0
        self.killed = threading.Event()

    def launch(self, claimed: Any) -> Any:
        self._fail("launch")
        return self

    def groups(self) -> list[int]:
        raise KeyError("groups")

    def tidy(self) -> None:
        raise KeyError("tidy")

    def signal(self, word: str) -> None:
        self._fail("signal")

    terminate = kill = lambda self: self.killed.set()

    def wait(self) -> Ending:
        self._fail("wait")
        self.killed.wait()
        return Ending(-9, [])

    def _fail(self, at: str) -> None:
        if self.at == at:
            raise KeyError(at)


@pytest.mark.parametrize(
    ("at", "reason", "says"),
    [("launch", "never_started", "KeyError: 'launch'"), ("wait", "exited", "could not wait for its end: KeyError")],
)
def test_2_5_what_a_launcher_raises_is_told_and_holds_no_run(platform, code, working, until, at, reason, says):
    agent = working(launcher=lambda _: Careless(at))
    platform.trigger(code("none", ""))
    (ended,) = until(lambda: platform.ended)
    assert (ended["reason"], says in ended["message"]) == (reason, True)
    until(lambda: not agent.holdings)


def test_2_5_a_launcher_that_fails_ends_neither_heartbeat_nor_signals(platform, code, working, until):
    agent = working(launcher=lambda _: Careless("signal"))
    run = platform.trigger(code("none", ""))
    until(lambda: len(agent.holdings) and platform.heartbeats)
    platform.cancels.append(run)
    until(lambda: any("could not be told to stop: KeyError: 'signal'" in line for line in lines(platform)))
    beats = len(platform.heartbeats)
    until(lambda: len(platform.heartbeats) > beats + 1)
    failures = [line for line in lines(platform) if line.startswith("the launcher of this agent's pool type fails")]
    assert any("'groups'" in line for line in failures)
    agent.launcher.kill()


def lines(platform: Any) -> list[str]:
    return [line["message"] for news in platform.news for line in news["log"]]


# What is told to a process.


def test_2_3_processes_obey_the_pools_template(served, works, run):
    template = {
        "variables": {"type": "object", "properties": {"region": {"type": "string", "default": "eu"}}},
        "job_configuration": {"env": {"REGION": "{{ region }}"}, "memory_mib": 100},
    }
    change = {"base_job_template": template}
    with Client(served.api) as client:
        client.patch("/work-pools/default", change)
        works("default")
        served.assert_logged(run("tells"), "nice 0 region eu, eu at import")
        # What is imported by then was imported for another region.
        template["job_configuration"]["env"]["REGION"] = "near {{ region }}"
        client.patch("/work-pools/default", change)
        served.assert_logged(run("tells"), "nice 0 region near eu, near eu at import")
    served.assert_logged(run("tells", region="asia"), "nice 0 region near asia, near asia at import")
    grown = run("grows")
    served.assert_state(grown, "CRASHED")
    assert "100 MiB" in grown.state_message


def test_2_3_an_older_servers_variables_are_the_configuration():
    from orchestrator.agent.launchers import Claimed

    variables = {"env": {"A": "1"}, "memory_mib": 64}
    assert Claimed({"job_variables": variables}).configuration == variables
    assert Claimed({"job_variables": variables, "job_configuration": {}}).configuration == {}
    assert Claimed({"job_variables": variables}).environment == {"A": "1"}
    assert Claimed({"job_configuration": {"env": {"PORT": 80}}}).environment == {"PORT": "80"}
