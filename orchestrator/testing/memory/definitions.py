"""What people and code set up, as it is kept. Times are microseconds UTC."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any
from uuid import UUID

from orchestrator import job_templates
from orchestrator.schedule_times import Times


@dataclass(eq=False, slots=True)
class Schedule:
    """When a deployment runs by itself. `deployed`: by code; what a person added no deploy removes."""

    id: UUID
    slug: str
    times: Times = field(default_factory=lambda: Times("cron"))
    deployed: bool = True
    parameters: dict[str, Any] = field(default_factory=dict)
    active: bool = False
    paused_by: str = ""
    paused_at: int | None = None
    catch_up: str = "skip"
    catch_up_max: int = 100
    skip_if_late: float | None = None
    next_at: int | None = None
    refusal: str = ""
    created_at: int = 0

    @property
    def whole(self) -> tuple[Any, ...]:
        """All that a deploy says of it."""
        rest = (self.parameters, self.catch_up, self.catch_up_max, self.skip_if_late, self.deployed)
        return (self.times, *rest)


@dataclass(eq=False, slots=True)
class Version:
    """What a deployment was from one change to the next: `facts` are those that it holds of it."""

    id: UUID
    number: int
    facts: dict[str, Any]
    message: str
    git: dict[str, Any] | None
    rollback_of: int | None
    created_by: str
    created_at: int


@dataclass(eq=False, slots=True)
class Deployment:
    """A flow that can be triggered. `number`: of its version in force; `canary`: of the one on trial."""

    id: UUID
    flow: str
    name: str
    pool: str
    facts: dict[str, Any]
    created_at: int
    updated_at: int
    schedules: dict[str, Schedule] = field(default_factory=dict)
    versions: dict[int, Version] = field(default_factory=dict)
    number: int = 0
    canary: int | None = None
    canary_share: int = 0

    def facts_of(self, number: int | None) -> dict[str, Any]:
        """What a run of this version is executed from: the canary's facts while it is one, else those in force."""
        if number is None or number != self.canary:
            return self.facts
        return {**self.facts, **self.versions[number].facts}

    @property
    def full_name(self) -> str:
        """Flow and name."""
        return f"{self.flow}/{self.name}"


@dataclass(eq=False, slots=True)
class Pool:
    """Where runs are executed. `limit`: how many of its runs may go on at once."""

    id: UUID
    name: str
    description: str = ""
    limit: int | None = None
    paused: bool = False
    paused_by: str = ""
    paused_at: int | None = None
    type: str = "process"
    base_job_template: dict[str, Any] | None = None

    @property
    def template(self) -> dict[str, Any]:
        """The base job template that counts: its own, or that of its type."""
        return job_templates.of_pool(self.type, self.base_job_template)


@dataclass(eq=False, slots=True)
class Queue:
    """A lane within a pool. Lower `priority` numbers go first."""

    id: UUID
    pool: str
    name: str
    description: str = ""
    limit: int | None = None
    paused: bool = False
    priority: int = 100
    paused_by: str = ""
    paused_at: int | None = None


@dataclass(eq=False, slots=True)
class NamedLimit:
    """At most `slots` holders at once of a name; `rate` gives slots back by itself, per second."""

    id: UUID
    name: str
    slots: int
    rate: float = 0.0
    active: bool = True
    reserved_until: int = 0
    created_at: int = 0


@dataclass(eq=False, slots=True)
class Agent:
    """An agent that has registered."""

    id: UUID
    pool: str
    name: str
    facts: dict[str, Any]
    created_at: int
    started_at: int
    last_seen_at: int
    load: dict[str, Any] = field(default_factory=dict)
    lines: list[Any] = field(default_factory=list)


@dataclass(eq=False, slots=True)
class Variable:
    """A named value."""

    name: str
    value: Any
    tags: list[str]
    updated_at: int
    updated_by: str


@dataclass(eq=False, slots=True)
class BlockVersion:
    """What a block held from one change to the next: `{"$secret": true}` where a secret belongs, these apart."""

    number: int
    data: dict[str, Any]
    secrets: dict[str, Any] = field(repr=False)
    note: str
    created_at: int
    created_by: str


@dataclass(eq=False, slots=True)
class Block:
    """A document of a type under a name, its versions newest last."""

    type: str
    name: str
    description: str
    created_at: int
    updated_at: int
    updated_by: str
    versions: list[BlockVersion] = field(default_factory=list)

    @property
    def path(self) -> str:
        """How code and other blocks name it."""
        return f"{self.type}/{self.name}"

    @property
    def newest(self) -> BlockVersion:
        """What it holds now."""
        return self.versions[-1]
