"""Who may write: roots locked, tokens compared, marks and gaps.

A stream is one writer within one attempt of one root run. What this module lets through, the rest of the ingest
applies without asking again.
"""

from __future__ import annotations

import hmac
from collections.abc import Iterable
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any
from uuid import UUID

from django.db import connection

from orchestrator.wire import AnyEntry, Rejected
from runs import partitions
from runs.ingest.reading import Part
from runs.ingest.staging import Statement, raw_cursor
from runs.transitions import RunRow, lock_runs, micros
from tenants.errors import Unavailable
from tenants.keys import digest

CLOCK_TOLERANCE = 2_000_000  # µs: below, the difference is the way of the message


@dataclass(slots=True)
class OpenStream:
    """A stream that may write, and what of its part is new."""

    part: Part
    root: RunRow
    applied: int
    offset: int  # µs to add to the writer's clock
    known: bool
    leased_until: datetime | None  # None: this attempt holds no lease
    late: bool = False  # Its attempt was over before this batch came.
    execution: int = 1  # In which its attempt began.
    flows: list[tuple[RunRow, int]] = field(default_factory=list)  # Flow runs to add to the meters, or to take back.
    entries: list[AnyEntry] = field(default_factory=list)
    rejected: list[Rejected] = field(default_factory=list)

    @property
    def id(self) -> str:
        return self.part.head.id

    @property
    def attempt(self) -> int:
        return self.part.head.attempt

    @property
    def superseded(self) -> bool:
        """True when a newer attempt holds the run: this one may tell about itself only."""
        return self.attempt < self.root.attempt

    def at(self, t: int) -> int:
        """A time of the writer's clock, corrected (µs UTC)."""
        return t + self.offset

    def reject(self, seq: int, code: str) -> None:
        self.rejected.append(Rejected(self.id, seq, code))


def lock_roots(parts: Iterable[Part]) -> dict[UUID, RunRow]:
    """Lock the roots that a batch writes to. Whoever changes anything of an execution holds its root first."""
    rows = lock_runs({part.head.root for part in parts})
    return {id: row for id, row in rows.items() if row.is_root}


def open_streams(parts: list[Part], roots: dict[UUID, RunRow], sent_at: int, received: datetime) -> Opened:
    """Compare tokens and marks; keep of each part what was not applied before."""
    tokens, marks, leases = _known(roots, received)
    gone = _without_a_place(roots, received)
    opened = Opened()
    for part in parts:
        head = part.head
        root = roots.get(head.root)
        token = tokens.get((head.root, head.attempt))
        if root is None or token is None or not hmac.compare_digest(token[0], digest(head.token)):
            opened.refused.append(Rejected(head.id, 0, "stale_token" if root and token else "unknown_run"))
            continue
        if token[1] or head.root in gone:
            opened.refused.append(Rejected(head.id, 0, "sealed"))
            continue
        mark = marks.get((head.root, head.attempt, head.writer))
        applied, offset = mark or (0, _offset(sent_at, received))
        if head.from_seq > applied + 1:
            opened.expected[head.id] = applied + 1
            continue
        stream = OpenStream(part, root, applied, offset, mark is not None, leases.get((head.root, head.attempt)))
        stream.execution = token[2] + 1
        stream.late = stream.superseded or not root.is_held
        stream.entries = [entry for entry in part.entries if entry.seq > applied]
        opened.streams.append(stream)
    return opened


def reopen(part: Part, root: RunRow, received: datetime) -> OpenStream | None:
    """A stream for an entry that was received long ago and could not be taken then; None when the attempt is sealed."""
    head = part.head
    tokens, marks, leases = _known({root.id: root}, received)
    token = tokens.get((head.root, head.attempt))
    if token is None or token[1] or _without_a_place({root.id: root}, received):
        return None
    applied, offset = marks.get((head.root, head.attempt, head.writer), (0, 0))
    stream = OpenStream(part, root, applied, offset, True, leases.get((head.root, head.attempt)))
    stream.execution = token[2] + 1
    stream.entries = part.entries
    return stream


def _without_a_place(roots: dict[UUID, RunRow], received: datetime) -> set[UUID]:
    """Roots whose rows retention has taken: sealed.

    Raises:
        Unavailable: A partition that should be there is not: a batch may not run into that in SQL.
    """
    today = received.date()
    with connection.cursor() as cursor:
        gone = partitions.missing(cursor, {(root.retention, root.bucket) for root in roots.values()}, today)
    for retention, bucket in gone:
        if not partitions.is_past((retention, bucket), today):
            message = (
                f"No partition holds the rows of {bucket} for {retention} days. The tick keep_partitions makes it."
            )
            raise Unavailable(message, retry_after=10)
    return {root.id for root in roots.values() if (root.retention, root.bucket) in gone}


@dataclass(slots=True)
class Opened:
    """The streams of a batch that may write, and the word for those that may not."""

    streams: list[OpenStream] = field(default_factory=list)
    expected: dict[str, int] = field(default_factory=dict)
    refused: list[Rejected] = field(default_factory=list)


Tokens = dict[tuple[UUID, int], tuple[bytes, bool, int]]
Marks = dict[tuple[UUID, int, int], tuple[int, int]]
Leases = dict[tuple[UUID, int], datetime]

_KNOWN = """
    SELECT a.run_id, a.number, a.token_hash, a.ended_at IS NOT NULL AND greatest(a.ended_at, a.created_at) < %s,
        a.run_count, s.writer, s.applied_seq, s.clock_offset, l.expires_at
    FROM attempt a
    LEFT JOIN journal_stream s
        ON s.organization_id = a.organization_id AND s.root_id = a.run_id AND s.attempt = a.number
    LEFT JOIN lease l ON l.organization_id = a.organization_id AND l.run_id = a.run_id AND l.attempt = a.number
        AND l.limit_id IS NULL
    WHERE a.run_id = ANY(%s)
"""
SEALED_AFTER = timedelta(days=7)


def _known(roots: dict[UUID, RunRow], received: datetime) -> tuple[Tokens, Marks, Leases]:
    """Of each attempt the token's hash, whether it is sealed and how many executions came before it; of each stream
    the mark, and who holds a lease.
    """
    tokens: Tokens = {}
    marks: Marks = {}
    leases: Leases = {}
    cursor = raw_cursor()
    cursor.execute(_KNOWN, [received - SEALED_AFTER, list(roots)])
    for run, number, hash, sealed, before, writer, applied, offset, until in cursor:
        tokens[run, number] = (bytes(hash), sealed, before)
        if writer is not None:
            marks[run, number, writer] = (applied, offset)
        if until is not None:
            leases[run, number] = until
    return tokens, marks, leases


def _offset(sent_at: int, received: datetime) -> int:
    """How far the writer's clock is off, decided by a stream's first batch and kept, so that times stay in order."""
    offset = micros(received) - sent_at
    return offset if abs(offset) > CLOCK_TOLERANCE else 0


_MARK = """
    INSERT INTO journal_stream (organization_id, root_id, attempt, writer, applied_seq, clock_offset, last_at)
    SELECT %s::uuid, n.root_id, n.attempt, n.writer, n.applied_seq, n.clock_offset, %s::timestamptz
    FROM unnest(%s::uuid[], %s::int[], %s::int[], %s::bigint[], %s::bigint[])
        n (root_id, attempt, writer, applied_seq, clock_offset)
    ON CONFLICT (organization_id, root_id, attempt, writer)
    DO UPDATE SET applied_seq = excluded.applied_seq, last_at = excluded.last_at
"""


def mark(
    streams: list[OpenStream], organization_id: UUID, received: datetime
) -> tuple[dict[str, int], list[Statement]]:
    """How far each stream was applied, and the statement that remembers it."""
    acked = {stream.id: max(stream.applied, stream.part.next_seq - 1) for stream in streams}
    written = [stream for stream in streams if acked[stream.id] > stream.applied or not stream.known]
    if not written:
        return acked, []
    columns: list[list[Any]] = [
        [stream.root.id for stream in written],
        [stream.attempt for stream in written],
        [stream.part.head.writer for stream in written],
        [acked[stream.id] for stream in written],
        [stream.offset for stream in written],
    ]
    return acked, [(_MARK, [organization_id, received, *columns])]
