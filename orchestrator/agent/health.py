"""Is this agent alive, and does it get work? Asked over HTTP by what watches over it: systemd, Kubernetes, a monitor.

`GET /health/live` answers 200 while all threads of the agent do their work: the server may be away, since an agent goes
on with its runs then. `GET /health/ready` answers 200 when new runs may come as well. Else both answer 503 and say why.
"""

from __future__ import annotations

import json
import socket
import threading
import time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import TYPE_CHECKING, Any, cast

from orchestrator.exceptions import HealthError

if TYPE_CHECKING:
    from orchestrator.agent.agent import Agent


LOCAL = "127.0.0.1"
ASKED_WITHIN = 2.0  # seconds in which who asks has to have asked
AT_ONCE = 16


def read_address(text: str) -> tuple[str, int]:
    """Where to answer, of PORT or HOST:PORT.

    >>> read_address("8081"), read_address("0.0.0.0:8081"), read_address("[::]:8081")
    (('127.0.0.1', 8081), ('0.0.0.0', 8081), ('::', 8081))
    """
    host, _, port = text.rpartition(":")
    if not port.isdecimal() or not 0 <= int(port) < 1 << 16:
        raise HealthError(f"The address for health is PORT or HOST:PORT, like 8081; not {text!r}.")
    return host.strip("[]") or LOCAL, int(port)


def liveness(agent: Agent) -> str:
    """Why the agent is not alive; empty if it is."""
    dead = [] if agent.is_stopping else [thread.name for thread in agent.threads if not thread.is_alive()]
    return f"ended by themselves: {', '.join(dead)}" if dead else ""


def readiness(agent: Agent) -> str:
    """Why no new run comes to the agent; empty if they may."""
    if agent.is_stopping:
        return "it was told to stop"
    if not agent.id:
        return f"not registered yet{': ' + agent.contact.missing if agent.contact.missing else ''}"
    if agent.contact.missing:
        return f"the server does not answer: {agent.contact.missing}"
    return liveness(agent)


class Contact:
    """When the server was heard of last (monotonic), and why it was not since."""

    def __init__(self) -> None:
        self.heard_at = 0.0
        self.missing = ""

    def heard(self) -> None:
        """It has answered."""
        self.heard_at, self.missing = time.monotonic(), ""

    def missed(self, why: object) -> None:
        """It has not."""
        self.missing = str(why)[:500] or "no answer"


class Health:
    """Answers in threads of its own, AT_ONCE of them at most.

    Raises:
        HealthError: The address can't be had.
    """

    def __init__(self, agent: Agent, address: tuple[str, int]) -> None:
        try:
            self._server = _Server(agent, address)
        except OSError as error:
            host, port = address
            raise HealthError(f"The agent can't answer for its health at {host} port {port}: {error}.") from error
        self.port: int = self._server.server_address[1]
        threading.Thread(target=self._server.serve_forever, name="agent-health", daemon=True).start()

    def close(self) -> None:
        """Answer no more."""
        self._server.shutdown()
        self._server.server_close()


class _Server(ThreadingHTTPServer):
    daemon_threads = True

    def __init__(self, agent: Agent, address: tuple[str, int]) -> None:
        self.agent = agent
        self.address_family = socket.AF_INET6 if ":" in address[0] else socket.AF_INET
        self._places = threading.BoundedSemaphore(AT_ONCE)
        super().__init__(address, _Answer)

    def process_request(self, request: Any, client_address: Any) -> None:
        if self._places.acquire(blocking=False):
            super().process_request(request, client_address)
        else:
            self.shutdown_request(request)

    def process_request_thread(self, request: Any, client_address: Any) -> None:
        try:
            super().process_request_thread(request, client_address)
        finally:
            self._places.release()

    def handle_error(self, request: Any, client_address: Any) -> None:
        """Who went away before the answer is nobody's business."""


class _Answer(BaseHTTPRequestHandler):
    timeout = ASKED_WITHIN
    server_version, sys_version = "orchestrator-agent", ""

    def do_GET(self) -> None:
        ask = {"/health/live": liveness, "/health/ready": readiness}.get(self.path.partition("?")[0])
        if ask is None:
            self._answer(404, {"error": "There are /health/live and /health/ready."})
        else:
            agent = cast("_Server", self.server).agent
            why = ask(agent)
            self._answer(503 if why else 200, {"status": why or "ok", **_facts(agent)})

    do_HEAD = do_GET

    def _answer(self, status: int, told: dict[str, Any]) -> None:
        body = json.dumps(told).encode() + b"\n"
        self.send_response(status)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(body)))
        self.send_header("Cache-Control", "no-store")
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(body)

    def log_message(self, format: str, *args: Any) -> None:
        """Nothing: it is asked every few seconds."""


def _facts(agent: Agent) -> dict[str, Any]:
    heard_at = agent.contact.heard_at
    return {
        "agent": agent.id,
        "name": agent.settings.name,
        "pool": agent.settings.pool,
        "runs": len(agent.holdings),
        "slots": agent.settings.limit,
        "server_heard_seconds_ago": round(time.monotonic() - heard_at, 1) if heard_at else None,
    }
