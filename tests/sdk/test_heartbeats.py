"""What an agent tells the server of itself, when; and what it does when the server can't be told."""

import json

import pytest

from orchestrator.agent import leases
from orchestrator.agent.log import AT_ONCE, KEPT, Log

FLOWS = """
    import os, time
    from pathlib import Path
    from orchestrator import flow

    @flow
    def lasts(path: str):
        Path(path).write_text(f"{os.getpid()}")
        try:
            while not Path(path + ".go").exists():
                time.sleep(0.01)
        except BaseException as error:
            Path(path).write_text(f"{os.getpid()} {type(error).__name__}")
            raise
"""


@pytest.fixture
def run_of(platform, code, until, tmp_path):
    """A run that lasts until told to go: (run, its path)."""

    def start(name="told"):
        path = tmp_path / name
        run = platform.trigger(code("lasts", FLOWS), {"path": str(path)})
        until(lambda: path.exists() and path.read_text())
        return run, path

    return start


def test_an_idle_agent_waits_and_says_nothing(platform, working, until, monkeypatch):
    monkeypatch.setattr(leases, "NEWS_EVERY", 0.05)
    monkeypatch.setattr(leases, "LOAD_EVERY", 1e9)
    agent = working()
    until(lambda: platform.news)  # It tells that it has started.
    told, waits = len(platform.news), platform.waits
    until(lambda: platform.waits >= waits + 2)
    assert len(platform.news) == told
    assert not agent.holdings


def test_the_agents_log_and_load_reach_the_server(platform, working, until, run_of, monkeypatch):
    monkeypatch.setattr(leases, "NEWS_EVERY", 0.05)
    monkeypatch.setattr(leases, "LOAD_EVERY", 0.1)
    working()
    _, path = run_of()
    path.with_name(path.name + ".go").touch()

    def lines():
        return [line["message"] for news in platform.news for line in news["log"]]

    until(lambda: any("works for the pool" in line for line in lines()))
    until(lambda: any("is over" in line for line in lines()))
    assert any("begins, attempt 1" in line for line in lines())
    assert sum("works for the pool" in line for line in lines()) == 1
    load = until(lambda: [news["load"] for news in platform.news if news.get("load", {}).get("templates")])[-1]
    assert load["memory"] > 10 << 20
    assert (load["templates"], load["spares"]) == (1, 0)


def test_lines_that_were_not_received_are_told_again(capsys):
    log = Log()
    for n in range(3):
        log.info(f"line {n}")
    taken = log.take()
    log.info("line 3")
    log.give_back(taken)
    assert [line["message"] for line in log.take()] == [f"line {n}" for n in range(4)]
    assert capsys.readouterr().err.count("agent | line") == 4


def test_the_oldest_lines_are_given_up_first(capsys):
    log = Log()
    for n in range(AT_ONCE):
        log.debug(f"early {n}")
    taken = log.take()
    for n in range(KEPT - 10):
        log.debug(f"late {n}")
    log.give_back(taken)
    assert len(log) == KEPT
    assert log.take()[0]["message"] == f"early {AT_ONCE - 10}"
    assert capsys.readouterr().err == ""


def test_runs_that_another_may_be_given_stop_before_their_lease_ends(platform, working, until, run_of):
    platform.lease_seconds = 4.0
    agent = working()
    replaceable, first = run_of("first")
    kept, second = run_of("second")
    platform.kept.append(kept)
    until(lambda: [{"run": run, "attempt": 1} for run in (replaceable, kept)] in platform.heartbeats)
    until(lambda: not next(each for each in agent.holdings._held.values() if each.run == kept).replaceable)
    beat = platform.routes["POST", "/agents/A/heartbeat"]
    platform.routes["POST", "/agents/A/heartbeat"] = lambda body: (503, {"error": {"code": "unavailable"}})
    until(lambda: first.read_text().split()[1:] == ["RunTerminated"])
    platform.routes["POST", "/agents/A/heartbeat"] = beat
    until(lambda: platform.ended)
    assert [told["run"] for told in platform.ended] == [replaceable]
    assert platform.run_states(replaceable) == ["RUNNING"]
    second.with_name("second.go").touch()
    until(lambda: platform.run_states(kept) == ["RUNNING", "COMPLETED"])


def test_an_agent_claims_when_told_that_something_is_due_and_not_else(platform, working, until, run_of):
    claims = []
    claim = platform.routes["POST", "/agents/A/claim"]
    platform.routes["POST", "/agents/A/claim"] = lambda body: claims.append(json.loads(body)) or claim(body)
    agent = working()
    _, path = run_of()
    waits, before = platform.waits, len(claims)
    path.with_name(path.name + ".go").touch()
    until(lambda: not agent.holdings)
    until(lambda: platform.waits >= waits + 2)
    assert len(claims) == before


def test_an_agent_at_its_limit_claims_again_when_a_slot_is_free(platform, working, code, until, tmp_path):
    working(limit=1)
    paths = [tmp_path / f"told-{n}" for n in range(3)]
    for path in paths:
        path.with_name(path.name + ".go").touch()
    runs = [platform.trigger(code("lasts", FLOWS), {"path": str(path)}) for path in paths]
    until(lambda: all(platform.run_states(run)[-1:] == ["COMPLETED"] for run in runs))
    assert len({path.read_text() for path in paths}) == 3
