"""One transaction per batch, and the answer to it."""

from __future__ import annotations

import logging
from collections.abc import Callable
from datetime import datetime, timedelta
from typing import Any
from uuid import UUID

import psycopg
from django.conf import settings
from django.db import DataError, transaction
from django.utils.timezone import now

from orchestrator.cleaned import ASSET_EVENTS
from orchestrator.reading import QUARANTINED_TEXT, begins_local_run, may_open, read_kept
from orchestrator.states import TERMINAL, WISHES, StateType
from orchestrator.storable import clean_text
from orchestrator.wire import (
    Answer,
    Artifact,
    Dropped,
    Event,
    InputRequest,
    Log,
    Rejected,
    Result,
    RunState,
    Signal,
    TaskState,
    Usage,
)
from runs import deleting, events, live
from runs.admission import refusal_of
from runs.ingest import artifacts, assets, cache, inputs, reading, run_states, streams, tall
from runs.ingest.budget import spend
from runs.ingest.staging import Statement, run_together
from runs.ingest.streams import OpenStream
from runs.inputs.requests import was_suspended
from runs.models import JournalQuarantine
from runs.transitions import RunRow, end_late, save
from runs.usage.counting import Counts, execution_of, with_callers
from tenants.permissions import Actor
from tenants.scope import tenant_scope
from tenants.trace import named, run_id

logger = logging.getLogger(__name__)
MAX_QUARANTINED = 100  # entries of one batch
QUIET_REJECTIONS = {"refused", "superseded"}  # kept in the attempt's history instead

DataErrors = (DataError, psycopg.DataError, OverflowError)


def apply_batch(body: bytes, *, actor: Actor) -> Answer:
    """Apply a journal batch (unpacked bytes of NDJSON) and say what was received.

    Idempotent: what was applied before is skipped, so a lost answer costs nothing.

    Raises:
        RateLimited: The organization's budget is spent. Nothing was applied.
        Invalid: The bytes are not a batch. Single bad entries are quarantined instead.
    """
    spend(actor.organization_id, len(body))
    batch, parts = reading.read_batch(body)
    with named(run_id, parts[0].head.root if parts else ""):
        try:
            with tenant_scope(actor.organization_id):
                return _Application(actor, careful=False).run(batch.sent_at, parts)
        except DataErrors as error:
            logger.info("a batch has content that the database refuses, looking for it: %s", error)
        with tenant_scope(actor.organization_id):
            return _Application(actor, careful=True).run(batch.sent_at, parts)


def apply_again(kept: JournalQuarantine) -> str | None:
    """Try to take an entry out of quarantine, in the current scope; None when it was taken, else why it was not.

    Its number in the stream was acked long ago, so the mark stays; the entry itself is applied as if it came now.
    """
    part = read_kept(kept.entry, root=kept.root_id, attempt=kept.attempt, writer=kept.writer, seq=kept.seq)
    if part.bad:
        return part.bad[0][1]
    roots = streams.lock_roots([part])
    if kept.root_id not in roots:
        return "unknown_run"
    stream = streams.reopen(part, roots[kept.root_id], now())
    if stream is None:
        return "sealed"
    actor = Actor("key", kept.organization_id, kept.workspace_id, "", "quarantine")
    try:
        with transaction.atomic():
            return _Application(actor, careful=False).run_again(stream)
    except DataErrors:
        return "data"


class _Application:
    """The steps of one batch, in order. `careful`: find the rows that the database refuses, in savepoints."""

    def __init__(self, actor: Actor, *, careful: bool) -> None:
        self.actor, self.careful = actor, careful
        self.received = now()
        self.answer = Answer()
        self.closing: list[Statement] = []  # What needs no answer is sent together, at the end.

    def run(self, sent_at: int, parts: list[reading.Part]) -> Answer:
        allowed = self._known_to_actor(parts)
        roots = streams.lock_roots(allowed)
        unknown = {part.head.root for part in allowed} - roots.keys()
        begun = [part for part in allowed if part.head.root in unknown and begins_local_run(part)]
        if self.actor.kind == "key":
            allowed, begun = self._admitted(allowed, begun)
            roots |= run_states.create_local_roots(begun, self.actor, self.received)
        allowed = self._not_deleted(allowed, unknown, roots)
        opened = streams.open_streams(allowed, roots, sent_at, self.received)
        self.answer.rejected += opened.refused
        self.answer.expected |= opened.expected
        self._apply(opened.streams)
        acked, marks = streams.mark(opened.streams, self.actor.organization_id, self.received)
        self.answer.acked |= acked
        run_together([*self.closing, *marks])
        self.answer.expected |= {s.id: s.part.next_seq for s in opened.streams if s.part.broken}
        self.answer.signals += [signal for stream in opened.streams for signal in _signals(stream)]
        return self.answer

    def run_again(self, stream: OpenStream) -> str | None:
        """One entry of one stream, without its mark; the code of a refusal."""
        self._write_all([stream])
        run_together(self.closing)
        return stream.rejected[0].code if stream.rejected else None

    def _known_to_actor(self, parts: list[reading.Part]) -> list[reading.Part]:
        """Streams that this credential can't open get the answer that an unknown one would get."""
        allowed = [part for part in parts if may_open(part, self.actor.run_id)]
        refused = [part for part in parts if part not in allowed]
        self.answer.rejected += [Rejected(part.head.id, 0, "unknown_run") for part in refused]
        return allowed

    def _not_deleted(
        self, parts: list[reading.Part], unknown: set[UUID], roots: dict[UUID, RunRow]
    ) -> list[reading.Part]:
        """The parts without those of deleted runs. These are acked, so that nobody sends or keeps them any more.

        Asked after the insert: only then a run is either there, or its deletion seen.
        """
        gone = deleting.deleted(unknown, workspace_id=self.actor.workspace_id)
        deleting.stay_deleted(gone & roots.keys())
        for part in (part for part in parts if part.head.root in gone):
            head = part.head
            self.answer.acked[head.id] = part.next_seq - 1
            self.answer.rejected.append(Rejected(head.id, 0, "deleted"))
            self.answer.signals += [Signal(head.root, "over")] if head.writer == 0 else []
        return [part for part in parts if part.head.root not in gone]

    def _admitted(self, parts: list[reading.Part], begun: list[reading.Part]) -> tuple[list, list]:
        """The parts without those that begin a run for which there is no room."""
        if not begun or not refusal_of(self.actor.organization_id):
            return parts, begun
        self.answer.rejected += [Rejected(part.head.id, 0, "quota") for part in begun]
        roots = {part.head.root for part in begun}
        return [part for part in parts if part.head.root not in roots], []

    def _apply(self, opened: list[OpenStream]) -> None:
        self._write_all(opened)
        self._quarantine(opened)

    def _write_all(self, opened: list[OpenStream]) -> None:
        subflows = run_states.load_subflows(opened, self.actor, self.received)
        rows = {stream.root.id: stream.root for stream in opened} | subflows
        tally = tall.Tally(Counts(with_callers(rows)))
        executions = {id: row.run_count for id, row in rows.items()}
        moved = run_states.welcome_back(opened, self.received)
        back = {row.id for row in moved}
        for stream in opened:
            run_time = stream.root.duration
            moved += run_states.apply_run_states(stream, subflows)
            meters = self._write_rows(stream, subflows, executions, tally)
            was_suspended(stream.root, self.received)
            meters["run_time"] = stream.root.duration - run_time
            self.closing += tall.usage(stream, self.received, meters)
            _announce(stream)
        save({row.id: row for row in moved}.values())
        self.closing += tally.statements()
        self.closing += cache.statements(opened, subflows)
        for stream in opened:
            if stream.late and any(isinstance(entry, RunState | TaskState) for entry in stream.entries):
                end_late(stream.root, stream.attempt)
        self.closing += _renewal(opened, self.received, back)

    def _write_rows(
        self, stream: OpenStream, subflows: dict[UUID, RunRow], executions: dict[UUID, int], tally: tall.Tally
    ) -> dict[str, int]:
        """Tasks, logs, events and artifacts of one stream; answer what they add to the meters."""
        rows: dict[str, list[tuple]] = {"task": [], "log": [], "event": [], "artifact": [], "asset": [], "input": []}
        used: list[Usage] = []
        if stream.superseded:
            executions = {**executions, stream.root.id: stream.execution}
        for entry in stream.entries:
            run_id = tall.run_of(stream, entry, subflows)
            if run_id is None:
                if not isinstance(entry, RunState):
                    stream.reject(entry.seq, "unknown_run")
                continue
            if isinstance(entry, RunState) and not stream.superseded:
                executions[run_id] = max(executions[run_id], entry.run_count)
            self._sort_in(stream, run_id, entry, rows, used, executions[run_id])
        new_tasks = self._write(tall.write_tasks, rows["task"], stream) or []
        log_bytes = self._write(tall.write_logs, rows["log"], stream) or []
        self._write(events.write, rows["event"], stream)
        self._write(assets.write, rows["asset"], stream)
        self._write(artifacts.write_artifacts, rows["artifact"], stream)
        self._write(inputs.write_requests, rows["input"], stream)
        return tally.meters(stream, new_tasks, log_bytes, used)

    def _sort_in(
        self, stream: OpenStream, run_id: UUID, entry: Any, rows: dict[str, list], used: list, execution: int
    ) -> None:
        match entry:
            case TaskState():
                rows["task"].append(tall.task_row(stream, run_id, entry, execution_of(execution)))
            case Log():
                rows["log"].append(tall.log_row(stream, run_id, entry))
            case Event():
                rows["event"].append(tall.event_row(stream, run_id, entry))
                rows["asset"] += assets.rows_of(stream, run_id, entry)
            case Artifact():
                rows["artifact"].append(artifacts.artifact_row(stream, run_id, entry))
            case InputRequest():
                rows["input"] += inputs.rows_of(stream, run_id, entry)
            case Result():
                rows["event"].append(tall.result_row(stream, run_id, entry))
            case Dropped():
                rows["log"].append(tall.dropped_row(stream, entry))
            case Usage():
                used.append(entry)

    def _write(self, write: Callable[[list[tuple]], Any], rows: list[tuple], stream: OpenStream) -> Any:
        """Write rows; in careful mode halve what the database refuses until the culprits are alone."""
        if not rows:
            return None
        if not self.careful:
            return write(rows)
        try:
            with transaction.atomic():
                return write(rows)
        except DataErrors as error:
            if len(rows) == 1:
                logger.info("an entry's content was refused: %s", error)
                self.answer.rejected.append(Rejected(stream.id, 0, "data"))
                self._keep(stream, 0, "data", repr(rows[0]))
                return []
        half = len(rows) // 2
        first = self._write(write, rows[:half], stream) or []
        return first + (self._write(write, rows[half:], stream) or [])

    def _quarantine(self, opened: list[OpenStream]) -> None:
        kept = 0
        for stream in opened:
            lines = {seq: line for seq, _, line in stream.part.bad if seq > stream.applied}
            codes = [(seq, code) for seq, code, _ in stream.part.bad if seq > stream.applied]
            codes += [(each.seq, each.code) for each in stream.rejected]
            self.answer.rejected += [Rejected(stream.id, seq, code) for seq, code in codes]
            for seq, code in codes:
                if code not in QUIET_REJECTIONS and kept < MAX_QUARANTINED:
                    kept += 1
                    self._keep(stream, seq, code, lines.get(seq, b"")[:QUARANTINED_TEXT].decode("utf-8", "replace"))

    def _keep(self, stream: OpenStream, seq: int, code: str, text: str) -> None:
        JournalQuarantine.objects.create(
            organization_id=self.actor.organization_id, workspace_id=stream.root.workspace_id, root_id=stream.root.id,
            attempt=stream.attempt, writer=stream.part.head.writer, seq=seq, code=code,
            entry=clean_text(text, QUARANTINED_TEXT),
        )  # fmt: skip


def _announce(stream: OpenStream) -> None:
    kinds = {type(entry) for entry in stream.entries}
    if kinds & {Log, Dropped, TaskState, Artifact}:
        lines = stream.root.lines if kinds & {Log, Dropped} else None
        live.journal_grew(
            workspace_id=stream.root.workspace_id, root_id=stream.root.id, lines=lines, tasks=TaskState in kinds,
            artifacts=Artifact in kinds,
        )  # fmt: skip
    if Event in kinds:
        live.changed(workspace_id=stream.root.workspace_id, what="events")
        if any(isinstance(entry, Event) and entry.event in ASSET_EVENTS for entry in stream.entries):
            live.changed(workspace_id=stream.root.workspace_id, what="assets")


def _renewal(opened: list[OpenStream], received: datetime, back: set[UUID]) -> list[Statement]:
    """A local run's holder renews by speaking. An agent renews for its processes, in its heartbeat; but who was thought
    lost and speaks has the time of one lease again, no more.
    """
    lease = timedelta(seconds=settings.LEASE_SECONDS)
    held = [
        s.root.id
        for s in opened
        if s.root.is_held
        and s.leased_until is not None
        and (s.root.id in back or (s.root.is_local and s.part.head.writer == 0))
        and not received + lease * 2 / 3 <= s.leased_until <= received + lease
    ]
    statement = "UPDATE lease SET expires_at = %s WHERE run_id = ANY(%s) AND limit_id IS NULL"
    return [(statement, [received + lease, held])] if held else []


def _signals(stream: OpenStream) -> list[Signal]:
    """What the holder has to know. Said again with every answer until it acts."""
    root = stream.root
    if stream.part.head.writer != 0:
        return []
    if stream.superseded:
        return [Signal(root.id, "superseded")]
    if root.state_type == StateType.CANCELLING:
        return [Signal(root.id, "cancel")]
    if root.state_type == StateType.RUNNING and root.state_name in WISHES:
        return [Signal(root.id, WISHES[root.state_name])]
    if root.state_type in TERMINAL:
        return [Signal(root.id, "over")]
    return []
