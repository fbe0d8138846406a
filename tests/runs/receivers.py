"""Receivers of messages on this machine: a mail server and an HTTP server that remember what reached them."""

from __future__ import annotations

import http.server
import json
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from email import message_from_bytes
from email.message import Message
from typing import Any

from aiosmtpd.controller import Controller


@dataclass
class Hook:
    """What an HTTP server was told, and what it answers."""

    url: str
    asked: list[dict[str, Any]] = field(default_factory=list)
    status: int = 200

    @property
    def bodies(self) -> list[Any]:
        return [each["body"] for each in self.asked]


@contextmanager
def webhook() -> Iterator[Hook]:
    """An HTTP server that takes whatever comes."""

    class Handler(http.server.BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers.get("Content-Length", 0)))
            hook.asked.append({"path": self.path, "headers": dict(self.headers), "body": json.loads(body or b"null")})
            self.send_response(hook.status)
            self.end_headers()

        def log_message(self, *_: Any) -> None: ...

    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    hook = Hook(f"http://127.0.0.1:{server.server_address[1]}/services/T0/sesame-token")
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.05})
    thread.start()
    try:
        yield hook
    finally:
        server.shutdown()
        server.server_close()
        thread.join(10)


@dataclass
class Mailbox:
    """What a mail server took."""

    port: int
    mails: list[Message] = field(default_factory=list)


class _Taker:
    def __init__(self) -> None:
        self.box: Mailbox | None = None

    async def handle_DATA(self, server: Any, session: Any, envelope: Any) -> str:
        assert self.box is not None
        self.box.mails.append(message_from_bytes(envelope.content))
        return "250 OK"


@contextmanager
def mailbox() -> Iterator[Mailbox]:
    """A mail server that takes whatever comes."""
    from orchestrator.server.embedded import ports

    taker = _Taker()
    controller = Controller(taker, hostname="127.0.0.1", port=ports.any_free())
    controller.start()
    taker.box = Mailbox(controller.port)
    try:
        yield taker.box
    finally:
        controller.stop()
