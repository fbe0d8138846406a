"""Read journal batches: from the bytes of a request to streams of entries.

Shared by every server that receives journals. Everything that can be wrong with a line is found here or by the
database; a bad line never costs its neighbours.
"""

from __future__ import annotations

import gzip
import io
import json
import zlib
from dataclasses import dataclass, field
from typing import Any, TypeVar
from uuid import UUID

import msgspec

from orchestrator.states import StateType
from orchestrator.storable import json_value
from orchestrator.wire import (
    ARTIFACT_KEY,
    MAX_BATCH,
    MAX_BATCH_PACKED,
    MAX_ENTRY,
    AnyEntry,
    Artifact,
    Batch,
    Dropped,
    Event,
    Log,
    RunState,
    Stream,
    TaskState,
    Usage,
    cut_log,
    decode_entry,
    wrong_in_event,
)

EARLIEST, LATEST = 946_684_800_000_000, 4_102_444_800_000_000  # 2000 and 2100, µs UTC
LONGEST = LATEST - EARLIEST  # a duration, µs
MAX_SEQ = 2**62
MAX_TOKEN = 200  # characters
QUARANTINED_TEXT = 64 << 10  # characters that are kept of an entry which can't be taken
STATES = frozenset(StateType)
_Head = TypeVar("_Head", Batch, Stream)


class NoBatch(ValueError):
    """The bytes are not a batch."""


class BatchTooLarge(ValueError):
    """A batch has 1 MiB packed and 16 MiB unpacked at most."""


@dataclass(slots=True)
class Part:
    """The entries of one stream in one batch."""

    head: Stream
    entries: list[AnyEntry] = field(default_factory=list)
    bad: list[tuple[int, str, bytes]] = field(default_factory=list)  # (seq, code, line)
    next_seq: int = 0
    broken: bool = False  # A sequence number was missing inside the batch: what follows is not read.

    def __post_init__(self) -> None:
        self.next_seq = self.head.from_seq


class _Kind(msgspec.Struct):
    kind: str


def unpack(body: bytes, encoding: str) -> bytes:
    """Undo the content encoding, never past the bound.

    Raises:
        BatchTooLarge: More than 1 MiB packed or 16 MiB unpacked.
        NoBatch: The encoding is unknown, or the bytes are not of it.
    """
    if encoding in {"", "identity"}:
        return _bounded(body, MAX_BATCH)
    _bounded(body, MAX_BATCH_PACKED)
    import zstandard

    try:
        if encoding == "zstd":
            stream: Any = zstandard.ZstdDecompressor(max_window_size=1 << 24).stream_reader(io.BytesIO(body))
        elif encoding == "gzip":
            stream = gzip.GzipFile(fileobj=io.BytesIO(body))
        else:
            raise NoBatch(f"Content-Encoding {encoding!r} is not spoken here. Use zstd, gzip or none.")
        return _bounded(stream.read(MAX_BATCH + 1), MAX_BATCH)
    except (zstandard.ZstdError, zlib.error, OSError, EOFError) as error:
        raise NoBatch(f"The body is not {encoding}: {error}") from error


def _bounded(body: bytes, limit: int) -> bytes:
    if len(body) > limit:
        raise BatchTooLarge(f"A batch has {limit >> 20} MiB at most. Send it in parts.")
    return body


def read_batch(body: bytes) -> tuple[Batch, list[Part]]:
    """Read a whole batch.

    Raises:
        NoBatch: The first line is no batch line, entries come before a stream line, or a stream comes twice.
    """
    lines = body.split(b"\n")
    batch = _head(lines[0], Batch)
    if not EARLIEST <= batch.sent_at <= LATEST:
        raise NoBatch("sent_at is not a time in microseconds UTC.")
    parts: list[Part] = []
    for line in lines[1:]:
        if not line.strip():
            continue
        part = parts[-1] if parts else None
        head = _read_line(part, line)
        if head is not None:
            parts.append(Part(head))
    if len({part.head.id for part in parts}) < len(parts):
        raise NoBatch("A stream comes once in a batch, with all of its entries behind it.")
    return batch, parts


def read_kept(entry: str, *, root: UUID, attempt: int, writer: int, seq: int) -> Part:
    """Read an entry that was kept in quarantine, as the only one of its stream's part."""
    part = Part(Stream(root=root, attempt=attempt, writer=writer, token="", from_seq=seq))
    try:
        read = _read_line(part, entry.encode())
    except NoBatch:
        read = None
    if read is not None or not (part.entries or part.bad):
        part.bad.append((seq, "invalid", b""))
    return part


def may_open(part: Part, own_run: UUID | None) -> bool:
    """Say whether a credential may open a part's stream: a run's own token opens its own root only (`own_run`); a key,
    which has none, opens what it has the attempt's token for.
    """
    head = part.head
    own = own_run is None or head.root == own_run
    return own and 0 < head.attempt < 2**31 and 0 <= head.writer < 2**31 and 0 < len(head.token) <= MAX_TOKEN


def begins_local_run(part: Part) -> bool:
    """Say whether a part opens an execution that its client made by itself."""
    head = part.head
    first = part.entries[0] if part.entries else None
    return (
        (head.attempt, head.writer, head.from_seq) == (1, 0, 1)
        and isinstance(first, RunState)
        and first.about is not None
        and first.run == head.root
    )


def _read_line(part: Part | None, line: bytes) -> Stream | None:
    """Read one line into the current part; a stream line is returned instead."""
    if len(line) > MAX_ENTRY:
        return _bad(part, line, "too_large")
    try:
        entry = decode_entry(line)
    except msgspec.ValidationError:
        kind = _kind(line)
        if kind == "stream":
            return _head(line, Stream)
        return _bad(part, line, "invalid" if kind in KINDS else "unknown_kind")
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        entry = _mended(line)
        if entry is None:
            return _bad(part, line, "invalid")
    return _take(part, entry, line)


def _take(part: Part | None, entry: AnyEntry, line: bytes) -> None:
    if part is None:
        raise NoBatch("Entries came before a stream line.")
    if part.broken or entry.seq != part.next_seq:
        part.broken = True
        return
    if not _is_sound(entry):
        _bad(part, line, "invalid")
        return
    part.next_seq = entry.last + 1 if isinstance(entry, Dropped) else entry.seq + 1
    part.entries.append(entry)


def _is_sound(entry: AnyEntry) -> bool:
    """What types alone don't say: known states, times of this century, numbers in order."""
    if not EARLIEST <= entry.t <= LATEST or not 0 < entry.seq < MAX_SEQ:
        return False
    match entry:
        case RunState():
            sound = entry.state in STATES and 0 <= entry.run_count < 32_768
            return sound and abs(entry.duration or 0) < LONGEST and EARLIEST <= (entry.at or EARLIEST) <= LATEST
        case TaskState():
            times = (entry.started or EARLIEST, entry.ended or EARLIEST)
            return (
                entry.state in STATES and 0 <= entry.run_count < 32_768 and all(EARLIEST <= t <= LATEST for t in times)
            )
        case Log():
            entry.message = cut_log(entry.message)
            return -32_768 < entry.level < 32_768
        case Dropped():
            return entry.seq <= entry.last < MAX_SEQ
        case Artifact():
            return not entry.key or bool(ARTIFACT_KEY.fullmatch(entry.key))
        case Event():
            payload = bytes(entry.payload)
            is_asset = entry.event.startswith("asset.")
            return not wrong_in_event(entry.event, entry.resource, entry.related, payload, own=is_asset)
        case Usage():
            return abs(entry.cpu) < LONGEST and abs(entry.memory) < MAX_SEQ
        case _:
            return True


def _bad(part: Part | None, line: bytes, code: str) -> None:
    """Keep a line that can't be taken. Its place says which sequence number it has."""
    if part is None:
        raise NoBatch("The second line of a batch is a stream line.")
    if not part.broken:
        part.bad.append((part.next_seq, code, line))
        part.next_seq += 1


def _mended(line: bytes) -> AnyEntry | None:
    """Read a line that is JSON to a more lenient reader: lone surrogates, NaN, deep nesting."""
    try:
        text = line.decode("utf-8", "replace")
        return decode_entry(json.dumps(json_value(json.loads(text))).encode())
    except (ValueError, RecursionError, msgspec.MsgspecError):
        return None


def _kind(line: bytes) -> str:
    try:
        return msgspec.json.decode(line, type=_Kind).kind
    except msgspec.MsgspecError:
        return ""


def _head(line: bytes, type: type[_Head]) -> _Head:
    try:
        return msgspec.json.decode(line, type=type)
    except msgspec.MsgspecError as error:
        raise NoBatch(f"A {type.__name__.lower()} line was expected: {error}") from error


KINDS = frozenset(kind.__struct_config__.tag for kind in AnyEntry.__args__)
