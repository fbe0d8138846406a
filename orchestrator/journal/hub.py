"""All that one process has to tell to one API: a queue, and two threads.

User threads put records into the queue (a tenth of a microsecond). The draining thread numbers them, makes them into
lines and writes them to the streams' files: at once when it was idle, else every few milliseconds. The shipping
thread sends what the files hold.
"""

from __future__ import annotations

import atexit
import os
import queue
import sys
import threading
import time
from collections import defaultdict
from collections.abc import Iterable
from typing import TYPE_CHECKING, Any
from uuid import UUID

from orchestrator import clock
from orchestrator.config import Api, setting
from orchestrator.journal.records import Finish, Resumed, RunReport
from orchestrator.journal.stream import Stream

if TYPE_CHECKING:
    from orchestrator.engine.stopping import Stopping
    from orchestrator.journal.file import JournalFile

GATHER = 0.01  # seconds between two writes while records keep coming
AT_ONCE = 2_000  # records of one write
BACKLOG = 200_000  # records; a thread that is this far ahead waits for the writer
EXIT_SECONDS = 10.0
END_SECONDS = 5.0  # that the threads of a hub may take to end
NOTE_AFTER = 1.0  # seconds of waiting at the end before people are told why
_WAKE: Any = None


class Hub:
    """The journal of one process for one API.

    Attributes:
        streams: Those that have something to say, or are not finished.
        asleep: True while the draining thread waits without a time-out.
        urgent: Set when the next batch must not wait.
    """

    def __init__(self, api: Api) -> None:
        self.api = api
        self.streams: dict[str, Stream] = {}
        self.asleep = False
        self.urgent = False
        self.changed = threading.Condition()
        self.closing = False
        self._records: queue.SimpleQueue[Any] = queue.SimpleQueue()
        self._abandoned = False
        self._starting = threading.Lock()
        self._threads: list[threading.Thread] = []
        self._shipper: Any = None
        atexit.register(self._at_exit)

    # User threads.

    def open(
        self, *, root: UUID, attempt: int, writer: int, token: str, stopping: Stopping | None, local: bool
    ) -> Stream:
        """Begin a stream. Its file is made when the first record is written."""
        stream = Stream(self, root=root, attempt=attempt, writer=writer, token=token, stopping=stopping, local=local)
        if not self._threads and not self._abandoned:
            with self._starting:  # Several threads may open the first ones, each of them a root.
                self._start()
        return stream

    def put(self, item: tuple[Stream, Any]) -> None:
        """Append a record to a stream."""
        self._records.put(item)
        if self._records.qsize() > BACKLOG:
            self._let_drain()

    def wake(self) -> None:
        """Have the draining thread look at what is open."""
        self._records.put(_WAKE)

    def _let_drain(self) -> None:
        until = time.monotonic() + 5.0
        while self._records.qsize() > BACKLOG // 2 and time.monotonic() < until and not self._abandoned:
            time.sleep(0.005)

    def _start(self) -> None:
        if self._threads:
            return
        from orchestrator.journal.shipper import Shipper

        self._shipper = Shipper(self)
        self._threads = [
            threading.Thread(target=self._drain, name="orchestrator-journal", daemon=True),
            threading.Thread(target=self._shipper.run, name="orchestrator-shipper", daemon=True),
        ]
        for thread in self._threads:
            thread.start()

    def abandon(self) -> None:
        """In a forked child: what is queued, open or on disk belongs to the parent."""
        self._abandoned = True
        self._threads = []
        self._records = _Nowhere()
        for stream in self.streams.values():
            stream.open.clear()
            if stream.file is not None:
                stream.file.abandon()
        self.streams = {}
        atexit.unregister(self._at_exit)

    # The draining thread.

    def _drain(self) -> None:
        next_due: float | None = None
        while not self._abandoned:
            items = self._next_items(next_due)
            if items:
                self._write(items)
            next_due = self._announce()
            if items and not self.closing:
                time.sleep(GATHER)

    def _next_items(self, next_due: float | None) -> list[Any]:
        timeout = None if next_due is None else max(0.0, next_due - clock.now() / 1_000_000)
        self.asleep = timeout is None
        if self.asleep and self._something_opened():
            timeout = 0.1  # A task began just before we said that we sleep.
        try:
            items = [self._records.get(timeout=timeout)]
        except queue.Empty:
            return []
        finally:
            self.asleep = False
        while len(items) < AT_ONCE:
            try:
                items.append(self._records.get_nowait())
            except queue.Empty:
                break
        return items

    def _something_opened(self) -> bool:
        streams = list(self.streams.values())
        return any(stream.progress or any(not run.announced for run in list(stream.open)) for stream in streams)

    def _write(self, items: Iterable[Any]) -> None:
        lines: defaultdict[Stream, list[bytes]] = defaultdict(list)
        urgent = False
        flushes: list[threading.Event] = []
        for item in items:
            if item is _WAKE:
                continue
            if isinstance(item, threading.Event):
                flushes.append(item)
                continue
            stream, record = item
            if type(record) is Finish:
                stream.finished = True
                self._add(stream, stream.last_progress(), lines)
            elif type(record) is Resumed:
                stream.resumed = (stream.seq, record.number)
            elif not stream.refused:
                self._add(stream, [record], lines)
                urgent = urgent or (type(record) is RunReport and record.urgent and record.run == stream.root)
        for stream in list(self.streams.values()) if flushes else ():
            self._add(stream, stream.last_progress(), lines)
        with self.changed:
            self._append(lines)
            self.urgent = self.urgent or urgent
            self.changed.notify_all()
        for flush in flushes:
            flush.set()

    @staticmethod
    def _add(stream: Stream, records: Iterable[Any], lines: dict[Stream, list[bytes]]) -> None:
        """Number records and make them lines."""
        from orchestrator.journal.entries import line_of

        written = lines[stream]
        for record in records:
            stream.seq += 1
            written.append(line_of(record, stream.seq, stream.root))

    def _append(self, lines: dict[Stream, list[bytes]]) -> None:
        for stream, written in lines.items():
            if not written and stream.file is None:
                continue
            file = stream.file = stream.file or self._new_file(stream)
            self.streams[stream.id] = stream
            if written:
                file.append(b"".join(written))

    def _new_file(self, stream: Stream) -> JournalFile:
        from orchestrator.journal.file import JournalFile, directory

        header = {
            "kind": "journal",
            "api_url": self.api.url,
            "root": str(stream.root),
            "attempt": stream.attempt,
            "writer": stream.writer,
            "token": stream.token,
            "pid": os.getpid(),
            "clock": clock.reading(),
        }
        return JournalFile(directory() / f"{stream.id}.ndjson", header)

    def _announce(self) -> float | None:
        """Tell of tasks that have run for a while, and of progress; the time (s UTC) at which to look again."""
        times: list[int] = []
        for stream in list(self.streams.values()):
            for told, due in (stream.late_to_announce(), stream.progress_to_tell()):
                if told:
                    self._write([(stream, record) for record in told])
                times += [] if due is None else [due]
        return min(times) / 1_000_000 if times else None

    # The end.

    def write_out(self, timeout: float) -> bool:
        """Wait until everything told so far is in files."""
        written = threading.Event()
        self._records.put(written)
        return written.wait(timeout)

    def flush(self, timeout: float) -> bool:
        """Wait until everything told so far is acked."""
        return self._wait_until_acked(time.monotonic() + timeout)

    def _wait_until_acked(self, until: float, note: bool = False) -> bool:
        written = threading.Event()
        self._records.put(written)
        if not self._threads or not written.wait(until - time.monotonic()):
            return not self._threads
        note_at = time.monotonic() + NOTE_AFTER if note else float("inf")
        self._shipper.hurry()
        with self.changed:
            while not self._all_acked():
                self.urgent = True
                self.changed.notify_all()
                left = until - time.monotonic()
                if left <= 0 or not all(thread.is_alive() for thread in self._threads):
                    return False
                if time.monotonic() > note_at:
                    note_at = float("inf")
                    print("Orchestrator: sending the last entries of the journal …", file=sys.stderr)
                self.changed.wait(min(left, 0.1))
        return True

    def _all_acked(self) -> bool:
        streams = list(self.streams.values())
        return all(stream.refused or stream.file is None or stream.file.all_acked for stream in streams)

    def end(self) -> None:
        """Do what the end of the process does, while the process goes on: nothing is appended any more."""
        self._at_exit()
        threads, self._threads = self._threads, []
        self._abandoned = True
        self.wake()
        with self.changed:
            self.changed.notify_all()
        for thread in threads:
            thread.join(END_SECONDS)
        for stream in self.streams.values():
            if stream.file is not None:
                stream.file.close(remove=stream.finished and stream.file.all_acked and not stream.refused)
        self.streams = {}
        atexit.unregister(self._at_exit)

    @property
    def is_over(self) -> bool:
        """True when nothing is to be sent any more, by this process or by this hub of it."""
        return self._abandoned

    def _at_exit(self) -> None:
        if self._abandoned or not self._threads:
            return
        self.closing = True
        try:
            through = self._wait_until_acked(time.monotonic() + exit_seconds(), note=True)
        except KeyboardInterrupt:
            through = False
        if not through:
            self._tell_what_is_left()

    def _tell_what_is_left(self) -> None:
        files = [s.file for s in self.streams.values() if s.file is not None and not s.refused]
        left = [file.path for file in files if not file.in_memory and not file.all_acked]
        for path in left[:3]:
            print(f"Orchestrator: not all was sent; the rest is in {path}", file=sys.stderr)
        if left:
            print("Orchestrator: the next flow sends it, or `orchestrator journal ship`.", file=sys.stderr)


class _Nowhere(queue.SimpleQueue[Any]):
    """Where records of a forked child go."""

    def put(self, item: Any, block: bool = True, timeout: float | None = None) -> None:
        return


def exit_seconds() -> float:
    """How long a process waits at its end for the last ack."""
    try:
        return float(setting("EXIT_SECONDS", str(EXIT_SECONDS)))
    except ValueError:
        return EXIT_SECONDS
