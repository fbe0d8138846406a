"""The transaction of one task run: what it has to say when the one around it commits, or is rolled back."""

from __future__ import annotations

from collections.abc import Generator
from pathlib import Path
from typing import TYPE_CHECKING, Any

from orchestrator.engine.drivers import Call
from orchestrator.states import REUSED, StateType
from orchestrator.transactions import CommitMode, Transaction, TransactionState

if TYPE_CHECKING:
    from orchestrator.engine.drivers import Effect
    from orchestrator.engine.keeping import Keeping
    from orchestrator.engine.task_run import TaskRun
    from orchestrator.states import State


class TaskTransaction(Transaction):
    """It begins with the task run, and ends well when that has completed."""

    def __init__(self, run: TaskRun, parent: Transaction | None) -> None:
        super().__init__(parent=parent)
        self.run = run
        self.state = TransactionState.ACTIVE
        self.locks: list[Effect] = []  # What gives locks of cache keys back: when the value is stored, or given up.
        self._kept_back: tuple[Keeping, Any, State | None] | None = None

    @property
    def keeps_back(self) -> bool:
        """True when values are stored with the transaction around this one, not before."""
        return self.parent is not None and self.commit_mode is not CommitMode.EAGER

    def keep_back(self, keeping: Keeping, value: Any, manual: State | None) -> None:
        """Store a value when it commits."""
        self._kept_back = (keeping, value, manual)
        for path in keeping.places():
            self.kept_back[path] = self

    def settle(self) -> Generator[Effect, Any, None]:
        """The task has ended."""
        run = self.run
        if run.state_type is not StateType.COMPLETED:
            yield from self._closing(run.error or RuntimeError(run.message))
            return
        if run.state_name in REUSED:
            self.state = TransactionState.COMMITTED  # By whoever computed the value.
            return
        task = run.definition
        self.stage(run.value, task.on_rollback_hooks, task.on_commit_hooks)
        if self.records is not None and self.keeps_back and (self.on_rollback_hooks or self._kept_back):
            yield Call(self._record)
        yield from self._closing(None)

    def afresh(self) -> Generator[Effect, Any, None]:
        """The task is executed again: what it called in its last execution is undone."""
        children, self.children = self.children, []
        for child in reversed(children):
            yield from child._rolling_back()

    def _record(self) -> None:
        assert self.records is not None
        try:
            self.records.add(self, self.run.name, self._places())
        except Exception as error:
            self.run.log.warning(
                "Should this process die before the transaction has ended, the task can't be undone: %s", error
            )

    def _places(self) -> tuple[Any, list[str]] | None:
        """In which storage, and where in it, the value is going to be; None where that can't be told."""
        if self._kept_back is None:
            return None
        keeping = self._kept_back[0]
        told = keeping.option("result_storage")
        return (told, keeping.places()) if told is None or isinstance(told, str | Path) else None

    def staged_at(self, path: str) -> tuple[Any] | None:
        """The value that a task of the same outermost transaction is going to store at a path of the cache."""
        each = self.kept_back.get(path)
        kept = each._kept_back if each is not None else None
        return (kept[1],) if each is not None and kept is not None and each.is_staged() else None

    # What becomes of it.

    def _writes(self) -> bool:
        return self._kept_back is not None

    def _write(self) -> None:
        assert self._kept_back is not None
        keeping, value, manual = self._kept_back
        keeping.write(value, manual)

    def _unwrite(self) -> None:
        assert self._kept_back is not None
        keeping = self._kept_back[0]
        for path in keeping.places():
            keeping.store.storage.delete(path)
        keeping.stored = None

    def _release(self) -> Generator[Effect, Any, None]:
        locks, self.locks = self.locks, []
        yield from locks
        yield from super()._release()

    def _committed(self) -> None:
        if self._kept_back is not None:
            self._kept_back = None
            self._tell_again()

    def _rolled_back(self) -> None:
        if self.on_rollback_hooks or self._kept_back is not None:
            self._kept_back = None
            self.run.take_back("Undone, as the transaction around it was.")
            self._tell_again()

    def _tell_again(self) -> None:
        """The last state was told before this was known."""
        if self.parent is not None and self.run.stream is not None:
            self.run.stream.closed(self.run)
