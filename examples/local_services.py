"""Services that the examples talk to, on 127.0.0.1: an API that has bad days, and a receiver of webhooks."""

from __future__ import annotations

import json
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import parse_qs, urlsplit

PAGE = 100
Answer = tuple[int, dict[str, str], Any]


@contextmanager
def serving(answer: Callable[[str, str, bytes], Answer]) -> Iterator[str]:
    """Serve `answer(method, path, body)` -> (status, headers, JSON) on a free port; the address."""

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_GET(self) -> None:
            self._answer(b"")

        def do_POST(self) -> None:
            self._answer(self.rfile.read(int(self.headers.get("Content-Length", 0))))

        def _answer(self, body: bytes) -> None:
            status, headers, told = answer(self.command, self.path, body)
            content = json.dumps(told).encode()
            self.send_response(status)
            for name, value in {**headers, "Content-Type": "application/json"}.items():
                self.send_header(name, value)
            self.send_header("Content-Length", str(len(content)))
            self.end_headers()
            self.wfile.write(content)

        def log_message(self, format: str, *args: Any) -> None:
            """Say nothing: the runs tell enough."""

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.05}, daemon=True)
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_port}"
    finally:
        server.shutdown()
        server.server_close()
        thread.join()


class Readings:
    """`GET /stations`, and `GET /stations/ID/readings?page=N` in pages of 100; every third request meets a bad day.

    A bad day is 503, or 429 with the seconds to wait in `Retry-After`, in turns.
    """

    def __init__(self, stations: dict[str, list[float]], bad: bool = True) -> None:
        self.stations = stations
        self.bad = bad
        self.asked = 0
        self.refused = 0
        self._lock = threading.Lock()

    def __call__(self, method: str, path: str, body: bytes) -> Answer:
        with self._lock:
            self.asked += 1
            if self.bad and self.asked % 3 == 0:
                self.refused += 1
                limited = self.refused % 2 == 0
                return (429, {"Retry-After": "0.05"}, "slowly, please") if limited else (503, {}, "come back later")
        address = urlsplit(path)
        match address.path.strip("/").split("/"):
            case ["stations"]:
                return 200, {}, sorted(self.stations)
            case ["stations", station, "readings"] if station in self.stations:
                return 200, {}, self._page(station, int(parse_qs(address.query).get("page", ["1"])[0]))
        return 404, {}, f"nothing is at {address.path}"

    def _page(self, station: str, page: int) -> dict[str, Any]:
        values = self.stations[station]
        part = values[(page - 1) * PAGE : page * PAGE]
        return {"values": part, "next": page + 1 if page * PAGE < len(values) else None}


class Received:
    """Keeps what is posted to it."""

    def __init__(self) -> None:
        self.messages: list[Any] = []

    def __call__(self, method: str, path: str, body: bytes) -> Answer:
        self.messages.append(json.loads(body))
        return 204, {}, None
