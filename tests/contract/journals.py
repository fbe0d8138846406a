"""Write journals by hand, as the wire has them: what a client could send, and what it should not."""

from __future__ import annotations

import secrets
from dataclasses import dataclass, field
from typing import Any, Self
from uuid import UUID

import msgspec

from orchestrator import clock
from orchestrator.ids import uuid7
from orchestrator.wire import About, Batch, Log, RunState, Stream, TaskState, encode


def now() -> int:
    """Microseconds UTC, by the clock of the scenario."""
    return clock.now()


@dataclass
class Journal:
    """One writer's journal, sent through the API."""

    api: Any
    root: UUID = field(default_factory=uuid7)
    token: str = field(default_factory=lambda: secrets.token_urlsafe(24))
    attempt: int = 1
    writer: int = 0
    seq: int = 0
    skew: int = 0  # µs that its clock is ahead

    @classmethod
    def of_claim(cls, world: Any, claim: dict[str, Any]) -> Self:
        """What the process of a claimed run writes, with its token."""
        own = {"root": UUID(claim["run"]), "token": claim["token"], "attempt": claim["attempt"]}
        return cls(world.with_key(claim["token"]), **own)

    @property
    def stream(self) -> str:
        return f"{self.root}.{self.attempt}.{self.writer}"

    def _next(self) -> dict[str, Any]:
        self.seq += 1
        return {"seq": self.seq, "run": self.root, "t": now() + self.skew}

    def begin(self, flow: str = "etl", state: str = "RUNNING", **more: Any) -> RunState:
        """The first entry of a local run."""
        about = About(flow=flow, name="brave-otter", parameters=msgspec.Raw(b'{"day":"monday"}'), **more)
        return RunState(**self._next(), state=state, run_count=1, about=about)

    def state(self, state: str, **more: Any) -> RunState:
        return RunState(**{**self._next(), **more}, state=state)

    def subflow(self, id: UUID, flow: str = "part", **more: Any) -> RunState:
        about = {"about": About(flow=flow), "state": "RUNNING", "run_count": 1}
        return RunState(**{**self._next(), "run": id, **about, **more})

    def task(self, state: str = "COMPLETED", **more: Any) -> TaskState:
        entry: dict[str, Any] = {"id": uuid7(), "task": "flows.extract", "label": "extract-1"}
        times = {"started": now() + self.skew - 1_000, "ended": now() + self.skew, "duration": 1_000}
        return TaskState(**{**self._next(), **entry, **times, **more}, state=state)

    def log(self, message: str = "hello", **more: Any) -> Log:
        return Log(**{**self._next(), **more}, message=message)

    def raw(self, line: bytes) -> bytes:
        """A line as it is; it takes the next number."""
        self.seq += 1
        return line

    def body(self, entries: list[Any], *, from_seq: int | None = None, head: dict[str, Any] | None = None) -> bytes:
        """A whole batch."""
        first = from_seq if from_seq is not None else self._first(entries)
        own = {"root": self.root, "attempt": self.attempt, "writer": self.writer, "token": self.token}
        lines = [
            encode(Batch(wire=1, sent_at=now() + self.skew)),
            encode(Stream(**{**own, "from_seq": first, **(head or {})})),
            *(entry if isinstance(entry, bytes) else encode(entry) for entry in entries),
        ]
        return b"\n".join(lines)

    def _first(self, entries: list[Any]) -> int:
        return self.seq - len(entries) + 1

    def send(self, *entries: Any, api: Any = None, **options: Any) -> dict[str, Any]:
        """Post a batch; answers the server's word."""
        response = (api or self.api).post("/journal", self.body(list(entries), **options))
        assert response.status_code == 200, response.content
        return response.json()
