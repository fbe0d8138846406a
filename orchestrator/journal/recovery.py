"""Journals that dead processes left behind: found by their missing lock, sent with the credentials of this profile."""

from __future__ import annotations

import contextlib
import fcntl
import json
import os
import threading
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, BinaryIO

import msgspec

from orchestrator import clock
from orchestrator.config import Api
from orchestrator.exceptions import ApiError, RecordError, TooLarge
from orchestrator.exchange import SCHEME
from orchestrator.journal.batches import Piece, body_of, fill_gap, pack
from orchestrator.journal.file import directory, first_seq, last_seq
from orchestrator.journal.transport import Transport
from orchestrator.wire import Answer

PART = 512 << 10  # bytes of one batch, unpacked
MAX_ROUNDS_WITHOUT_PROGRESS = 3

_decode = msgspec.json.Decoder(Answer).decode


@dataclass(slots=True)
class LeftBehind:
    """A journal file whose writer is gone, locked by us."""

    path: Path
    file: BinaryIO
    api_url: str
    root: str
    attempt: int
    writer: int
    token: str
    clock: str
    start: int  # bytes of the header

    @property
    def id(self) -> str:
        return f"{self.root}.{self.attempt}.{self.writer}"

    def close(self) -> None:
        """Give up the lock."""
        self.file.close()


@dataclass(slots=True)
class Found:
    """A journal file, for lists."""

    path: Path
    api_url: str
    root: str
    attempt: int
    writer: int
    token: str
    size: int
    live: bool


def open_left_behind(path: Path) -> LeftBehind | None:
    """Lock a journal file; None when its writer lives, or somebody else sends it.

    Raises:
        RecordError: It has no readable first line.
    """
    try:
        file = path.open("r+b")
    except FileNotFoundError:
        return None
    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        if not path.exists() or os.fstat(file.fileno()).st_ino != path.stat().st_ino:
            raise BlockingIOError  # Sent and removed, or replaced by its writer, while we waited.
    except (BlockingIOError, FileNotFoundError):
        file.close()
        return None
    header = _header(path, file)
    return LeftBehind(path, file, **header)


def _header(path: Path, file: BinaryIO) -> dict[str, Any]:
    line = file.readline(1 << 16)
    try:
        told = json.loads(line)
        return {
            "api_url": str(told["api_url"]),
            "root": str(told["root"]),
            "attempt": int(told["attempt"]),
            "writer": int(told["writer"]),
            "token": str(told["token"]),
            "clock": str(told.get("clock", "")),
            "start": len(line),
        }
    except (ValueError, KeyError, TypeError):
        file.close()
        raise RecordError(f"{path} is not a journal: its first line can't be read. Remove it.") from None


def found() -> Iterator[Found]:
    """All journal files of this user."""
    for path in sorted(directory().glob("*.ndjson")):
        try:
            with open(path, "rb") as file:
                header = _header(path, file)
                live = _is_locked(file)
            size = path.stat().st_size
        except (OSError, RecordError):
            continue
        told = {name: header[name] for name in ("api_url", "root", "attempt", "writer", "token")}
        yield Found(path, size=size, live=live, **told)


def _is_locked(file: BinaryIO) -> bool:
    try:
        fcntl.flock(file, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except BlockingIOError:
        return True
    fcntl.flock(file, fcntl.LOCK_UN)
    return False


def ship_all(api: Api, tell: Callable[[Path, str], None] | None = None) -> int:
    """Send every journal that was left behind for this API; the number of those that are through.

    Raises:
        ApiError: The API can't be reached, or does not know the key. What is not sent stays.
    """
    sent = 0
    transport = Transport(api)
    for path in sorted(directory().glob("*.ndjson")):
        try:
            sent += ship_one(path, api, transport)
        except RecordError as error:
            if tell is not None:
                tell(path, str(error))
    transport.close()
    return sent


def ship_one(path: Path, api: Api, transport: Transport | None = None) -> bool:
    """Send one journal, if its writer is gone and it is meant for this API. True when all of it is received."""
    left = open_left_behind(path)
    if left is None:
        return False
    own = transport or Transport(api)
    try:
        if left.api_url != api.url:
            return False
        return _ship(left, own)
    finally:
        left.close()
        if transport is None:
            own.close()


def _ship(left: LeftBehind, transport: Transport) -> bool:
    offset, stuck, size = left.start, 0, PART
    expected: int | None = None
    while True:
        piece = _next_piece(left, offset, size)
        if piece is None:
            left.path.unlink(missing_ok=True)
            return True
        if expected is not None and expected < piece.first:
            fill_gap(piece, expected)
        try:
            body = body_of([piece], clock.now_by(left.clock))
            answer = _decode(transport.post("/journal", *pack(body)))
        except TooLarge:
            if size <= 1 << 12:
                raise
            size //= 2
            continue
        if (
            any(refused.stream == left.id and refused.seq == 0 for refused in answer.rejected)
            and left.id not in answer.acked
        ):
            left.path.rename(left.path.with_suffix(".rejected"))
            return False
        expected = answer.expected.get(left.id)
        before = offset
        offset = _after(left, piece, answer, offset)
        stuck = stuck + 1 if offset == before else 0
        if stuck > MAX_ROUNDS_WITHOUT_PROGRESS:
            return False


def _after(left: LeftBehind, piece: Piece, answer: Answer, offset: int) -> int:
    """Where to go on: behind what was acked, or back at what is expected."""
    acked = answer.acked.get(left.id)
    if acked is not None and acked >= piece.last:
        return piece.end
    seq = acked + 1 if acked is not None else answer.expected.get(left.id, 0)
    return _offset_of(left, seq)


def _offset_of(left: LeftBehind, seq: int) -> int:
    left.file.seek(left.start)
    offset = left.start
    for line in left.file:
        if last_seq(line) >= seq or not line.endswith(b"\n"):
            return offset
        offset += len(line)
    return offset


def _next_piece(left: LeftBehind, offset: int, size: int) -> Piece | None:
    """Whole, sound lines from `offset` on. A torn last line, as a crash leaves it, counts as none."""
    left.file.seek(offset)
    lines = left.file.readlines(size)
    while lines and (not lines[-1].endswith(b"\n") or b'"seq":' not in lines[-1]):
        lines.pop()
    if not lines:
        return None
    data = b"".join(lines)
    return Piece(left, data, first_seq(lines[0]), last_seq(lines[-1]), offset, offset + len(data), 0)


_running = threading.Lock()


def ship_in_background(api: Api) -> None:
    """Send what was left behind, in a thread of low importance. Nobody waits for it.

    For an API of this process nothing can be left behind: it lives no longer than its clients.
    """
    if api.url.startswith(SCHEME) or not any(directory().glob("*.ndjson")):
        return
    threading.Thread(target=_quietly, args=(api,), name="orchestrator-recovery", daemon=True).start()


def _quietly(api: Api) -> None:
    if not _running.acquire(blocking=False):
        return
    try:
        with contextlib.suppress(ApiError, OSError, msgspec.DecodeError):
            ship_all(api)
    finally:
        _running.release()
