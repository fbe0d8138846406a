"""What transactions need besides their block: effects, and records of what is to be undone should the process die.

A record is written when a task of a transaction has finished: its `on_rollback` hooks and the values that these ask
for. Records of a transaction that was decided are removed, the first one first: without it the others mean nothing. So
whoever finds records finds a transaction that nobody has decided, and undoes it, the last task first.
"""

from __future__ import annotations

import contextlib
import inspect
import threading
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any
from uuid import UUID

from orchestrator.context import current_flow_run, current_task_run
from orchestrator.engine import undecided
from orchestrator.ids import uuid7

if TYPE_CHECKING:
    from orchestrator.engine.flow_run import FlowRun
    from orchestrator.results import ResultStore
    from orchestrator.transactions import Hook, Transaction

WAIT_SECONDS = 3600.0
_FOLDER = "transactions"


class CallHook:
    """Call a hook with its transaction: sync or async, whatever surrounds it."""

    __slots__ = ("_hook", "_transaction")

    def __init__(self, hook: Hook, transaction: Transaction) -> None:
        self._hook = hook
        self._transaction = transaction

    def run(self) -> Any:
        outcome = self._hook(self._transaction)
        return _finished(outcome) if inspect.isawaitable(outcome) else outcome

    async def arun(self) -> Any:
        outcome = self._hook(self._transaction)
        return await outcome if inspect.isawaitable(outcome) else outcome


def _finished(outcome: Any) -> Any:
    """What an awaitable comes to, for sync code; in a thread of its own, since a loop may run in this one."""
    import asyncio
    import contextvars
    from concurrent.futures import ThreadPoolExecutor

    async def awaited() -> Any:
        return await outcome

    with ThreadPoolExecutor(1) as pool:
        return pool.submit(contextvars.copy_context().run, asyncio.run, awaited()).result()


class KeyLock:
    """The lock of a transaction's key."""

    def __init__(self, name: str) -> None:
        self.name = name
        self.held: Any = None


class TakeLock:
    """Wait for the lock of a key."""

    __slots__ = ("_lock",)

    def __init__(self, lock: KeyLock) -> None:
        self._lock = lock

    def run(self) -> None:
        from orchestrator.concurrency.locks import lock

        asked = lock(self._lock.name, timeout_seconds=WAIT_SECONDS)
        asked.__enter__()
        self._lock.held = asked

    async def arun(self) -> None:
        from orchestrator.concurrency.locks import alock

        asked = alock(self._lock.name, timeout_seconds=WAIT_SECONDS)
        await asked.__aenter__()
        self._lock.held = asked


class GiveLock:
    """Give it back."""

    __slots__ = ("_lock",)

    def __init__(self, lock: KeyLock) -> None:
        self._lock = lock

    def run(self) -> None:
        self._lock.held.__exit__(None, None, None)

    async def arun(self) -> None:
        await self._lock.held.__aexit__(None, None, None)


class Records:
    """The records of one outermost transaction."""

    def __init__(self, store: ResultStore, folder: str) -> None:
        self._store = store
        self._folder = folder
        self._made = 0
        self._lock = threading.Lock()

    def add(self, transaction: Transaction, task: str, places: Any) -> None:
        """Keep what undoes a task that has finished.

        Args:
            places: The storage in which its value is going to be, and the paths there.

        Raises:
            ResultNotStored: It can't be stored.
        """
        values: dict[str, Any] = {}
        here: Transaction | None = transaction
        while here is not None:
            values = {**here._values, **values}
            here = here.parent
        record = {"task": task, "hooks": list(transaction.on_rollback_hooks), "values": values, "places": places}
        with self._lock:
            if not self._made and undecided.needs_note(self._store):
                undecided.note(self._store, self._folder, is_open=True)
            self._store.write(self._path(self._made), {**record, "value": transaction.read()})
            self._made += 1

    def clear(self) -> None:
        """The transaction is decided."""
        if self._made:
            undecided.remove(self._store, self._folder, [self._path(number) for number in range(self._made)])
        self._made = 0

    def _path(self, number: int) -> str:
        return f"{self._folder}/{number:06}"


def records_here() -> Records | None:
    """Where a transaction that begins here keeps its records; None where no other process would read them."""
    flow_run = current_flow_run()
    if flow_run is None:
        return None
    root: FlowRun = flow_run.root
    run = current_task_run() or flow_run
    if root.execution is None and not (flow_run.keeps or run.keeping is not None):
        return None
    # In the order of their beginning, by their ids: what began last is undone first.
    return Records(_store_of(root), f"{_folder_of(root.replay_root)}/{uuid7()}")


def _folder_of(run_id: UUID) -> str:
    return f"runs/{run_id}/{_FOLDER}"


def _store_of(root: FlowRun) -> ResultStore:
    from orchestrator.results import get_result_store

    return get_result_store(root.definition.result_storage, "pickle")


def leftovers(root: FlowRun) -> None:
    """Undo what former attempts of a run have left half done."""
    try:
        undone = undo_all(_store_of(root), root.replay_root, log=root.log)
    except Exception:
        root.log.exception("What transactions of a former attempt may have left could not be looked for.")
        return
    if undone:
        root.log.warning("%d tasks of transactions that a former attempt left half done were undone.", undone)


def any_left(root: FlowRun) -> bool:
    """Whether transactions of a run have left anything; False, where that can't be found out."""
    try:
        return bool(undecided.folders(_store_of(root), _folder_of(root.replay_root)))
    except Exception:
        root.log.exception("What transactions of this run may have left could not be looked for.")
        return False


def undo_all(store: ResultStore, run_id: UUID, log: Any = None) -> int:
    """Undo what transactions of a run have left; how many tasks that were."""
    undone = 0
    for folder in undecided.folders(store, _folder_of(run_id)):
        records = list(_records(store, folder))
        for record in reversed(records):
            _undo(record, log)
        undone += len(records)
        left = Records(store, folder)
        undecided.remove(store, folder, [left._path(number) for number in range(len(records))])
        for each in [] if undecided.needs_note(store) else list(store.storage.list(folder)):
            store.storage.delete(each.path)  # Of one whose removal was cut short.
    return undone


def _records(store: ResultStore, folder: str) -> Iterator[dict[str, Any]]:
    """From the first one on; none, where that is gone: the transaction was decided."""
    from orchestrator.exceptions import MissingResult

    number = 0
    while True:
        try:
            yield store.read(f"{folder}/{number:06}")[0]
        except MissingResult as error:
            if error.__cause__ is not None:
                raise  # It is there and can't be read: better not half of it.
            return
        number += 1


def _undo(record: dict[str, Any], log: Any) -> None:
    from orchestrator.logging import get_logger
    from orchestrator.transactions import Transaction

    log = log or get_logger("orchestrator.transactions")
    transaction = Transaction()
    transaction._values = record["values"]
    transaction.stage(record["value"])
    log.info("Undoing %s, which a former attempt had finished in a transaction.", record["task"])
    if record["places"] is not None:
        from orchestrator.result_storage import storage_of

        storage, paths = record["places"]
        for path in paths:
            with contextlib.suppress(NotImplementedError):
                storage_of(storage).delete(path)
    for hook in reversed(record["hooks"]):
        try:
            CallHook(hook, transaction).run()
        except Exception:
            log.exception("The on_rollback hook %r failed.", getattr(hook, "__name__", hook))


__all__ = ["CallHook", "GiveLock", "KeyLock", "Records", "TakeLock", "leftovers", "records_here", "undo_all"]
