"""2.5: An agent answers for its health."""

from __future__ import annotations

import json
import socket
import urllib.error
import urllib.request
from typing import Any

import pytest

from orchestrator.agent.health import liveness, read_address, readiness
from orchestrator.exceptions import HealthError


def asked(port: int, path: str) -> tuple[int, dict[str, Any]]:
    try:
        with urllib.request.urlopen(f"http://127.0.0.1:{port}{path}", timeout=5) as answer:
            return answer.status, json.load(answer)
    except urllib.error.HTTPError as error:
        return error.code, json.load(error)


@pytest.fixture
def port() -> int:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        return free.getsockname()[1]


def test_2_5_a_working_agent_is_alive_and_ready(platform, working, port):
    agent = working(health=str(port), limit=3)
    status, told = asked(port, "/health/ready")
    assert (status, told["status"], told["agent"], told["name"]) == (200, "ok", agent.id, "inside")
    assert (told["pool"], told["runs"], told["slots"]) == ("default", 0, 3)
    assert told["server_heard_seconds_ago"] >= 0
    assert asked(port, "/health/live")[0] == 200
    assert asked(port, "/")[0] == 404


def test_2_5_without_a_server_it_is_alive_and_not_ready(platform, working, port, monkeypatch):
    agent = working(health=str(port))
    heard = agent.contact.heard
    monkeypatch.setattr(agent.contact, "heard", lambda: None)  # The platform answers all the time.
    agent.contact.missed("connection refused")
    assert asked(port, "/health/live")[0] == 200
    status, told = asked(port, "/health/ready")
    assert (status, told["status"]) == (503, "the server does not answer: connection refused")
    heard()
    assert asked(port, "/health/ready")[0] == 200


def test_2_5_a_thread_that_ended_by_itself_is_told_of(platform, working):
    agent = working()
    agent.begin(lambda: None, "agent-brief")
    agent.threads[-1].join(5)
    assert liveness(agent) == readiness(agent) == "ended by themselves: agent-brief"
    agent.threads.pop()
    assert liveness(agent) == ""


def test_2_5_an_agent_that_drains_takes_no_more_and_lives(platform, working):
    agent = working()
    agent.stop()
    assert (liveness(agent), readiness(agent)) == ("", "it was told to stop")


def test_2_5_who_asks_nothing_holds_nobody_up(platform, working, port):
    working(health=str(port))
    with socket.create_connection(("127.0.0.1", port)):
        assert asked(port, "/health/live")[0] == 200


@pytest.mark.parametrize("text", ["", "x", "127.0.0.1", "127.0.0.1:", "70000", "-1", ":x"])
def test_2_5_what_is_no_address(text):
    with pytest.raises(HealthError, match="PORT or HOST:PORT"):
        read_address(text)


def test_2_5_an_address_that_is_taken_ends_the_agent_with_the_reason(platform, agent):
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        process = agent("--health", str(taken.getsockname()[1]))
        assert process.wait(30) == 1
    assert "can't answer for its health at 127.0.0.1 port" in process.output()
    assert "Traceback" not in process.output()
