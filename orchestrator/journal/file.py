"""The unacked entries of one stream, on disk.

The first line says whose they are; then one entry a line, in order. The process that writes holds a lock on the file:
a file without one was left behind. Offsets count bytes of entries since the stream began, so they stay true when
acked entries are cut away. Where the disk refuses, memory takes over, within a bound.
"""

from __future__ import annotations

import contextlib
import fcntl
import io
import itertools
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
    from orchestrator.config import setting

    try:
        return int(setting("JOURNAL_BYTES", str(MAX_BYTES)))
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
        self._on_disk: BinaryIO | None = None  # In memory: what was written before. Its lock says that we live.
        self._file: BinaryIO = self._create()

    def _create(self) -> BinaryIO:
        try:
            self.path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
            return self._written([])
        except OSError as error:
            return self._memory(error)

    def _written(self, chunks: Iterable[bytes]) -> BinaryIO:
        """A new file with these entries, in place of the present one once it is whole."""
        # Locked under another name first: a recoverer must never see it unlocked.
        hidden = self.path.with_suffix(f".{os.getpid()}.tmp")
        file = os.fdopen(os.open(hidden, os.O_RDWR | os.O_CREAT | os.O_TRUNC, 0o600), "w+b", buffering=0)
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            for chunk in itertools.chain([self._header], chunks):
                _write_all(cast(BinaryIO, file), chunk)
            os.replace(hidden, self.path)
        except OSError:
            file.close()
            with contextlib.suppress(OSError):
                os.unlink(hidden)
            raise
        return cast(BinaryIO, file)

    def _memory(self, error: OSError) -> BinaryIO:
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
                self._write_at_end(data)
            except OSError as error:
                self._go_to_memory(error)
                self._write_at_end(data)
            self.size += len(data)
            if self.size - self.base > self._limit:
                self._shed()

    def _write_at_end(self, data: bytes) -> None:
        self._file.seek(self._physical(self.size))
        _write_all(self._file, data)

    def _go_to_memory(self, error: OSError) -> None:
        """Take along what is not received yet, as much of it as memory may hold."""
        memory = self._memory(error)
        kept = self._kept_within_limit() if self.size - self.acked > self._limit else None
        for chunk in self._chunks(self.acked, self.size) if kept is None else kept:
            memory.write(chunk)
        self._on_disk, self._file = self._file, memory
        self._count_anew(memory.tell(), given_up=kept is not None)

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
                with contextlib.suppress(OSError):  # No room for a second one: this one goes on as it is.
                    self._replace(self._chunks(self.acked, self.size), given_up=False)

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
            if remove and (self._on_disk is not None or not self.in_memory):
                with contextlib.suppress(OSError):
                    self.path.unlink()
            self.abandon()

    @property
    def all_acked(self) -> bool:
        """True when the server has everything."""
        return self.acked >= self.size

    def abandon(self) -> None:
        """In a forked child: close this copy. The lock stays with the parent."""
        for file in filter(None, (self._file, self._on_disk)):
            with contextlib.suppress(OSError):
                file.close()

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

    def _replace(self, chunks: Iterable[bytes], *, given_up: bool) -> None:
        """Keep these entries only, in a new file under the same name."""
        if self.in_memory:
            fresh: BinaryIO = io.BytesIO()
            for chunk in itertools.chain([self._header], chunks):
                fresh.write(chunk)
        else:
            fresh = self._written(chunks)
        old, self._file = self._file, fresh
        old.close()
        self._count_anew(fresh.seek(0, os.SEEK_END), given_up)

    def _count_anew(self, length: int, given_up: bool) -> None:
        """The file has this length, and begins with what is not received."""
        self.base = self.acked
        self.size = self.base + length - len(self._header)
        self.generation += given_up

    def _shed(self) -> None:
        """The bound is reached: give up what has to be."""
        try:
            self._replace(self._kept_within_limit(), given_up=True)
        except OSError as error:
            self._go_to_memory(error)

    def _kept_within_limit(self) -> Iterator[bytes]:
        """What is not received, without debug lines, or all log lines, or all but the states of the run."""
        for droppable in (_is_debug, _is_log, _is_not_run_state):
            kept = sum(map(len, without(self._chunks(self.acked, self.size), droppable, self.root)))
            if kept < self._limit * 3 // 4:
                break
        return without(self._chunks(self.acked, self.size), droppable, self.root)


def _write_all(file: BinaryIO, data: bytes) -> None:
    """A disk that is about to be full takes a part only."""
    view = memoryview(data)
    while view:
        view = view[file.write(view) :]


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
