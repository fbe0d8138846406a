"""What a child tells goes through the pipe to its parent, which is writer 0 of the execution.

Records become lines here, masked, and are given their numbers there. One thread sends them, in the order in which they
were put, outcomes of calls among them: when a call is done, all that it told has been sent.
"""

from __future__ import annotations

import contextlib
import queue
import socket
import threading
import time
from typing import Any
from uuid import UUID

from orchestrator.elsewhere.frames import TOLD, frame
from orchestrator.journal.stream import Stream

LOOK_EVERY = 0.1  # seconds between two looks at what is under way
AT_ONCE = 500  # records of one message
BACKLOG = 20_000  # records; a thread that is this far ahead waits for the sender


class Upward:
    """The sending half of a child's pipe.

    Attributes:
        stream: Where runs put their records; None when nobody wants to hear.
        busy: True while a call is under way.
        asleep: Never: what is under way is looked at again and again.
    """

    asleep = False

    def __init__(self, connection: socket.socket) -> None:
        self.stream: Stream | None = None
        self.busy = False
        self._root = UUID(int=0)
        self._connection = connection
        self._items: queue.SimpleQueue[Any] = queue.SimpleQueue()
        threading.Thread(target=self._send_all, name="orchestrator-upward", daemon=True).start()

    def open(self, root: UUID) -> Stream:
        """From now on records of this execution are sent."""
        self._root = root
        self.stream = Stream(self, root=root, attempt=0, writer=0, token="", stopping=None, local=False)  # type: ignore[arg-type]
        return self.stream

    def say(self, kind: bytes, payload: bytes = b"") -> None:
        """Send a message, after all that was put before."""
        for told in self.stream.last_progress() if self.stream is not None else ():
            self._items.put(told)
        self._items.put(frame(kind, payload))

    def put(self, item: tuple[Stream, Any]) -> None:
        """Append a record."""
        self._items.put(item[1])
        while self._items.qsize() > BACKLOG:
            time.sleep(0.005)

    def flush(self, seconds: float) -> None:
        """Wait until all that was put is sent."""
        sent = threading.Event()
        self._items.put(sent)
        sent.wait(seconds)

    # The sending thread.

    def _send_all(self) -> None:
        # A parent that is gone hears nothing; the listening thread will see it.
        with contextlib.suppress(OSError):
            while True:
                self._send(self._next_items())

    def _next_items(self) -> list[Any]:
        try:
            items = [self._items.get(timeout=LOOK_EVERY if self.busy else None)]
        except queue.Empty:
            items = []
        while len(items) < AT_ONCE and not self._items.empty():
            items.append(self._items.get())
        if self.stream is not None:
            items += [*self.stream.late_to_announce()[0], *self.stream.progress_to_tell()[0]]
        return items

    def _send(self, items: list[Any]) -> None:
        from orchestrator.journal.entries import line_of

        lines: list[bytes] = []
        for item in items:
            if not isinstance(item, bytes | threading.Event):
                lines.append(line_of(item, 0, self._root))
                continue
            self._send_lines(lines)
            lines = []
            if isinstance(item, bytes):
                self._connection.sendall(item)
            else:
                item.set()
        self._send_lines(lines)

    def _send_lines(self, lines: list[bytes]) -> None:
        if lines:
            self._connection.sendall(frame(TOLD, b"".join(lines)))
