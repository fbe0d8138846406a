"""A small web application that leaves slow work to others: signing up answers at once, the welcome is prepared later.

What it shows: background tasks. `POST /signup?name=Ada` queues a call by `.delay` and answers its id; `GET /welcome/ID`
shows what has become of it, whichever process executes it and whichever one asks.

    python -m examples.signup work        # in one terminal: executes what is queued
    python -m examples.signup             # in another one: serves http://127.0.0.1:8008
    curl -X POST 'http://127.0.0.1:8008/signup?name=Ada'
"""

from __future__ import annotations

import json
import sys
import textwrap
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from urllib.parse import parse_qs, urlsplit

from orchestrator import task
from orchestrator.background import get_background_task
from orchestrator.exceptions import NotFound

PORT = 8008


@task(retries=3, retry_delay_seconds=[1, 10, 600], task_run_name="welcome-{name}")
def prepare_welcome(name: str) -> str:
    """What somebody is greeted by: the slow part of signing up."""
    greeting = f"Welcome, {name}! " + "This took a while to write, so nobody had to wait for it. " * 3
    return "\n".join(textwrap.wrap(greeting, 60))


class Application(BaseHTTPRequestHandler):
    """Two addresses."""

    def do_POST(self) -> None:
        """Sign up: queue the slow part, and answer at once."""
        name = parse_qs(urlsplit(self.path).query).get("name", [""])[0]
        if not name:
            self._answer(400, {"error": "Say who you are: /signup?name=…"})
            return
        # Whoever clicks twice is welcomed once.
        future = prepare_welcome.apply_async((name,), idempotency_key=f"welcome-{name}", tags=["signup"])
        self._answer(202, {"welcome": f"/welcome/{future.run_id}"})

    def do_GET(self) -> None:
        """What has become of a welcome."""
        try:
            future = get_background_task(self.path.rpartition("/")[2])
        except (NotFound, ValueError):
            self._answer(404, {"error": "There is no such welcome."})
            return
        state = future.state
        self._answer(200, {"state": state.name, "text": future.result() if state.is_completed() else None})

    def _answer(self, status: int, body: dict[str, object]) -> None:
        content = json.dumps(body).encode()
        self.send_response(status)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(content)))
        self.end_headers()
        self.wfile.write(content)

    def log_message(self, format: str, *arguments: object) -> None:
        """Quiet."""


def application(port: int = PORT) -> ThreadingHTTPServer:
    """The application, not started yet."""
    return ThreadingHTTPServer(("127.0.0.1", port), Application)


if __name__ == "__main__":
    if "work" in sys.argv:
        prepare_welcome.serve()
    else:
        application().serve_forever()
