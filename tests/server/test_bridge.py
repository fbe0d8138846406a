"""Bodies and responses of every shape through the bridge, under the web server that we use."""

import asyncio
import gzip
import hashlib
import os
import socket
import sys
from collections.abc import Iterator

import httpx
import pytest

from orchestrator.server.bridge import Bodies, WsgiBridge
from orchestrator.server.embedded import ports
from orchestrator.server.embedded.children import Child
from orchestrator.server.embedded.console import Console
from orchestrator.server.embedded.processes import Supervisor

from .echo_asgi import LIMIT, echo

BODY = os.urandom(5_500_000)


@pytest.fixture(scope="module")
def port() -> Iterator[int]:
    port = ports.any_free()
    command = [sys.executable, "-m", "granian", "--interface", "asginl", "--port", str(port)]
    supervisor = Supervisor(Console(sys.stderr))
    supervisor.add(Child("web", [*command, "tests.server.echo_asgi:application"], lambda: os.environ))
    supervisor.wait_until(lambda: ports.accepts("127.0.0.1", port), "granian", 20)
    yield port
    supervisor.stop_all()


@pytest.fixture(scope="module")
def client(port: int) -> Iterator[httpx.Client]:
    with httpx.Client(base_url=f"http://127.0.0.1:{port}", timeout=20) as client:
        yield client


def digest(body: bytes) -> str:
    return hashlib.sha256(body).hexdigest()


def pieces(body: bytes, size: int = 100_000) -> Iterator[bytes]:
    for start in range(0, len(body), size):
        yield body[start : start + size]


def test_path_query_and_headers_arrive(client: httpx.Client):
    headers = [("X-Real", "yes"), ("X_Real", "forged"), ("Cookie", "a=1"), ("Cookie", "b=2")]
    answer = client.get("/a b/ü?x=1&y=%20", headers=headers).json()
    assert (answer["path"], answer["query"]) == ("/a b/ü", "x=1&y=%20")
    assert answer["real"] == "yes"
    assert answer["cookie"] == "a=1; b=2"
    assert answer["length"] == "0"


@pytest.mark.parametrize("body", [b"", b"{}", BODY], ids=["empty", "small", "large"])
def test_a_body_arrives_whole(client: httpx.Client, body: bytes):
    answer = client.post("/", content=body).json()
    assert (answer["digest"], answer["length"]) == (digest(body), str(len(body)))


def test_a_chunked_body_arrives_whole_and_with_its_length(client: httpx.Client):
    answer = client.post("/", content=pieces(BODY)).json()
    assert (answer["digest"], answer["length"]) == (digest(BODY), str(len(BODY)))


def test_a_packed_body_arrives_packed(client: httpx.Client):
    packed = gzip.compress(BODY[:1000] * 1000)
    answer = client.post("/", content=packed, headers={"Content-Encoding": "gzip"}).json()
    assert (answer["digest"], answer["encoding"]) == (digest(packed), "gzip")


def test_a_multipart_body_keeps_its_type(client: httpx.Client):
    answer = client.post("/", files={"file": BODY}).json()
    assert answer["type"].startswith("multipart/form-data; boundary=")
    assert int(answer["length"]) > len(BODY)


@pytest.mark.parametrize("chunked", [False, True])
def test_a_body_over_the_limit_is_refused(client: httpx.Client, chunked: bool):
    body = b"x" * (LIMIT + 1)
    answer = client.post("/", content=pieces(body) if chunked else body)
    assert (answer.status_code, answer.json()["error"]["code"]) == (413, "request_entity_too_large")


def test_a_long_answer_comes_whole(client: httpx.Client):
    assert len(client.get("/long").content) == 5_000_000


def test_a_stalled_upload_holds_no_thread_and_is_ended(client: httpx.Client, port: int):
    with socket.create_connection(("127.0.0.1", port), timeout=10) as stalled:
        stalled.sendall(b"POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 100\r\n\r\nabc")
        assert client.get("/").status_code == 200
        stalled.setblocking(False)
        with pytest.raises(BlockingIOError):
            stalled.recv(64)
        stalled.settimeout(10)
        assert stalled.recv(64).startswith(b"HTTP/1.1 408 ")


def scope(**more: object) -> dict:
    base = {"type": "http", "method": "POST", "path": "/", "query_string": b"", "http_version": "1.1"}
    return {**base, "headers": [(b"transfer-encoding", b"chunked")], **more}


def statuses(bridge: WsgiBridge, *messages: dict) -> list[int]:
    """Send the messages as one request; return the statuses of the answers."""
    sent: list[dict] = []
    incoming = iter(messages)

    async def receive() -> dict:
        return next(incoming)

    async def send(message: dict) -> None:
        sent.append(message)

    asyncio.run(bridge(scope(), receive, send))
    return [message["status"] for message in sent if message["type"] == "http.response.start"]


def test_all_bodies_together_are_bounded_and_released():
    bridge = WsgiBridge(echo, name="test", threads=1, bodies=Bodies(limit=100, together=50))
    assert statuses(bridge, {"type": "http.request", "body": b"x" * 60}) == [503]
    assert statuses(bridge, {"type": "http.request", "body": b"x" * 40}) == [200]
    assert statuses(bridge, {"type": "http.request", "body": b"x" * 40}) == [200]
    assert bridge.bodies.held == 0
    bridge.pool.shutdown()


def test_a_client_that_leaves_in_the_middle_gets_no_answer():
    bridge = WsgiBridge(echo, name="test", threads=1, bodies=Bodies())
    assert (
        statuses(bridge, {"type": "http.request", "body": b"x", "more_body": True}, {"type": "http.disconnect"}) == []
    )
    assert bridge.bodies.held == 0
    bridge.pool.shutdown()


def test_the_response_is_closed_in_its_thread_when_the_view_fails_halfway():
    closed = []

    class Halfway:
        def __iter__(self) -> Iterator[bytes]:
            yield b"x"
            raise RuntimeError("halfway")

        def close(self) -> None:
            closed.append(True)

    def application(environ, start_response):
        start_response("200 OK", [])
        return Halfway()

    bridge = WsgiBridge(application, name="test", threads=1, bodies=Bodies())
    with pytest.raises(RuntimeError, match="halfway"):
        statuses(bridge, {"type": "http.request", "body": b""})
    assert closed == [True]
    bridge.pool.shutdown()
