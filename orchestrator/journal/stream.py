"""One writer of one execution."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any
from uuid import UUID

from orchestrator import clock
from orchestrator.journal.records import ArtifactTold, Finish, TaskSnapshot

if TYPE_CHECKING:
    from orchestrator.engine.stopping import Stopping
    from orchestrator.engine.task_run import TaskRun
    from orchestrator.journal.file import JournalFile
    from orchestrator.journal.hub import Hub

ANNOUNCE_AFTER = 100_000
"""Microseconds after which a task that still runs is told of; a shorter one is told of once, at its end."""
PROGRESS_EVERY = 250_000
"""Microseconds between two words about the progress of one artifact; of what is told in between the last one counts."""


class Stream:
    """Takes records from any thread; the hub's thread numbers and writes them, the shipper sends them.

    Attributes:
        open: Task runs under way, oldest first.
        progress: The last word on the progress of each artifact that was not written yet.
        seq: The number of the last entry written.
        resumed: The last entry that tells of the end of a pause, and of the how manieth.
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
        self.resumed = (0, 0)
        self.open: dict[TaskRun, None] = {}
        self.progress: dict[UUID, ArtifactTold] = {}
        self._progress_told: dict[UUID, int] = {}  # when (µs UTC) it was written last
        self.file: JournalFile | None = None
        self.finished = False
        self.refused = False

    # User threads.

    def put(self, record: Any) -> None:
        """Append a record. No I/O."""
        self.hub.put((self, record))

    def progressed(self, told: ArtifactTold) -> None:
        """Tell the progress of an artifact; it is written soon, unless a newer word comes first. No I/O."""
        self.progress[told.id] = told
        if self.hub.asleep:
            self.hub.wake()

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

    # The shipper's thread.

    def acked(self, seq: int) -> None:
        """The server has received all up to an entry."""
        told, number = self.resumed
        if self.stopping is not None and seq >= told:
            self.stopping.resumed_heard = number

    # The hub's thread.

    def late_to_announce(self) -> tuple[list[TaskSnapshot], int | None]:
        """Snapshots of the tasks that have run long enough to be shown, and when the next one will have (µs UTC)."""
        due: list[TaskSnapshot] = []
        limit = clock.now() - ANNOUNCE_AFTER
        for run in list(self.open):
            if run.announced or run.state_type is None:
                continue
            began = run.started or run.t  # It may still wait for a slot.
            if began > limit:
                return due, began + ANNOUNCE_AFTER
            run.announced = True
            due.append(TaskSnapshot(run))
        return due, None

    def progress_to_tell(self) -> tuple[list[ArtifactTold], int | None]:
        """The progress that was not told of for a while, and when the rest will be due (µs UTC)."""
        due: list[ArtifactTold] = []
        soonest: int | None = None
        now = clock.now()
        for id in list(self.progress):
            at = self._progress_told.get(id, 0) + PROGRESS_EVERY
            if at <= now:
                self._progress_told[id] = now
                due.append(self.progress.pop(id))
            else:
                soonest = at if soonest is None else min(soonest, at)
        return due, soonest

    def last_progress(self) -> list[ArtifactTold]:
        """All progress that was not written yet."""
        return [self.progress.pop(id) for id in list(self.progress)]
