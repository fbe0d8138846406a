"""The clients: processes that hold a run and write its journal, and the letters in which it travels."""

from __future__ import annotations

import secrets
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any
from uuid import UUID

from orchestrator.ids import uuid7
from orchestrator.wire import About, Batch, Log, RunState, Stream, TaskState, encode
from runs.transitions import micros

WORDS = (
    "log", "task begins", "task ends", "RUNNING", "Retrying", "AwaitingRetry", "handed back", "handed back until later",
    "PAUSED", "Suspended", "COMPLETED", "FAILED", "CRASHED", "CANCELLED", "subflow begins", "subflow ends",
    "subflow's task",
)  # fmt: skip


@dataclass
class Letter:
    """One batch of one stream on its way. It may be lost, come late, or come again."""

    head: Stream
    entries: list[Any]
    sent_at: datetime
    key: bool

    @property
    def body(self) -> bytes:
        lines = [Batch(wire=1, sent_at=micros(self.sent_at)), self.head, *self.entries]
        return b"\n".join(map(encode, lines))


@dataclass
class Writer:
    """One stream of a holder: all that it ever wrote, and how far it knows that this was heard."""

    entries: list[Any] = field(default_factory=list)
    acked: int = 0


@dataclass
class Holder:
    """Who was given an attempt's token; without an agent, who made up a run and its token."""

    root: UUID
    attempt: int = 1
    token: str = field(default_factory=lambda: secrets.token_urlsafe(16))
    agent: Any = None
    run_count: int = 1
    writers: dict[int, Writer] = field(default_factory=lambda: {0: Writer(), 7: Writer()})
    tasks: list[UUID] = field(default_factory=list)
    subflows: list[UUID] = field(default_factory=list)

    def begin(self, state: str, at: datetime) -> None:
        """The first word of a local run."""
        entry = RunState(seq=1, run=self.root, t=micros(at), state=state, run_count=1, about=About(flow="by hand"))
        self.writers[0].entries.append(entry)

    def say(self, word: str, number: int, at: datetime) -> None:
        """Write one more entry; what would speak of a task or subflow that was never begun, begins one."""
        writer = self.writers[number]
        seq = len(writer.entries) + 1
        common = {"seq": seq, "run": self.root, "t": micros(at)}
        match word:
            case "log":
                entry = Log(**common, message=f"{self.attempt}.{number}.{seq}")
            case "task begins" | "subflow's task":
                self.tasks.append(uuid7())
                run = self.subflows[-1] if word != "task begins" and self.subflows else self.root
                entry = self._task(seq, run, "RUNNING", at)
            case "task ends":
                self.tasks = self.tasks or [uuid7()]
                entry = self._task(seq, self.root, "COMPLETED", at)
            case "subflow begins":
                self.subflows.append(uuid7())
                about = About(flow="part")
                entry = RunState(**{**common, "run": self.subflows[-1]}, state="RUNNING", about=about)
            case "subflow ends":
                run = self.subflows[-1] if self.subflows else uuid7()
                entry = RunState(**{**common, "run": run}, state="COMPLETED")
            case "Retrying":
                self.run_count += 1
                entry = RunState(**common, state="RUNNING", name="Retrying", run_count=self.run_count)
            case "Suspended":
                entry = RunState(**common, state="PAUSED", name="Suspended", run_count=self.run_count)
            case "AwaitingRetry":
                entry = RunState(**common, state="RUNNING", name="AwaitingRetry", run_count=self.run_count)
            case "handed back":
                entry = RunState(**common, state="SCHEDULED", name="AwaitingRetry", run_count=self.run_count)
            case "handed back until later":
                due = micros(at) + 90_000_000
                entry = RunState(**common, state="SCHEDULED", name="AwaitingRetry", run_count=self.run_count, at=due)
            case _:
                entry = RunState(**common, state=word, run_count=self.run_count)
        writer.entries.append(entry)

    def _task(self, seq: int, run: UUID, state: str, at: datetime) -> TaskState:
        return TaskState(seq=seq, run=run, t=micros(at), id=self.tasks[-1], task="step", state=state)

    def letter(self, number: int, at: datetime, *, skip: int = 0, token: str | None = None) -> Letter:
        """What was not acknowledged; with `skip`, all but the first of it."""
        writer = self.writers[number]
        first = writer.acked + 1 + skip
        head = Stream(
            root=self.root, attempt=self.attempt, writer=number, token=token or self.token, from_seq=first
        )  # fmt: skip
        return Letter(head, writer.entries[first - 1 :], at, key=self.agent is None)
