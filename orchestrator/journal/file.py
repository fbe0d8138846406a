"""The unacked entries of one stream, on disk.

The first line says whose they are; then one entry a line, in order. The process that writes holds a lock on the file:
a file without one was left behind. Offsets count bytes of entries since the stream began, so they stay true when
acked entries are cut away. Where the disk refuses, memory takes over, within a bound.
"""

from __future__ import annotations

import contextlib
import fcntl
import io
import json
import os
import re
import sys
import threading
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import Any, BinaryIO, cast
from uuid import UUID

from orchestrator.journal.entries import dropped_line

MAX_BYTES = 1 << 30
MAX_MEMORY = 64 << 20
_CUT_FROM = 4 << 20  # bytes of acked entries that are worth a rewrite
_SEQ = re.compile(rb'"seq":(\d+)')
_LAST = re.compile(rb'"last":(\d+)')
_DEBUG = re.compile(rb'"level":(?:[0-9]|10)[,}]')


def directory() -> Path:
    """Where the journals of this user are."""
    from orchestrator.config import home

    return home() / "journals"


def max_bytes() -> int:
    """How large one file may grow."""
    try:
        return int(os.environ.get("ORCHESTRATOR_JOURNAL_BYTES", MAX_BYTES))
    except ValueError:
        return MAX_BYTES


class JournalFile:
    """Written by the hub's thread, read by the shipper's."""

    def __init__(self, path: Path, header: dict[str, Any]) -> None:
        self.path = path
        self.root = UUID(header["root"])
        self.size = 0  # where the next entry will be
        self.base = 0  # where the oldest one kept is
        self.acked = 0  # everything before is received
        self.generation = 0  # raised when entries were given up: offsets taken before are void
        self.in_memory = False
        self._header = json.dumps(header).encode() + b"\n"
        self._lock = threading.RLock()
        self._limit = max_bytes()
        self._file: BinaryIO = self._create()

    def _create(self) -> BinaryIO:
        try:
            self.path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
            return self._fresh(self.path)
        except OSError as error:
            return self._fall_back(error)

    def _fresh(self, path: Path) -> BinaryIO:
        # Locked under another name first: a recoverer must never see it unlocked.
        hidden = path.with_suffix(f".{os.getpid()}.tmp")
        file = os.fdopen(os.open(hidden, os.O_RDWR | os.O_CREAT | os.O_TRUNC, 0o600), "w+b", buffering=0)
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        file.write(self._header)
        os.replace(hidden, path)
        return cast(BinaryIO, file)

    def _fall_back(self, error: OSError) -> BinaryIO:
        print(f"Orchestrator: {self.path} can't be written ({error}); the journal stays in memory.", file=sys.stderr)
        self.in_memory = True
        self._limit = MAX_MEMORY
        memory = io.BytesIO()
        memory.write(self._header)
        return memory

    # The hub's thread.

    def append(self, data: bytes) -> None:
        """Write whole lines behind what is there."""
        with self._lock:
            try:
                self._write_at(self._physical(self.size), data)
            except OSError as error:
                kept = b"".join(self._chunks(self.acked, self.size))
                self._file, self.base = self._fall_back(error), self.acked
                self._write_at(len(self._header), kept + data)
            self.size += len(data)
            if self.size - self.base > self._limit:
                self._shed()

    def _write_at(self, position: int, data: bytes) -> None:
        self._file.seek(position)
        view = memoryview(data)
        while view:
            written = self._file.write(view)
            view = view[written:]

    # The shipper's thread.

    def read(self, offset: int, size: int) -> bytes:
        """Whole lines from `offset` on: `size` bytes at most, but always one line if there is one."""
        with self._lock:
            offset = max(offset, self.base)
            data = self._read_at(offset, min(size, self.size - offset))
            end = data.rfind(b"\n") + 1
            while not end and offset + len(data) < self.size:
                size *= 2
                data = self._read_at(offset, min(size, self.size - offset))
                end = data.rfind(b"\n") + 1
            return data[:end]

    def trim(self, offset: int) -> None:
        """Everything before `offset` is received: it may go."""
        with self._lock:
            self.acked = max(self.acked, offset)
            if self.acked == self.size and self.size > self.base:
                self._file.truncate(len(self._header))
                self.base = self.size
            elif self.acked - self.base > max(_CUT_FROM, (self.size - self.base) // 2):
                self._rewrite(self._chunks(self.acked, self.size))
                self.base = self.acked

    def offset_of(self, seq: int) -> int:
        """Where the first unacked entry with this number or a higher one begins."""
        with self._lock:
            offset = max(self.acked, self.base)
            while line := self.read(offset, 1 << 16):
                for each in line.splitlines(keepends=True):
                    if last_seq(each) >= seq:
                        return offset
                    offset += len(each)
            return offset

    def close(self, remove: bool) -> None:
        """Let go of the file; with `remove`, delete it."""
        with self._lock:
            if remove and not self.in_memory:
                with contextlib.suppress(OSError):
                    self.path.unlink()
            with contextlib.suppress(OSError):
                self._file.close()

    @property
    def all_acked(self) -> bool:
        """True when the server has everything."""
        return self.acked >= self.size

    def abandon(self) -> None:
        """In a forked child: close this copy. The lock stays with the parent."""
        with contextlib.suppress(OSError):
            self._file.close()

    def set_aside(self) -> None:
        """Rename the file: the server will not take it."""
        with self._lock, contextlib.suppress(OSError):
            if not self.in_memory:
                self.path.rename(self.path.with_suffix(".rejected"))

    # Inside.

    def _physical(self, offset: int) -> int:
        return len(self._header) + offset - self.base

    def _read_at(self, offset: int, size: int) -> bytes:
        self._file.seek(self._physical(offset))
        parts: list[bytes] = []
        while size > 0 and (part := self._file.read(size)):
            parts.append(part)
            size -= len(part)
        return b"".join(parts)

    def _chunks(self, start: int, end: int) -> Iterator[bytes]:
        while start < end and (data := self.read(start, 1 << 20)):
            yield data
            start += len(data)

    def _rewrite(self, chunks: Iterable[bytes]) -> int:
        """Replace the entries by these, in a new file under the same name; the number of their bytes."""
        old, position = self._file, len(self._header)
        if self.in_memory:
            fresh: BinaryIO = io.BytesIO()
            fresh.write(self._header)
        else:
            fresh = self._fresh(self.path)
        for chunk in chunks:
            fresh.seek(position)
            fresh.write(chunk)
            position += len(chunk)
        self._file = fresh
        old.close()
        return position - len(self._header)

    def _shed(self) -> None:
        """The bound is reached: give up debug lines, then all log lines, then all but the states of the run."""
        for droppable in (_is_debug, _is_log, _is_not_run_state):
            chunks = self._chunks(self.acked, self.size)
            kept = self._rewrite(without(chunks, droppable, self.root))
            self.base = self.acked
            self.size = self.acked + kept
            self.generation += 1
            if kept < self._limit * 3 // 4:
                return


def _is_debug(line: bytes) -> bool:
    return _is_log(line) and _DEBUG.search(line[:400]) is not None


def _is_log(line: bytes) -> bool:
    return line.startswith(b'{"kind":"log"')


def _is_not_run_state(line: bytes) -> bool:
    return not line.startswith(b'{"kind":"run.state"')


def first_seq(line: bytes) -> int:
    """The number of an entry."""
    found = _SEQ.search(line)
    return int(found[1]) if found else 0


def last_seq(line: bytes) -> int:
    """The number of an entry, or the last one that it covers."""
    if line.startswith(b'{"kind":"dropped"'):
        found = _LAST.search(line)
        if found:
            return int(found[1])
    return first_seq(line)


class _Gap:
    """Entries that were given up, one after the other."""

    def __init__(self, root: UUID) -> None:
        self._root = root
        self._first = 0
        self._last = 0
        self._kinds: dict[str, int] = {}

    def take(self, line: bytes) -> None:
        """Give up one more; one that already stands for others joins them."""
        self._first = self._first or first_seq(line)
        self._last = last_seq(line)
        kind = line[9 : line.index(b'"', 9)].decode()
        counted = json.loads(line).get("count", {}) if kind == "dropped" else {kind: 1}
        for name, number in counted.items():
            self._kinds[name] = self._kinds.get(name, 0) + number

    def close(self) -> Iterator[bytes]:
        """The entry that stands for them, if there are any."""
        if self._first:
            yield dropped_line(self._first, self._last, self._root, "the journal file was full", self._kinds)
        self._first, self._kinds = 0, {}


def without(chunks: Iterable[bytes], droppable: Callable[[bytes], bool], root: UUID) -> Iterator[bytes]:
    """The lines that are kept; each row of others is replaced by one `dropped` entry."""
    gap = _Gap(root)
    for chunk in chunks:
        kept: list[bytes] = []
        for line in chunk.splitlines(keepends=True):
            if line.startswith(b'{"kind":"dropped"') or droppable(line):
                gap.take(line)
                continue
            kept += gap.close()
            kept.append(line)
        yield b"".join(kept)
    yield from gap.close()
