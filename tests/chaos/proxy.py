"""A TCP proxy that can misbehave as networks do: refuse, cut, delay, fall silent, lose the end of an answer."""

from __future__ import annotations

import asyncio
import contextlib
import random
import socket
import struct
import threading
from collections.abc import Callable, Coroutine, Sequence
from dataclasses import dataclass, field
from typing import Any

CHUNK = 256 << 10
CONNECT_SECONDS = 3.0
Address = tuple[str, int]


class Network:
    """The loop that all proxies of an installation live in, in a thread of its own."""

    def __init__(self) -> None:
        self._loop = asyncio.new_event_loop()
        self._proxies: list[Proxy] = []
        self._thread = threading.Thread(target=self._loop.run_forever, name="network", daemon=True)
        self._thread.start()

    def proxy(self, name: str, targets: Sequence[Address]) -> Proxy:
        """Listen on a free port for these targets."""
        self._proxies.append(self.do(Proxy.open(name, list(targets))))
        return self._proxies[-1]

    def do(self, work: Coroutine[Any, Any, Any]) -> Any:
        """Have the loop do something, and wait for it."""
        return asyncio.run_coroutine_threadsafe(work, self._loop).result(30)

    def call(self, change: Callable[[], object]) -> None:
        """Have the loop call something soon."""
        self._loop.call_soon_threadsafe(change)

    def close(self) -> None:
        """End everything."""
        for proxy in self._proxies:
            self.do(proxy.close())
        self.do(_end_others())
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join(10)
        self._loop.close()


async def _end_others() -> None:
    others = asyncio.all_tasks() - {asyncio.current_task()}
    for task in others:
        task.cancel()
    await asyncio.gather(*others, return_exceptions=True)


@dataclass
class Weather:
    """How a network is at the moment."""

    refuses: bool = False
    delay: float = 0.0  # seconds, each way
    silent: bool = False  # What comes is swallowed, nothing is reset: half-open.
    loses_after: int | None = None  # bytes of an answer; then the connection is cut


@dataclass
class Proxy:
    """One address in front of one or more servers; a connection goes to any of those that take it."""

    name: str
    targets: list[Address]
    port: int = 0
    weather: Weather = field(default_factory=Weather)
    accepted: int = 0
    cut_off: int = 0
    _open: set[_Connection] = field(default_factory=set)
    _server: asyncio.Server | None = None

    @classmethod
    async def open(cls, name: str, targets: list[Address]) -> Proxy:
        """Begin to listen."""
        proxy = cls(name, targets)
        proxy._server = await asyncio.start_server(proxy._serve, "127.0.0.1", 0, limit=CHUNK)
        proxy.port = proxy._server.sockets[0].getsockname()[1]
        return proxy

    async def close(self) -> None:
        """Listen no more."""
        if self._server is not None:
            self._server.close()
        self.cut()

    def cut(self) -> None:
        """Reset every connection there is. In the loop's thread."""
        for connection in list(self._open):
            connection.reset()
            self.cut_off += 1

    def clear_up(self) -> None:
        """Good weather again. What was half-open, or lost its answer, is of no use any more."""
        if self.weather.silent or self.weather.loses_after is not None:
            self.cut()
        self.weather = Weather()

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.accepted += 1
        if self.weather.refuses:
            _reset(writer)
            return
        far = await self._connect()
        if far is None:
            _reset(writer)
            return
        connection = _Connection(self, (reader, writer), far)
        self._open.add(connection)
        try:
            await connection.run()
        finally:
            self._open.discard(connection)

    async def _connect(self) -> tuple[asyncio.StreamReader, asyncio.StreamWriter] | None:
        for host, port in random.sample(self.targets, len(self.targets)):
            with contextlib.suppress(OSError, TimeoutError):
                async with asyncio.timeout(CONNECT_SECONDS):
                    return await asyncio.open_connection(host, port, limit=CHUNK)
        return None


class _Connection:
    """Two directions between a client and a server."""

    def __init__(
        self,
        proxy: Proxy,
        near: tuple[asyncio.StreamReader, asyncio.StreamWriter],
        far: tuple[asyncio.StreamReader, asyncio.StreamWriter],
    ) -> None:
        self._proxy = proxy
        self._near, self._far = near, far
        self._answered = 0  # bytes since answers began to be lost

    async def run(self) -> None:
        """Pass bytes on until both sides are through, or one is lost."""
        forth = asyncio.ensure_future(self._pass_on(self._near[0], self._far[1], self._request))
        back = asyncio.ensure_future(self._pass_on(self._far[0], self._near[1], self._answer))
        try:
            await asyncio.gather(forth, back)
        except (OSError, asyncio.CancelledError, RuntimeError):
            self.reset()
        finally:
            forth.cancel()
            back.cancel()
            for _, writer in (self._near, self._far):
                writer.close()

    async def _pass_on(
        self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, weathered: Callable[[bytes], bytes]
    ) -> None:
        while data := await reader.read(CHUNK):
            if delay := self._proxy.weather.delay:
                await asyncio.sleep(delay)
            if kept := weathered(data):
                writer.write(kept)
                await writer.drain()
            if len(kept) < len(data) and not self._proxy.weather.silent:
                raise ConnectionResetError
        if writer.can_write_eof() and not writer.is_closing():
            writer.write_eof()

    def _request(self, data: bytes) -> bytes:
        return b"" if self._proxy.weather.silent else data

    def _answer(self, data: bytes) -> bytes:
        weather = self._proxy.weather
        if weather.silent:
            return b""
        if weather.loses_after is None:
            self._answered = 0
            return data
        left = max(0, weather.loses_after - self._answered)
        self._answered += len(data)
        return data[:left]

    def reset(self) -> None:
        """Cut both sides, as a broken line would."""
        for _, writer in (self._near, self._far):
            _reset(writer)


def _reset(writer: asyncio.StreamWriter) -> None:
    """Close with RST instead of FIN: the other side learns that something broke."""
    with contextlib.suppress(OSError, AttributeError):
        linger = struct.pack("ii", 1, 0)
        writer.get_extra_info("socket").setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, linger)
    writer.transport.abort()
