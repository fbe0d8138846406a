"""From ASGI to WSGI: Django's synchronous views behind an asynchronous server.

Django's own ASGI handler costs two to four times as much per request. The request's body is read whole on the event
loop, within limits, before a thread is taken: a slow or stalled upload holds no thread. A response that fits one buffer
leaves the thread once; a longer one is sent piece by piece at the client's pace.
"""

import asyncio
import sys
from collections.abc import Awaitable, Callable, Iterable, MutableMapping
from concurrent.futures import ThreadPoolExecutor
from http import HTTPStatus
from io import BytesIO
from typing import Any

Message = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[Message]]
Send = Callable[[Message], Awaitable[None]]
WsgiApplication = Callable[[dict[str, Any], Callable[..., Any]], Iterable[bytes]]

BODY_LIMIT = 64 * 1024 * 1024
BODIES_LIMIT = 512 * 1024 * 1024
IDLE_SECONDS = 20.0
UPLOAD_SECONDS = 600.0
SEND_SECONDS = 120.0
BUFFER = 64 * 1024


class Refused(Exception):
    """The request is answered without Django."""

    def __init__(self, status: HTTPStatus) -> None:
        super().__init__(status.phrase)
        self.status = status


class ClientGone(Exception):
    """The client left before its request was whole."""


class Bodies:
    """Reads whole bodies, each bounded, and all of them together."""

    def __init__(self, *, limit: int = BODY_LIMIT, together: int = BODIES_LIMIT, idle: float = IDLE_SECONDS) -> None:
        self.limit = limit
        self.together = together
        self.idle = idle
        self.held = 0

    async def serve(
        self, scope: Message, receive: Receive, send: Send, answer: Callable[[bytes], Awaitable[None]]
    ) -> None:
        """Have a request answered once its body is whole; refuse a body that doesn't fit."""
        body = bytearray()
        try:
            await self._read(scope, receive, body)
            await answer(bytes(body))
        except Refused as refusal:
            await _refuse(send, refusal.status)
        except ClientGone:
            return
        finally:
            self.held -= len(body)

    async def _read(self, scope: Message, receive: Receive, body: bytearray) -> None:
        """Append the request's body to `body`."""
        announced = _announced_length(scope)
        if announced == 0:
            return
        if announced is not None and announced > self.limit:
            raise Refused(HTTPStatus.REQUEST_ENTITY_TOO_LARGE)
        try:
            async with asyncio.timeout(UPLOAD_SECONDS):
                while await self._read_piece(receive, body):
                    pass
        except TimeoutError:
            raise Refused(HTTPStatus.REQUEST_TIMEOUT) from None

    async def _read_piece(self, receive: Receive, body: bytearray) -> bool:
        async with asyncio.timeout(self.idle):
            message = await receive()
        if message["type"] == "http.disconnect":
            raise ClientGone
        piece = message.get("body", b"")
        body += piece
        self.held += len(piece)
        if len(body) > self.limit:
            raise Refused(HTTPStatus.REQUEST_ENTITY_TOO_LARGE)
        if self.held > self.together:
            raise Refused(HTTPStatus.SERVICE_UNAVAILABLE)
        return message.get("more_body", False)


class WsgiBridge:
    """An ASGI application that runs a WSGI application in a pool of threads of its own."""

    def __init__(self, application: WsgiApplication, *, name: str, threads: int, bodies: Bodies) -> None:
        self.application = application
        self.bodies = bodies
        self.pool = ThreadPoolExecutor(max_workers=threads, thread_name_prefix=name)

    async def __call__(self, scope: Message, receive: Receive, send: Send) -> None:
        async def answer(body: bytes) -> None:
            exchange = _Exchange(self.application, asyncio.get_running_loop(), send)
            await exchange.run(self.pool, _environ(scope, body))

        await self.bodies.serve(scope, receive, send, answer)


class _Exchange:
    """One request and its response."""

    def __init__(self, application: WsgiApplication, loop: asyncio.AbstractEventLoop, send: Send) -> None:
        self.application = application
        self.loop = loop
        self.send = send
        self.head: Message | None = None
        self.head_sent = False

    async def run(self, pool: ThreadPoolExecutor, environ: dict[str, Any]) -> None:
        rest = await self.loop.run_in_executor(pool, self._call, environ)
        await self._send_piece(rest, more=False)

    def _call(self, environ: dict[str, Any]) -> bytes:
        """Run the application in its thread; return what wasn't sent from there."""
        buffer = bytearray()
        pieces = self.application(environ, self._start_response)
        try:
            for piece in pieces:
                buffer += piece
                if len(buffer) >= BUFFER:
                    self._send_from_thread(bytes(buffer))
                    buffer.clear()
        finally:
            close = getattr(pieces, "close", None)
            if close is not None:
                close()
        return bytes(buffer)

    def _start_response(self, status: str, headers: list[tuple[str, str]], exc_info: Any = None) -> None:
        self.head = {
            "type": "http.response.start",
            "status": int(status.split(" ", 1)[0]),
            "headers": [(name.lower().encode("latin-1"), value.encode("latin-1")) for name, value in headers],
        }

    def _send_from_thread(self, piece: bytes) -> None:
        """Wait for a slow client, but not for ever."""
        sent = asyncio.run_coroutine_threadsafe(self._send_piece(piece, more=True), self.loop)
        try:
            sent.result(timeout=SEND_SECONDS)
        except TimeoutError:
            sent.cancel()
            raise

    async def _send_piece(self, piece: bytes, *, more: bool) -> None:
        if not self.head_sent:
            assert self.head is not None, "the application returned without start_response"
            self.head_sent = True
            await self.send(self.head)
        await self.send({"type": "http.response.body", "body": piece, "more_body": more})


def _announced_length(scope: Message) -> int | None:
    """The body's length in bytes, None for a chunked one, 0 where there is no body."""
    headers = dict(scope["headers"])
    if b"transfer-encoding" in headers:
        return None
    length = headers.get(b"content-length")
    if length is None:
        return None if scope["http_version"].startswith("2") else 0
    return int(length)


def _environ(scope: Message, body: bytes) -> dict[str, Any]:
    """The variables of PEP 3333. Texts are bytes in Latin-1's clothes, as it wants them."""
    host, port = scope.get("server") or ("localhost", 80)
    client_host, client_port = scope.get("client") or ("", 0)
    environ: dict[str, Any] = {
        "REQUEST_METHOD": scope["method"],
        "SCRIPT_NAME": scope.get("root_path", "").encode().decode("latin-1"),
        "PATH_INFO": scope["path"].encode().decode("latin-1"),
        "QUERY_STRING": scope["query_string"].decode("latin-1"),
        "SERVER_PROTOCOL": f"HTTP/{scope['http_version']}",
        "SERVER_NAME": host,
        "SERVER_PORT": str(port or 0),
        "REMOTE_ADDR": client_host,
        "REMOTE_PORT": str(client_port),
        "wsgi.version": (1, 0),
        "wsgi.url_scheme": scope.get("scheme", "http"),
        "wsgi.input": BytesIO(body),
        "wsgi.errors": sys.stderr,
        "wsgi.multithread": True,
        "wsgi.multiprocess": True,
        "wsgi.run_once": False,
    }
    for raw_name, raw_value in scope["headers"]:
        _add_header(environ, raw_name.decode("latin-1"), raw_value.decode("latin-1"))
    environ["CONTENT_LENGTH"] = str(len(body))
    return environ


def _add_header(environ: dict[str, Any], name: str, value: str) -> None:
    """Names with underscores are dropped: `X_Real` would pass for `X-Real` after the translation."""
    if "_" in name or name in {"transfer-encoding", "content-length"}:
        return
    key = "CONTENT_TYPE" if name == "content-type" else f"HTTP_{name.upper().replace('-', '_')}"
    separator = "; " if name == "cookie" else ","
    environ[key] = f"{environ[key]}{separator}{value}" if key in environ else value


async def _refuse(send: Send, status: HTTPStatus) -> None:
    text = f'{{"error": {{"code": "{status.name.lower()}", "message": "{status.phrase}", "fields": {{}}}}}}'.encode()
    headers = [(b"content-type", b"application/json"), (b"content-length", str(len(text)).encode())]
    headers.append((b"connection", b"close"))
    await send({"type": "http.response.start", "status": int(status), "headers": headers})
    await send({"type": "http.response.body", "body": text, "more_body": False})
