"""The model's bulk operations: which runs are hit when a batch's turn comes, and what becomes of them; deletions."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from typing import Any
from uuid import UUID

from orchestrator.states import TERMINAL, WISHES, By, StateType
from tests.model.leases import Run, Runs

BATCH = 2  # runs
AT_ONCE = 5


@dataclass
class Operation:
    """Something that is done to all runs in some states that were made before a time."""

    id: UUID
    kind: str
    states: list[str]
    before: datetime
    begins: datetime
    reached: tuple[datetime, UUID] | None = None
    done: int = 0
    refused: int = 0
    ended: bool = False


class Many(Runs):
    """Runs, of which many are hit at once, and which may be deleted."""

    def __init__(self, *known: Any) -> None:
        super().__init__(*known)
        self.operations: list[Operation] = []
        self.gone: list[Run] = []
        self.begun_of_gone = 0

    @property
    def deleted(self) -> set[UUID]:
        """The roots of executions that are gone."""
        return {run.id for run in self.gone if run.id == run.root}

    def is_reused(self, run: Run) -> bool:
        """Whether a run that goes on reuses what the chain has stored that a run is in."""
        chain = run.replay_root or run.id
        return any(each.replay_root == chain and each.type not in TERMINAL for each in self.runs.values())

    def delete(self, run: Run) -> None:
        """It goes with what it called; its key is free again."""
        self.gone += [each for each in self.runs.values() if each.root == run.id]
        self.runs = {id: each for id, each in self.runs.items() if each.root != run.id}
        self.keys = {key: id for key, id in self.keys.items() if id != run.id}

    def due(self, operation: Operation) -> list[Run]:
        """The next batch."""
        roots = [run for run in self.runs.values() if run.id == run.root and run.made < operation.before]
        hit = [run for run in roots if run.type in (operation.states or [run.type]) and self._fits(operation.kind, run)]
        line = sorted(hit, key=lambda run: (run.made, run.id))
        return [run for run in line if operation.reached is None or (run.made, run.id) > operation.reached][:BATCH]

    def _fits(self, kind: str, run: Run) -> bool:
        over = run.type in TERMINAL
        match kind:
            case "cancel":
                return not over and run.type != "CANCELLING"
            case "retry":
                return over and not run.local and all(each.retry_of != run.id for each in self.runs.values())
            case "delete":
                return over and not self.is_reused(run)
            case "pause":
                return run.type == "RUNNING" and run.name not in {*WISHES, "Unreachable"}
        return run.type == "PAUSED"

    def work(self, operation: Operation, batch: list[Run], retries: dict[UUID, UUID], at: datetime) -> None:
        """Do a batch; `retries` are the ids of new runs."""
        for run in batch:
            done = self._hit(operation.kind, run, retries, at)
            operation.done, operation.refused = operation.done + done, operation.refused + (not done)
        if batch:
            operation.reached = batch[-1].made, batch[-1].id
        operation.ended = len(batch) < BATCH

    def _hit(self, kind: str, run: Run, retries: dict[UUID, UUID], at: datetime) -> bool:
        if kind == "cancel":
            self.cancel(run, at)
        elif kind == "delete":
            self.delete(run)
        elif kind == "pause":
            self.move(run, StateType.RUNNING, By.SERVER, "Pausing")
        elif kind == "resume":
            if run.held:
                return False  # It asks nobody anything, so nobody has an answer for it.
            self.move(run, StateType.SCHEDULED, By.SERVER, "Resuming", at)
        else:
            self.trigger(retries[run.id], run.deployment, at, run.key, at, retries=run)
        return True
