"""What goes into one request, and how it is packed."""

from __future__ import annotations

import gzip
from dataclasses import dataclass
from typing import Any
from uuid import UUID

from orchestrator import clock
from orchestrator.journal.entries import dropped_line
from orchestrator.journal.file import JournalFile, first_seq, last_seq
from orchestrator.wire import WIRE, Batch, encode
from orchestrator.wire import Stream as StreamLine

PACK_FROM = 1_000  # bytes; less is not worth packing


@dataclass(slots=True)
class Piece:
    """Entries of one stream in one batch."""

    stream: Any
    lines: bytes
    first: int
    last: int
    start: int  # offset of the first entry in the file
    end: int
    generation: int


def take(stream: Any, file: JournalFile, offset: int, size: int) -> Piece | None:
    """The entries from `offset` on, `size` bytes at most; None when there is none."""
    generation = file.generation
    lines = file.read(offset, size)
    if not lines:
        return None
    last_line = lines[lines.rfind(b"\n", 0, -1) + 1 :]
    first_line = lines[: lines.index(b"\n")]
    return Piece(stream, lines, first_seq(first_line), last_seq(last_line), offset, offset + len(lines), generation)


def body_of(pieces: list[Piece], sent_at: int | None = None) -> bytes:
    """The body of a request: the batch line, and each stream's line before its entries.

    Args:
        sent_at: Now, by the clock that the entries were written by (µs UTC); this process's own by default.
    """
    parts = [encode(Batch(wire=WIRE, sent_at=sent_at or clock.now())), b"\n"]
    for piece in pieces:
        head = StreamLine(
            root=UUID(str(piece.stream.root)),
            attempt=piece.stream.attempt,
            writer=piece.stream.writer,
            token=piece.stream.token,
            from_seq=piece.first,
        )
        parts += [encode(head), b"\n", piece.lines]
    return b"".join(parts)


def fill_gap(piece: Piece, expected: int) -> None:
    """The server wants entries that are gone: tell it that they are, or it would ask for ever."""
    gap = dropped_line(expected, piece.first - 1, UUID(str(piece.stream.root)), "no longer kept", {})
    piece.lines = gap + piece.lines
    piece.first = expected


def pack(body: bytes) -> tuple[bytes, str]:
    """The body packed, and the name of the packing."""
    if len(body) < PACK_FROM:
        return body, ""
    try:
        import zstandard
    except ImportError:
        return gzip.compress(body, 1), "gzip"
    return zstandard.ZstdCompressor(level=1).compress(body), "zstd"
