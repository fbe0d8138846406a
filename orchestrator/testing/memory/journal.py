"""What running flows tell, applied as the real server does: batch by batch, everything at most once."""

from __future__ import annotations

import json
from collections.abc import Iterable
from typing import Any
from uuid import UUID

import msgspec

from orchestrator import reading
from orchestrator.cleaned import clean_tags, error_of, expiry_of, made_of, parameters_of, stored_at
from orchestrator.ids import uuid7
from orchestrator.reading import QUARANTINED_TEXT, Part, begins_local_run, may_open
from orchestrator.states import TERMINAL, By, StateType
from orchestrator.storable import clean_text, json_value
from orchestrator.testing.memory import artifacts, assets, cache, claims, events, inputs
from orchestrator.testing.memory.asked import Asked, Refusal
from orchestrator.testing.memory.rows import Attempt, Lease, LogLine, Run, TaskRun
from orchestrator.testing.memory.rows import Event as KeptEvent
from orchestrator.testing.memory.states import end_late, move, rank, settle
from orchestrator.testing.memory.store import Actor, Store
from orchestrator.testing.memory.streams import OpenStream, mark, open_streams
from orchestrator.wire import (
    MAX_MESSAGE,
    MAX_NAME,
    MAX_PARENTS,
    About,
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

QUIET_REJECTIONS = {"refused", "superseded"}


def receive(store: Store, asked: Asked, received: int) -> Answer:
    """Apply a batch and say what was received."""
    try:
        batch, parts = reading.read_batch(reading.unpack(asked.body, asked.encoding))
    except reading.BatchTooLarge as error:
        raise Refusal("too_large", str(error)) from error
    except reading.NoBatch as error:
        raise Refusal("invalid", str(error)) from error
    return _Application(store, asked.by, received).run(batch.sent_at, parts)


class _Application:
    """The steps of one batch, in order."""

    def __init__(self, store: Store, actor: Actor, received: int) -> None:
        self.store, self.actor, self.received = store, actor, received

    def run(self, sent_at: int, parts: list[Part]) -> Answer:
        allowed = [part for part in parts if may_open(part, self.actor.run_id)]
        unknown = [Rejected(part.head.id, 0, "unknown_run") for part in parts if part not in allowed]
        answer, allowed = self._not_deleted(allowed)
        if self.actor.kind == "key":
            self._create_local_roots(part for part in allowed if begins_local_run(part))
        opened = open_streams(self.store, allowed, sent_at, self.received)
        self._apply(opened.streams)
        answer.acked |= mark(self.store, opened.streams)
        answer.expected = opened.expected | {s.id: s.part.next_seq for s in opened.streams if s.part.broken}
        answer.rejected += [*unknown, *opened.refused, *self._quarantined(opened.streams)]
        answer.signals += [signal for stream in opened.streams for signal in _signals(stream)]
        return answer

    def _not_deleted(self, parts: list[Part]) -> tuple[Answer, list[Part]]:
        """The word for deleted runs, which is that nothing more of them is wanted; and the other parts."""
        gone = [part for part in parts if part.head.root in self.store.deleted]
        rejected = [Rejected(part.head.id, 0, "deleted") for part in gone]
        over = [Signal(part.head.root, "over") for part in gone if part.head.writer == 0]
        answer = Answer(acked={part.head.id: part.next_seq - 1 for part in gone}, rejected=rejected, signals=over)
        return answer, [part for part in parts if part.head.root not in self.store.deleted]

    def _create_local_roots(self, parts: Iterable[Part]) -> None:
        """The first client with an id counts, by its token."""
        for part in parts:
            entry, head = part.entries[0], part.head
            if head.root in self.store.runs or not isinstance(entry, RunState) or entry.about is None:
                continue
            run = self._new_run(entry, entry.about, head.root, "local", attempt=1)
            run.attempts[1] = Attempt(head.token, self.received)
            run.lease = Lease(1, None, self.received + self.store.lease_time)

    def _new_run(self, entry: RunState, about: About, root_id: UUID, origin: str, attempt: int) -> Run:
        """A run as its holder describes it, PENDING until the entry that began it is applied."""
        run = Run(
            id=entry.run, root_id=root_id, flow=clean_text(about.flow, MAX_NAME) or "flow",
            name=clean_text(about.name, MAX_NAME) or f"run-{str(entry.run)[-6:]}", origin=origin,
            created_by=self.actor.label, created_at=self.received, state_type="PENDING", state_name="Pending",
            state_at=self.received, parameters=parameters_of(about), tags=clean_tags(about.tags),
            version=clean_text(about.version or "", 200), attempt=attempt,
            retries=min(max(about.retries, 0), 10_000), scheduled_at=self.received,
            parent_id=(about.parent or root_id) if root_id != entry.run else None, parent_task_id=about.parent_task,
        )  # fmt: skip
        self.store.runs[run.id] = run
        return run

    def _apply(self, opened: list[OpenStream]) -> None:
        roots = {stream.root.id for stream in opened}
        back = {stream.root for stream in opened if self._welcome_back(stream)}
        moved = list(back)
        for stream in opened:
            self._begin_subflows(stream)
            moved += self._apply_states(stream)
            for entry in stream.entries:
                self._write(stream, entry)
        settle(self.store, [run for run in dict.fromkeys(moved) if run.root_id in roots])
        for run in dict.fromkeys(run for run in moved if run.is_root):
            inputs.was_suspended(self.store, run)
        for stream in opened:
            if stream.late and any(isinstance(entry, RunState | TaskState) for entry in stream.entries):
                end_late(self.store, stream.root, stream.attempt)
            self._renew(stream, stream.root in back)

    def _welcome_back(self, stream: OpenStream) -> bool:
        message = "The holder was heard of again."
        return not stream.superseded and claims.welcome_back(stream.root, message, self.received)

    def _begin_subflows(self, stream: OpenStream) -> None:
        if not stream.is_holder or stream.superseded:
            return
        for entry in stream.entries:
            if isinstance(entry, RunState) and entry.about is not None and entry.run not in self.store.runs:
                self._new_run(entry, entry.about, stream.root.id, "subflow", stream.attempt)

    def _run_of(self, stream: OpenStream, id: UUID) -> Run | None:
        run = self.store.runs.get(id)
        return run if run is not None and run.root_id == stream.root.id else None

    def _apply_states(self, stream: OpenStream) -> list[Run]:
        moved: list[Run] = []
        for entry in stream.entries:
            if not isinstance(entry, RunState):
                continue
            run = self._run_of(stream, entry.run)
            if not stream.is_holder:
                stream.reject(entry.seq, "not_writer_0")
            elif run is None:
                stream.reject(entry.seq, "unknown_run")
            elif stream.superseded:
                self._note_late(stream, entry, "superseded")
            elif _move(stream, run, entry):
                moved.append(run)
            else:
                self._note_late(stream, entry, "refused")
        return moved

    def _note_late(self, stream: OpenStream, entry: RunState, code: str) -> None:
        stream.root.attempts[stream.attempt].history.append((stream.at(entry.t), entry.state, entry.name))
        stream.reject(entry.seq, code)

    def _write(self, stream: OpenStream, entry: Any) -> None:
        run = self._run_of(stream, entry.run)
        if run is None and stream.superseded:
            run = stream.root  # Of a subflow that was never made: no word is lost.
        if isinstance(entry, RunState):
            return
        if run is None:
            stream.reject(entry.seq, "unknown_run")
            return
        match entry:
            case TaskState():
                _write_task(stream, run, entry)
                cache.write(self.store, entry, run=run.id, at=stream.at(entry.ended or entry.t))
            case Log():
                _write_line(stream, run, entry)
            case Dropped():
                count = ", ".join(f"{n} × {kind}" for kind, n in sorted(entry.count.items())) or "entries"
                text = clean_text(f"Not recorded: {count} ({entry.why})", 1_000)
                _write_line(stream, stream.root, Log(seq=entry.seq, run=run.id, t=entry.t, level=30, message=text))
            case Usage():
                stream.root.cpu += max(entry.cpu, 0)
                stream.root.memory = max(stream.root.memory, entry.memory)
            case Event():
                self._note(stream, run, entry, _json(entry.payload))
                if (made := made_of(entry)) is not None:
                    assets.write(self.store, made, id=entry.id, run=run.id, at=stream.at(entry.t))
            case Result():
                payload = {"url": entry.url, "key": entry.key, "size": entry.size, "serializer": entry.serializer}
                id = f"task-run.{entry.task}" if entry.task else f"flow-run.{run.id}"
                made = {"id": uuid7(), "event": "result.stored", "resource": {"id": id, "task": str(entry.task or "")}}
                self._note(stream, run, Event(seq=entry.seq, run=run.id, t=entry.t, **made), payload)
            case InputRequest():
                self._ask(stream, run, entry)
            case Artifact():
                artifacts.write(self.store, entry, run=run.id, at=stream.at(entry.t))
            case _:
                raise AssertionError(entry)

    def _ask(self, stream: OpenStream, run: Run, entry: InputRequest) -> None:
        if stream.superseded or not stream.is_holder:
            stream.reject(entry.seq, "superseded" if stream.superseded else "invalid")
            return
        times = {"at": stream.at(entry.t), "expires": _corrected(stream, expiry_of(entry.expires))}
        if not inputs.write(self.store, entry, run=run.id, root=stream.root, **times):
            stream.reject(entry.seq, "invalid")

    def _note(self, stream: OpenStream, run: Run, told: Event, payload: Any) -> None:
        resource, related = json_value(told.resource), json_value(told.related)
        happened = {"id": told.id, "run": run.id, "t": stream.at(told.t), "event": clean_text(told.event)}
        events.write(self.store, KeptEvent(**happened, resource=resource, related=related, payload=payload))

    def _renew(self, stream: OpenStream, back: bool) -> None:
        """A local run's holder renews by speaking; an agent renews for its processes, in its heartbeat."""
        root, until = stream.root, self.received + self.store.lease_time
        if not root.is_held or stream.superseded:
            return
        if root.lease is not None and (back or (root.is_local and stream.is_holder)):
            root.lease.expires_at = until

    def _quarantined(self, opened: list[OpenStream]) -> list[Rejected]:
        rejected: list[Rejected] = []
        for stream in opened:
            bad = [(seq, code, line) for seq, code, line in stream.part.bad if seq > stream.applied]
            bad += [(each.seq, each.code, b"") for each in stream.rejected]
            for seq, code, line in bad:
                rejected.append(Rejected(stream.id, seq, code))
                if code not in QUIET_REJECTIONS:
                    text = clean_text(line[:QUARANTINED_TEXT].decode("utf-8", "replace"))
                    self.store.quarantine.append({"stream": stream.id, "seq": seq, "code": code, "entry": text})
        return rejected


def _move(stream: OpenStream, run: Run, entry: RunState) -> bool:
    if not run.is_root and run.attempt != stream.attempt:
        return False
    if entry.state == StateType.SCHEDULED and (run.is_local or not run.is_root):
        return False  # No agent would ever take it.
    if entry.state == run.state_type == StateType.PENDING:
        return True  # It says who it is, ahead of its first state.
    if run.is_root and run.state_type == StateType.PAUSED and not run.is_held:
        return False  # It was suspended, which ended the attempt.
    moved = move(
        run,
        StateType(entry.state),
        by=By.HOLDER,
        name=clean_text(entry.name, 200) if entry.name else None,
        message=clean_text(entry.message, MAX_MESSAGE) if entry.message else None,
        at=stream.at(entry.t),
        due_at=stream.at(entry.at) if entry.at is not None else None,
        run_count=entry.run_count,
        duration=entry.duration or 0,
        error=error_of(entry.error),
        result=stored_at(entry.result),
    )
    if moved and entry.label:
        run.name = clean_text(entry.label, MAX_NAME)
    if moved and entry.commit and run.is_root:
        run.commit = clean_text(entry.commit, 64)
    return moved


def _write_task(stream: OpenStream, run: Run, entry: TaskState) -> None:
    known = run.tasks.get(entry.id)
    order = (entry.run_count, rank(entry.state), entry.seq)
    if known is not None and (known.attempt != stream.attempt or order <= (known.run_count, known.rank, known.seq)):
        return
    parents, tags = entry.parents[:MAX_PARENTS], clean_tags(entry.tags)
    history = [[stream.at(t), type, name, message] for t, type, name, message in entry.history[-100:]]
    run.tasks[entry.id] = TaskRun(
        id=entry.id,
        task=clean_text(entry.task, MAX_NAME),
        label=clean_text(entry.label, MAX_NAME),
        state_type=entry.state,
        state_name=clean_text(entry.name, 200) if entry.name else None,
        message=clean_text(entry.message, MAX_MESSAGE) if entry.message else None,
        attempt=stream.attempt,
        run_count=entry.run_count,
        rank=rank(entry.state),
        seq=entry.seq,
        started_at=known.started_at if known and entry.started is None else _corrected(stream, entry.started),
        ended_at=_corrected(stream, entry.ended),
        duration=entry.duration,
        parents=parents or (known.parents if known else []),
        parent_task=known.parent_task if known else entry.parent_task,
        tags=tags or (known.tags if known else []),
        history=history or (known.history if known else []),
        error=error_of(entry.error),
        result=stored_at(entry.result),
    )


def _corrected(stream: OpenStream, t: int | None) -> int | None:
    return None if t is None else stream.at(t)


def _write_line(stream: OpenStream, run: Run, entry: Log) -> None:
    lines = stream.root.lines
    lines.append(
        LogLine(
            line=len(lines) + 1, t=stream.at(entry.t), level=entry.level, logger=clean_text(entry.logger, 200),
            message=entry.message, task=entry.task, attempt=stream.attempt, run=run.id, extra=_json(entry.extra),
        )
    )  # fmt: skip


def _signals(stream: OpenStream) -> list[Signal]:
    """What the holder has to know. Said again with every answer until it acts."""
    root = stream.root
    if not stream.is_holder:
        return []
    if stream.superseded:
        return [Signal(root.id, "superseded")]
    if word := claims.signal_to(root):
        return [Signal(root.id, word)]
    return [Signal(root.id, "over")] if root.state_type in TERMINAL else []


def _json(raw: msgspec.Raw) -> Any:
    """JSON as the client wrote it, made fit to be kept."""
    body = bytes(raw)
    return json_value(json.loads(body)) if body else None
