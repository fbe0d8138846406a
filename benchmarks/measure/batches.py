"""Small journal batches as many short flows send them: how many a second the server takes."""

import secrets
import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing

import msgspec

from benchmarks.figures import percentile
from benchmarks.site import Site
from orchestrator.config import Api
from orchestrator.ids import uuid7
from orchestrator.journal.transport import Transport
from orchestrator.wire import WIRE, About, Answer, Batch, Log, RunState, Stream, TaskState, encode

SENDERS = 8


def batches(site: Site) -> dict[str, float]:
    """Eight local runs at once, each batch a task run and a log line."""
    api = Api(site.environment["ORCHESTRATOR_API_URL"], site.environment["ORCHESTRATOR_API_KEY"])
    stop = threading.Event()
    with ThreadPoolExecutor(SENDERS) as pool:
        sent = [pool.submit(_send_all, api, stop) for _ in range(SENDERS)]
        began = time.perf_counter()
        time.sleep(site.sizes.batch_seconds)
        stop.set()
        seconds = [each for future in sent for each in future.result(60)]
        took = time.perf_counter() - began
    return {"batches.rate": len(seconds) / took, "batches.p95": 1000 * percentile(seconds, 0.95)}


def _send_all(api: Api, stop: threading.Event) -> list[float]:
    """Send one run's batches, one after the other; the seconds of each."""
    seconds = []
    with closing(Transport(api)) as transport:
        for body, last in _bodies():
            began = time.perf_counter()
            answer = msgspec.json.decode(transport.post("/journal", body, ""), type=Answer)
            seconds.append(time.perf_counter() - began)
            if answer.rejected or last not in answer.acked.values():
                raise RuntimeError(f"A batch was not taken as it was sent: {answer}")
            if stop.is_set():
                return seconds
    return seconds


def _bodies() -> Iterator[tuple[bytes, int]]:
    """A run's batches without end, each with the number of its last entry. The first one begins the run."""
    root, token, seq = uuid7(), secrets.token_hex(16), 0
    while True:
        now = time.time_ns() // 1000
        entries = [
            TaskState(seq=0, run=root, t=now, id=uuid7(), task="nothing", state="COMPLETED", started=now, ended=now),
            Log(seq=0, run=root, t=now, message="Nothing happened."),
        ]
        if seq == 0:
            entries.insert(0, RunState(seq=0, run=root, t=now, state="RUNNING", about=About(flow="batches")))
        first = seq + 1
        for entry in entries:
            seq += 1
            entry.seq = seq
        stream = Stream(root=root, attempt=1, writer=0, token=token, from_seq=first)
        lines = [Batch(wire=WIRE, sent_at=now), stream, *entries]
        yield b"".join(encode(line) + b"\n" for line in lines), seq
