"""What runs leave behind, as it is kept. Times are microseconds UTC."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any
from uuid import UUID

from orchestrator import clock
from orchestrator.cleaned import CacheWord, Made
from orchestrator.states import TERMINAL, is_held
from orchestrator.testing.memory.definitions import Deployment, Schedule

State = tuple[int, str, str, str | None, int]
"""When (µs UTC), type, name, message, attempt."""


@dataclass(eq=False, slots=True)
class TaskRun:
    """A task run, as far as it has come."""

    id: UUID
    task: str
    label: str
    state_type: str
    state_name: str | None
    message: str | None
    attempt: int
    run_count: int
    rank: int
    seq: int
    started_at: int | None
    ended_at: int | None
    duration: int | None
    parents: list[UUID]
    parent_task: UUID | None
    tags: list[str]
    history: list[Any]
    error: dict[str, str] | None
    result: dict[str, Any] | None = None


@dataclass(eq=False, slots=True)
class LogLine:
    """A line of a run's log. `line` counts within the execution."""

    line: int
    t: int
    level: int
    logger: str
    message: str
    task: UUID | None
    attempt: int
    run: UUID
    extra: Any = None


@dataclass(eq=False, slots=True)
class Artifact:
    """Something a run made for people."""

    id: UUID
    run: UUID
    task: UUID | None
    type: str
    key: str
    data: Any
    summary: dict[str, Any]
    description: str
    created_at: int
    updated_at: int


@dataclass(eq=False, slots=True)
class Event:
    """Something that happened."""

    id: UUID
    run: UUID | None
    t: int
    event: str
    resource: dict[str, str]
    related: list[dict[str, str]]
    payload: Any


@dataclass(eq=False, slots=True)
class CacheEntry:
    """A key of the cache, the newest value under it, and its uses as (when, run, task run)."""

    id: UUID
    key: str
    word: CacheWord
    made_at: int
    run: UUID | None = None
    task: UUID | None = None
    invalidated_at: int | None = None
    uses: list[tuple[int, UUID, UUID]] = field(default_factory=list)

    @property
    def state(self) -> str:
        """Whether calls may use it."""
        if self.invalidated_at is not None:
            return "invalidated"
        return "expired" if self.word.expires is not None and self.word.expires <= clock.now() else "live"


@dataclass(eq=False, slots=True)
class Making:
    """A run made an asset, or failed at it."""

    id: UUID
    at: int
    run: UUID
    told: Made


@dataclass(eq=False, slots=True)
class Asset:
    """Something that runs make or use."""

    id: UUID
    key: str
    name: str = ""
    description: str = ""
    url: str = ""
    owners: list[str] = field(default_factory=list)
    upstream: set[str] = field(default_factory=set)
    downstream: set[str] = field(default_factory=set)
    makings: dict[UUID, Making] = field(default_factory=dict)


@dataclass(eq=False, slots=True)
class Attempt:
    """One claim of a root run."""

    token: str
    created_at: int
    agent: UUID | None = None
    ended_at: int | None = None
    outcome: str = ""
    history: list[Any] = field(default_factory=list)
    hooks_until: int = 0


@dataclass(eq=False, slots=True)
class Lease:
    """Somebody holds a run."""

    attempt: int
    agent: UUID | None
    expires_at: int


@dataclass(frozen=True, slots=True)
class Given:
    """What one of those who were asked said."""

    by: str
    verdict: str
    comment: str
    at: int


@dataclass(eq=False, slots=True)
class Input:
    """A place in a flow that waits for people."""

    id: UUID
    run: UUID
    root: UUID
    attempt: int
    key: str
    pause: str
    title: str
    description: str
    schema: dict[str, Any] | None
    initial: dict[str, Any]
    quorum: int
    roles: list[str]
    teams: list[str]
    link: str
    created_at: int
    expires_at: int | None
    state: str = "waiting"
    value: dict[str, Any] | None = None
    ended_at: int | None = None
    answers: list[Given] = field(default_factory=list)


@dataclass(frozen=True, slots=True)
class Message:
    """Something that a run was sent."""

    number: int
    key: str
    sender: str
    value: Any
    sent_at: int


@dataclass(eq=False, slots=True)
class Run:
    """A flow run.

    Attributes:
        state_type, state_name, state_message: The state that it is in.
        history: All states, oldest first: (µs UTC, type, name, message, attempt).
        attempt: How often it was claimed.
        run_count: How often the flow's function was executed.
        error: {"type", "message", "traceback"} of a run that ended badly.
        result: {"url", "key", "serializer", "size", "expires"} of a value that was stored.
    """

    id: UUID
    root_id: UUID
    flow: str
    name: str
    origin: str
    created_by: str
    created_at: int
    state_type: str
    state_name: str
    state_at: int
    parameters: Any = field(default_factory=dict)
    secrets: dict[str, str] = field(default_factory=dict)
    job_variables: dict[str, Any] = field(default_factory=dict)
    call: dict[str, Any] | None = None
    tags: list[str] = field(default_factory=list)
    version: str = ""
    deployment_version: int | None = None
    commit: str = ""
    deployment: Deployment | None = None
    schedule: Schedule | None = None
    backfill: UUID | None = None
    idempotency_key: str | None = None
    state_message: str = ""
    history: list[State] = field(default_factory=list)
    error: dict[str, str] | None = None
    result: dict[str, Any] | None = None
    retry_of: UUID | None = None
    replays_from: UUID | None = None
    replay_root: UUID | None = None
    again: dict[str, list[UUID]] = field(default_factory=dict)
    parent_id: UUID | None = None
    parent_task_id: UUID | None = None
    queue: str = ""
    priority: int = 0
    key: str = ""
    attempt: int = 0
    run_count: int = 0
    crashes: int = 0
    claims_lost: int = 0
    retries: int = 0
    retry_delay: float = 0.0
    crash_retries: int | None = None
    scheduled_at: int | None = None
    due_at: int | None = None
    debounce_key: str | None = None
    debounce_until: int | None = None
    debounced: int = 0  # triggers that became this run
    folded: set[str] = field(default_factory=set)  # their idempotency keys
    start_by: int | None = None
    started_at: int | None = None
    ended_at: int | None = None
    duration: int = 0
    cpu: int = 0
    memory: int = 0
    attempts: dict[int, Attempt] = field(default_factory=dict)
    lease: Lease | None = None
    tasks: dict[UUID, TaskRun] = field(default_factory=dict)
    lines: list[LogLine] = field(default_factory=list)  # of the whole execution, on its root
    let_go: str | None = None
    announced: bool = False  # its pool was told that it is due
    suspensions: int = 0
    messages: list[Message] = field(default_factory=list)

    @property
    def is_root(self) -> bool:
        """True for a run with a lease of its own."""
        return self.id == self.root_id

    @property
    def is_local(self) -> bool:
        """True for a run that no agent may take over."""
        return self.deployment is None

    @property
    def is_final(self) -> bool:
        """True when no state can follow."""
        return self.state_type in TERMINAL

    @property
    def is_held(self) -> bool:
        """True while somebody holds the run, with a lease."""
        return is_held(self.state_type, self.state_name)

    @property
    def states(self) -> list[str]:
        """The names of the states that it went through."""
        return [name for _, _, name, _, _ in self.history]

    def __repr__(self) -> str:
        return f"<run {self.name!r} of {self.flow!r}: {self.state_name}>"


@dataclass(eq=False, slots=True)
class Ask:
    """Somebody holds slots of some names (`held_at`), or waits for them. `leased`: for as long as the run's lease."""

    id: UUID
    keys: list[tuple[str, str]]
    occupy: int
    session: UUID
    run: UUID | None
    attempt: int | None
    leased: bool
    label: str
    asked_at: int
    expires_at: int
    held_at: int | None = None


@dataclass(eq=False, slots=True)
class Mark:
    """How far one stream was applied, and how far its writer's clock is off (µs)."""

    applied: int
    offset: int


@dataclass(eq=False, slots=True)
class BulkOperation:
    """Something that is done to many runs. `by` is the actor who asked for it."""

    id: UUID
    kind: str
    filter: dict[str, Any]
    from_failure: bool
    by: Any
    created_at: int
    begins_at: int
    count: int
    left_out: dict[str, int]
    state: str = "waiting"
    message: str = ""
    started_at: int | None = None
    ended_at: int | None = None
    done: int = 0
    refused: dict[str, int] = field(default_factory=dict)


@dataclass(eq=False, slots=True)
class Backfill:
    """Runs that are made a few at a time. `told` is as it was asked for, `places` as the API shows them."""

    id: UUID
    told: Any
    deployment: Deployment
    schedule: Schedule | None
    times: Any
    until: Any
    by: Any
    created_at: int
    counts_from: int
    key: str | None
    places: list[dict[str, Any]]
    state: str = "running"
    message: str = ""
    ended_at: int | None = None
