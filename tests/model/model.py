"""What the platform promises, as simply as it can be said: runs in a dictionary, one clock, no SQL.

The state machine asks the server and this model the same things and compares what they answer and what they hold.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any

from orchestrator.states import RANK, TERMINAL, By, StateType
from orchestrator.wire import Log, RunState, Stream, TaskState
from runs.transitions import from_micros
from tests.model.leases import LEASE, SEALED, Attempt, Run, wish_of
from tests.model.many import Many


@dataclass
class Told:
    """The answer to a batch of one stream."""

    acked: int | None = None
    expected: int | None = None
    rejected: list[tuple[int, str]] = field(default_factory=list)
    signal: str | None = None


class Model(Many):
    """One organization's runs, and what their holders tell of them."""

    def journal(self, head: Stream, entries: Sequence[Any], sent_at: datetime, at: datetime, *, key: bool) -> Told:
        """Apply a batch of one stream; `key`: it came with a key, which may begin runs."""
        if head.root in self.deleted:
            last = head.from_seq + len(entries) - 1
            return Told(last, rejected=[(0, "deleted")], signal="over" if head.writer == 0 else None)
        first = entries[0] if entries else None
        unknown = key and head.root not in self.runs and (head.attempt, head.writer, head.from_seq) == (1, 0, 1)
        if unknown and _begins(first) and first.run == head.root:
            begun = Run(head.root, head.root, made=at, attempt=1, until=at + LEASE)
            self.runs[head.root] = begun
            begun.attempts[1] = Attempt(head.token, None, at)
        run = self.runs.get(head.root)
        attempt = run.attempts.get(head.attempt) if run else None
        if run is None or attempt is None or attempt.token != head.token:
            return Told(rejected=[(0, "stale_token" if attempt else "unknown_run")])
        if attempt.ended and max(attempt.ended, attempt.begun) < at - SEALED:
            return Told(rejected=[(0, "sealed")])
        late = at - sent_at if abs(at - sent_at) > timedelta(seconds=2) else timedelta()
        applied, offset = attempt.marks.get(head.writer, (0, late))
        if head.from_seq > applied + 1:
            return Told(expected=applied + 1)
        return self._apply(run, head, [entry for entry in entries if entry.seq > applied], applied, offset, at)

    def _apply(self, run: Run, head: Stream, new: list[Any], applied: int, offset: timedelta, at: datetime) -> Told:
        newest, leased = head.attempt == run.attempt, run.until is not None and head.attempt == run.attempt
        back = newest and self.come_back(run)
        told = Told(acked=max([applied, *(entry.seq for entry in new)]))
        ended = at
        for entry in new:
            code = self._take(run, head, entry, offset)
            told.rejected += [(entry.seq, code)] if code else []
            if isinstance(entry, RunState) and entry.run == run.id and not code:
                ended = from_micros(entry.t) + offset
        self.settle(run, ended)
        renews = leased and (back or (run.local and head.writer == 0))
        if run.held and renews and not at + LEASE * 2 / 3 <= run.until <= at + LEASE:
            run.until = at + LEASE
        if not newest or not run.held:
            self.close(run, head.attempt)
        run.attempts[head.attempt].marks[head.writer] = (told.acked, offset)
        told.signal = self._signal(run, newest) if head.writer == 0 else None
        return told

    def _take(self, run: Run, head: Stream, entry: Any, offset: timedelta) -> str | None:
        """Apply one entry; answer why it was refused."""
        newest = head.attempt == run.attempt
        if newest and head.writer == 0 and entry.run not in self.runs and _begins(entry):
            self.runs[entry.run] = Run(entry.run, run.id, attempt=head.attempt)
        of = self.runs.get(entry.run)
        if not isinstance(entry, RunState):
            of = of or (None if newest else run)
            return self._record(of, head, entry) if of else "unknown_run"
        if head.writer != 0 or of is None:
            return "not_writer_0" if head.writer != 0 else "unknown_run"
        if not newest:
            return "superseded"
        due = from_micros(entry.at) + offset if entry.at else None
        mine = of.attempt == head.attempt and not (entry.state == "SCHEDULED" and of.local)
        mine = mine and not (of is run and of.type == "PAUSED" and not of.held)  # Suspended: its part is over.
        moved = mine and self.move(of, StateType(entry.state), By.HOLDER, entry.name, due, entry.run_count)
        return None if moved else "refused"

    def _record(self, run: Run, head: Stream, entry: Any) -> None:
        if isinstance(entry, Log):
            self.runs[head.root].lines.append(entry.message)
        if isinstance(entry, TaskState):
            order = (entry.run_count, RANK[StateType(entry.state)], entry.seq)
            attempt, known, _ = run.tasks.get(entry.id, (head.attempt, (-1, 0, 0), ""))
            if attempt == head.attempt and order > known:
                run.tasks[entry.id] = (attempt, order, entry.state)

    def _signal(self, run: Run, newest: bool) -> str | None:
        if not newest:
            return "superseded"
        return "over" if run.type in TERMINAL else wish_of(run)


def _begins(entry: Any) -> bool:
    return isinstance(entry, RunState) and entry.about is not None
