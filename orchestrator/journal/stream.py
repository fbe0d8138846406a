"""One writer of one execution."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any
from uuid import UUID

from orchestrator import clock
from orchestrator.journal.records import Finish, TaskSnapshot

if TYPE_CHECKING:
    from orchestrator.engine.stopping import Stopping
    from orchestrator.engine.task_run import TaskRun
    from orchestrator.journal.file import JournalFile
    from orchestrator.journal.hub import Hub

ANNOUNCE_AFTER = 100_000
"""Microseconds after which a task that still runs is told of; a shorter one is told of once, at its end."""


class Stream:
    """Takes records from any thread; the hub's thread numbers and writes them, the shipper sends them.

    Attributes:
        open: Task runs under way, oldest first.
        seq: The number of the last entry written.
    """

    def __init__(
        self, hub: Hub, *, root: UUID, attempt: int, writer: int, token: str, stopping: Stopping | None, local: bool
    ) -> None:
        self.hub = hub
        self.root = root
        self.attempt = attempt
        self.writer = writer
        self.token = token
        self.stopping = stopping
        self.local = local
        self.id = f"{root}.{attempt}.{writer}"
        self.seq = 0
        self.open: dict[TaskRun, None] = {}
        self.file: JournalFile | None = None
        self.finished = False
        self.refused = False

    # User threads.

    def put(self, record: Any) -> None:
        """Append a record. No I/O."""
        self.hub.put((self, record))

    def opened(self, run: TaskRun) -> None:
        """A task run began an execution, or waits for its next one."""
        if run.announced:
            self.hub.put((self, TaskSnapshot(run)))
        else:
            self.open[run] = None
            if self.hub.asleep:
                self.hub.wake()

    def closed(self, run: TaskRun) -> None:
        """A task run reached its final state."""
        self.open.pop(run, None)
        self.hub.put((self, run))

    def finish(self) -> None:
        """No more is to come, but for stragglers."""
        self.hub.put((self, Finish()))

    # The hub's thread.

    def late_to_announce(self) -> tuple[list[TaskSnapshot], int | None]:
        """Snapshots of the tasks that have run long enough to be shown, and when the next one will have (µs UTC)."""
        due: list[TaskSnapshot] = []
        limit = clock.now() - ANNOUNCE_AFTER
        for run in list(self.open):
            if run.announced or run.started is None:
                continue
            if run.started > limit:
                return due, run.started + ANNOUNCE_AFTER
            run.announced = True
            due.append(TaskSnapshot(run))
        return due, None
