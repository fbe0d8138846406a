"""All that the server in memory keeps, under one lock."""

from __future__ import annotations

import threading
from dataclasses import dataclass
from typing import Any
from uuid import UUID

from orchestrator import clock
from orchestrator.ids import uuid7
from orchestrator.testing.memory.definitions import Agent, Block, Deployment, NamedLimit, Pool, Queue, Variable
from orchestrator.testing.memory.rows import (
    Artifact,
    Ask,
    Asset,
    Backfill,
    BulkOperation,
    CacheEntry,
    Event,
    Input,
    Mark,
    Run,
)


@dataclass(frozen=True, slots=True)
class Actor:
    """Who asks. A run's actor carries its root and attempt."""

    kind: str
    role: str
    label: str
    run_id: UUID | None = None
    attempt: int | None = None


class Store:
    """All rows, and the one lock over them."""

    def __init__(self, lease_seconds: float, wait_seconds: float) -> None:
        self.lease_seconds = lease_seconds
        self.wait_seconds = wait_seconds
        self.workspace_id = uuid7()
        self.changed = threading.Condition(threading.RLock())
        self.keys: dict[str, Actor] = {}
        self.tokens: dict[str, tuple[Run, int]] = {}
        self.runs: dict[UUID, Run] = {}
        self.deleted: set[UUID] = set()  # roots of executions
        self.marks: dict[tuple[UUID, int, int], Mark] = {}
        self.quarantine: list[dict[str, Any]] = []
        self.events: dict[UUID, Event] = {}
        self.assets: dict[str, Asset] = {}
        self.cache: dict[str, CacheEntry] = {}
        self.artifacts: dict[UUID, Artifact] = {}
        self.deployments: dict[UUID, Deployment] = {}
        self.bundles: dict[str, bytes] = {}
        self.results: dict[str, bytes] = {}
        self.pools: dict[str, Pool] = {}
        self.queues: dict[tuple[str, str], Queue] = {}  # by pool and name
        self.wakes: dict[str, int] = {}
        self.agents: dict[UUID, Agent] = {}
        self.limits: dict[str, NamedLimit] = {}
        self.asks: dict[UUID, Ask] = {}  # the oldest first
        self.slot_logs: dict[UUID, list[tuple[str, UUID]]] = {}  # by session: what was granted or lost, oldest first
        self.variables: dict[str, Variable] = {}
        self.block_types: dict[str, dict[str, Any]] = {}  # those that were registered
        self.blocks: dict[tuple[str, str], Block] = {}
        self.inputs: dict[tuple[UUID, str], Input] = {}  # by root and key
        self.backfills: dict[UUID, Backfill] = {}
        self.bulk: dict[UUID, BulkOperation] = {}
        self.bells: dict[UUID, int] = {}  # by root

    @property
    def lease_time(self) -> int:
        """For how long (µs) a holder may be silent."""
        return int(self.lease_seconds * 1_000_000)

    def wake(self, pool: str) -> None:
        """A pool has work."""
        self.wakes[pool] = self.wakes.get(pool, 0) + 1
        self.changed.notify_all()

    def ring(self, root: UUID) -> None:
        """Something has come for an execution that may wait for it."""
        self.bells[root] = self.bells.get(root, 0) + 1
        self.changed.notify_all()

    def roots(self) -> list[Run]:
        """Runs that are executions of their own."""
        return [run for run in self.runs.values() if run.is_root]

    def held(self, run: Run) -> bool:
        """True while a lease of the run lives."""
        return run.lease is not None and run.lease.expires_at > clock.now()
