"""Who may tell: tokens, marks, gaps. A stream is one writer within one attempt of one root run."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field

from orchestrator.reading import Part
from orchestrator.testing.memory.rows import Mark, Run
from orchestrator.testing.memory.store import Store
from orchestrator.wire import AnyEntry, Rejected

CLOCK_TOLERANCE = 2_000_000
SEALED_AFTER = 7 * 86_400_000_000


@dataclass(slots=True, eq=False)
class OpenStream:
    """A stream that may write, and what of its part is new."""

    part: Part
    root: Run
    applied: int
    offset: int
    leased_until: int | None
    entries: list[AnyEntry] = field(default_factory=list)
    rejected: list[Rejected] = field(default_factory=list)
    late: bool = False  # Its attempt was over before this batch came.

    @property
    def id(self) -> str:
        """Its name in answers."""
        return self.part.head.id

    @property
    def attempt(self) -> int:
        """The attempt that it tells of."""
        return self.part.head.attempt

    @property
    def is_holder(self) -> bool:
        """True for the writer that may speak of states."""
        return self.part.head.writer == 0

    @property
    def superseded(self) -> bool:
        """True when a newer attempt holds the run."""
        return self.attempt < self.root.attempt

    def at(self, t: int) -> int:
        """A time of the writer's clock, corrected."""
        return t + self.offset

    def reject(self, seq: int, code: str) -> None:
        """Note that an entry was received and not taken."""
        self.rejected.append(Rejected(self.id, seq, code))


@dataclass(slots=True)
class Opened:
    """The streams of a batch that may write, and the word for those that may not."""

    streams: list[OpenStream] = field(default_factory=list)
    expected: dict[str, int] = field(default_factory=dict)
    refused: list[Rejected] = field(default_factory=list)


def open_streams(store: Store, parts: Iterable[Part], sent_at: int, received: int) -> Opened:
    """Compare tokens and marks; keep of each part what was not applied before."""
    opened = Opened()
    for part in parts:
        head = part.head
        root = store.runs.get(head.root)
        attempt = root.attempts.get(head.attempt) if root is not None and root.is_root else None
        if root is None or attempt is None or attempt.token != head.token:
            opened.refused.append(Rejected(head.id, 0, "stale_token" if root and attempt else "unknown_run"))
            continue
        if attempt.ended_at is not None and max(attempt.ended_at, attempt.created_at) < received - SEALED_AFTER:
            opened.refused.append(Rejected(head.id, 0, "sealed"))
            continue
        mark = store.marks.get((head.root, head.attempt, head.writer)) or Mark(0, _offset(sent_at, received))
        if head.from_seq > mark.applied + 1:
            opened.expected[head.id] = mark.applied + 1
            continue
        lease = root.lease if root.lease is not None and root.lease.attempt == head.attempt else None
        stream = OpenStream(part, root, mark.applied, mark.offset, lease.expires_at if lease else None)
        stream.late = stream.superseded or not root.is_held
        stream.entries = [entry for entry in part.entries if entry.seq > mark.applied]
        opened.streams.append(stream)
    return opened


def _offset(sent_at: int, received: int) -> int:
    offset = received - sent_at
    return offset if abs(offset) > CLOCK_TOLERANCE else 0


def mark(store: Store, streams: Iterable[OpenStream]) -> dict[str, int]:
    """Remember how far each stream was applied, and say so."""
    acked: dict[str, int] = {}
    for stream in streams:
        head = stream.part.head
        acked[stream.id] = max(stream.applied, stream.part.next_seq - 1)
        store.marks[head.root, head.attempt, head.writer] = Mark(acked[stream.id], stream.offset)
    return acked
