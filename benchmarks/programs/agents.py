"""Many idle agents in one process, speaking the agent's protocol over one kept connection each.

Each registers, waits at the server again and again, claims when it is told that something is due, and reports what it
was handed as completed. Times are those of the system's clock.
"""

import asyncio
import itertools
import json
import os
import threading
import time
from urllib.parse import urlsplit
from uuid import UUID

from asked import serve

from orchestrator.wire import WIRE, Batch, RunState, Stream, encode

ANSWER_WITHIN = 15.0
REGISTER_AT_ONCE = 20
WHOLE = 0.85
"""Of its time; a wait that was shorter was ended by a wake-up."""


class Connection:
    """One kept connection, as much of HTTP as the server's answers need."""

    def __init__(self, url, key):
        self._address = urlsplit(url)
        self._head = f"Host: {self._address.netloc}\r\nAuthorization: Bearer {key}\r\nOrchestrator-Wire: {WIRE}\r\n"
        self._streams = None

    async def ask(self, method, path, body=b"", timeout=30.0):
        """The answer's JSON."""
        async with asyncio.timeout(timeout):
            if self._streams is None:
                self._streams = await asyncio.open_connection(self._address.hostname, self._address.port)
            reader, writer = self._streams
            lines = f"{method} {self._address.path}{path} HTTP/1.1\r\n{self._head}Content-Length: {len(body)}\r\n\r\n"
            writer.write(lines.encode() + body)
            head = (await reader.readuntil(b"\r\n\r\n")).decode("latin-1")
            length = next(int(line[15:]) for line in head.lower().split("\r\n") if line.startswith("content-length:"))
            answer = await reader.readexactly(length)
        if not head.split(" ", 2)[1].startswith("2"):
            raise RuntimeError(f"{method} {path}: {head.splitlines()[0]} {answer[:500]!r}")
        return json.loads(answer) if answer else None


class Agents:
    """All of them, in an event loop of their own thread."""

    def __init__(self):
        self._loop = asyncio.new_event_loop()
        self._url, self._key = os.environ["ORCHESTRATOR_API_URL"], os.environ["ORCHESTRATOR_API_KEY"]
        self._tasks = set()
        self._numbers = itertools.count()
        self._places = asyncio.Semaphore(REGISTER_AT_ONCE)
        self._waiting = 0
        self._answers = 0
        self._woken = []
        self._claims = {}
        self._failures = []
        threading.Thread(target=self._loop.run_forever, daemon=True).start()

    def start(self, pool, count):
        """Have so many more of them wait."""
        self._loop.call_soon_threadsafe(self._start, pool, count)

    def _start(self, pool, count):
        for _ in range(count):
            self._tasks.add(self._loop.create_task(self._live(pool, f"idle-{next(self._numbers)}")))

    def state(self):
        """How many wait now, how many answers there were, when which were woken, which runs were claimed when."""
        return {
            "waiting": self._waiting,
            "answers": self._answers,
            "woken": self._woken,
            "claims": self._claims,
            "failures": self._failures[:3],
        }

    async def _live(self, pool, name):
        try:
            connection = Connection(self._url, self._key)
            told = {"pool": pool, "name": name, "slots": 1}
            async with self._places:
                agent = await connection.ask("POST", "/agents", json.dumps(told).encode())
            since = -1
            while True:
                since = await self._wait(connection, agent, since)
        except Exception as error:
            self._failures.append(f"{name}: {error!r}")

    async def _wait(self, connection, agent, since):
        self._waiting += 1
        began = time.monotonic()
        try:
            path = f"/agents/{agent['id']}/wait?since={since}"
            told = await connection.ask("GET", path, timeout=agent["wait_seconds"] + ANSWER_WITHIN)
        finally:
            self._waiting -= 1
        self._answers += 1
        if told["due"]:
            if since != -1 and time.monotonic() - began < WHOLE * agent["wait_seconds"]:
                self._woken.append(time.time())
            answer = await connection.ask("POST", f"/agents/{agent['id']}/claim", b'{"slots": 1}')
            for run in answer["runs"]:
                self._claims[run["run"]] = time.time()
                await connection.ask("POST", "/journal", _whole_run(run))
        return told["since"]


def _whole_run(claim):
    """The journal of a run in which nothing happens."""
    now, root = time.time_ns() // 1000, UUID(claim["run"])
    states = [
        RunState(seq=1, run=root, t=now, state="RUNNING", run_count=claim["run_count"]),
        RunState(seq=2, run=root, t=now, state="COMPLETED", run_count=claim["run_count"], duration=1),
    ]
    stream = Stream(root=root, attempt=claim["attempt"], writer=0, token=claim["token"], from_seq=1)
    return b"".join(encode(line) + b"\n" for line in [Batch(wire=WIRE, sent_at=now), stream, *states])


if __name__ == "__main__":
    agents = Agents()
    serve({"start": agents.start, "state": agents.state})
