"""Transactions: several tasks that count together or not at all.

What a task of a transaction returned is stored when the transaction commits, and its `on_commit` hooks are called then.
If the transaction fails, the `on_rollback` hooks of the tasks that had finished are called, the last one first.

>>> from orchestrator import flow, task
>>> from orchestrator.transactions import get_transaction, transaction
>>> @task
... def charge(amount):
...     get_transaction().set("charge", f"ch-{amount}")
>>> @charge.on_rollback
... def refund(transaction):
...     print("refunded", transaction.get("charge"))
>>> @flow
... def order():
...     with transaction():
...         charge(20)
...         raise ConnectionError("no courier")
>>> try:
...     order()
... except ConnectionError as error:
...     print(error)
refunded ch-20
no courier
"""

from __future__ import annotations

import threading
from collections.abc import AsyncGenerator, Callable, Generator, Sequence
from contextlib import asynccontextmanager, contextmanager
from enum import StrEnum
from typing import TYPE_CHECKING, Any

from orchestrator.context import transaction_here
from orchestrator.counterparts import missing
from orchestrator.engine.drivers import Call, drive, drive_async

if TYPE_CHECKING:
    from orchestrator.engine.drivers import Effect
    from orchestrator.engine.task_transaction import TaskTransaction
    from orchestrator.engine.undo import Records
    from orchestrator.futures import Future
    from orchestrator.results import ResultStore

__all__ = [
    "CommitMode",
    "IsolationLevel",
    "Transaction",
    "TransactionState",
    "atransaction",
    "get_transaction",
    "transaction",
    "undo_leftovers",
]

_NOTHING: Any = object()
Hook = Callable[["Transaction"], Any]


class IsolationLevel(StrEnum):
    """How far transactions, and calls that are cached, keep out of each other's way."""

    READ_COMMITTED = "READ_COMMITTED"  # What others committed is read. Where no lock is to be had, it goes on without.
    SERIALIZABLE = "SERIALIZABLE"  # Of one key only one is under way at a time.


class CommitMode(StrEnum):
    """When the tasks of a transaction count."""

    EAGER = "EAGER"  # Each when it has finished.
    LAZY = "LAZY"  # All at the end of the outermost transaction.
    OFF = "OFF"  # When code says commit(); never, if it doesn't.


class TransactionState(StrEnum):
    """How far a transaction has come."""

    PENDING = "PENDING"  # Not begun.
    ACTIVE = "ACTIVE"  # Its block runs.
    STAGED = "STAGED"  # Its block has ended well; it waits for the transaction around it.
    COMMITTED = "COMMITTED"  # It counts.
    ROLLED_BACK = "ROLLED_BACK"  # It doesn't, and its tasks were undone.


class Transaction:
    """One transaction: that of a block, or of a task within one. Get it from `transaction()` or `get_transaction()`."""

    def __init__(
        self,
        key: str | None = None,
        store: ResultStore | None = None,
        commit_mode: CommitMode | None = None,
        isolation_level: IsolationLevel | None = None,
        overwrite: bool = False,
        write_on_commit: bool = True,
        logger: Any = None,
        *,
        parent: Transaction | None = None,
    ) -> None:
        self.key = key
        self.store = store
        self.parent = parent
        self.commit_mode = commit_mode or (parent.commit_mode if parent is not None else CommitMode.LAZY)
        around = parent.isolation_level if parent is not None else IsolationLevel.READ_COMMITTED
        self.isolation_level = isolation_level or around
        self.overwrite = overwrite
        self.write_on_commit = write_on_commit
        self.state = TransactionState.PENDING
        self.children: list[Transaction] = []
        self.on_commit_hooks: list[Hook] = []
        self.on_rollback_hooks: list[Hook] = []
        self.logger = logger
        self.records: Records | None = parent.records if parent is not None else None
        # By path: whose value is to be stored there, of all within the outermost one.
        self.kept_back: dict[str, TaskTransaction] = parent.kept_back if parent is not None else {}
        self._values: dict[str, Any] = {}
        self._staged: Any = _NOTHING
        self._lock = threading.RLock()
        self._submitted: list[Future[Any]] = []
        self._key_lock: Any = None

    # What code in it uses.

    def set(self, name: str, value: Any) -> None:
        """Keep a value for its hooks, and for the transactions within."""
        self._values[name] = value

    def get(self, name: str, default: Any = _NOTHING) -> Any:
        """A value that was set here, or in a transaction around this one.

        Raises:
            ValueError: There is none, and no default was given.
        """
        here: Transaction | None = self
        while here is not None:
            if name in here._values:
                return here._values[name]
            here = here.parent
        if default is _NOTHING:
            raise ValueError(f"The transaction knows no {name!r}. Set it first: get_transaction().set({name!r}, …).")
        return default

    def stage(self, value: Any, on_rollback_hooks: Sequence[Hook] = (), on_commit_hooks: Sequence[Hook] = ()) -> None:
        """Say what is to be stored under the key when it commits, and what is to be called."""
        self._staged = value
        self.on_rollback_hooks += on_rollback_hooks
        self.on_commit_hooks += on_commit_hooks

    def read(self) -> Any:
        """The value that was staged; else what is stored under the key, or None."""
        if self._staged is not _NOTHING:
            return self._staged
        from orchestrator.exceptions import MissingResult

        try:
            return self.store.read(self._path())[0] if self.key and self.store else None
        except MissingResult:
            return None

    def is_active(self) -> bool:
        """True while its block runs."""
        return self.state is TransactionState.ACTIVE

    def is_staged(self) -> bool:
        """True when it waits for the transaction around it."""
        return self.state is TransactionState.STAGED

    def is_committed(self) -> bool:
        """True when it counts; at its beginning already, if it did under its key before."""
        return self.state is TransactionState.COMMITTED

    def is_rolled_back(self) -> bool:
        """True when its tasks were undone."""
        return self.state is TransactionState.ROLLED_BACK

    def is_pending(self) -> bool:
        """True before its block runs."""
        return self.state is TransactionState.PENDING

    def commit(self) -> bool:
        """Let it count now; False when that is decided already.

        Raises:
            Exception: A value can't be stored, or an on_commit hook failed. All was rolled back.
        """
        done = self._is_over()
        drive(self._committing())
        return not done

    def rollback(self) -> bool:
        """Undo its tasks now, the last one first; False when that is decided already."""
        done = self._is_over()
        drive(self._rolling_back())
        return not done

    def wait_for(self, future: Future[Any]) -> None:
        """Wait for a future at the end of the block."""
        with self._lock:
            self._submitted.append(future)

    # Its life, in steps for sync and async code.

    def _is_over(self) -> bool:
        return self.state in (TransactionState.COMMITTED, TransactionState.ROLLED_BACK)

    def _opening(self) -> Generator[Effect, Any, None]:
        from orchestrator.engine import undo

        self.state = TransactionState.ACTIVE
        if self.parent is None:
            self.records = undo.records_here()
        if self.key is None:
            return
        if self.isolation_level is IsolationLevel.SERIALIZABLE:
            self._key_lock = undo.KeyLock(self._path())
            yield undo.TakeLock(self._key_lock)
        if not self.overwrite and (yield Call(self._is_stored)):
            self.state = TransactionState.COMMITTED

    def _closing(self, error: BaseException | None) -> Generator[Effect, Any, None]:
        """The block is over."""
        from orchestrator.engine.effects import Settle

        if error is None and self._submitted:
            yield Settle(tuple(self._submitted))
        if error is not None or (self.commit_mode is CommitMode.OFF and self.parent is None):
            yield from self._rolling_back()
        elif self.commit_mode is CommitMode.EAGER or (self.parent is None and self.commit_mode is CommitMode.LAZY):
            yield from self._committing()
        elif not self._is_over():
            self.state = TransactionState.STAGED
        if self.parent is not None and self.state is TransactionState.STAGED:
            self.parent._take_in(self)

    def _take_in(self, child: Transaction) -> None:
        with self._lock:
            self.children.append(child)

    def _committing(self) -> Generator[Effect, Any, None]:
        if self._is_over():
            yield from self._release()
            return
        from orchestrator.engine import undo

        written: list[Transaction] = []
        try:
            for each in self._all():
                if each._writes():
                    written.append(each)
                    yield Call(each._write)
            for each in self._all():
                for hook in each.on_commit_hooks:
                    yield undo.CallHook(hook, each)
            if self.records is not None and self.parent is None:
                yield Call(self.records.clear)  # Else the next attempt would undo it.
        except BaseException as error:
            self._say("The transaction can't commit (%s), and is rolled back.", error)
            for each in written:
                try:
                    yield Call(each._unwrite)
                except Exception as left:  # What the tasks did is undone all the same.
                    self._say("A value that was stored already can't be deleted: %r", left)
            yield from self._rolling_back()
            raise
        for each in self._all():
            each.state = TransactionState.COMMITTED
            each._committed()
            yield from each._release()

    def _rolling_back(self) -> Generator[Effect, Any, None]:
        from orchestrator.engine import undo

        if not self._is_over():
            for each in reversed([one for one in self._all() if not one._is_over()]):
                for hook in reversed(each.on_rollback_hooks):
                    try:
                        yield undo.CallHook(hook, each)
                    except Exception as error:  # The others are undone all the same.
                        self._say("The on_rollback hook %r failed: %r", getattr(hook, "__name__", hook), error)
                each.state = TransactionState.ROLLED_BACK
                each._rolled_back()
                yield from each._release()
            yield from self._forgetting()
        yield from self._release()

    def _forgetting(self) -> Generator[Effect, Any, None]:
        """All is undone: the next attempt is not to do so again."""

        if self.records is not None and self.parent is None:
            try:
                yield Call(self.records.clear)
            except Exception as error:
                self._say("The records of a transaction that was undone can't be removed: %r", error)

    def _release(self) -> Generator[Effect, Any, None]:
        if self._key_lock is not None:
            from orchestrator.engine import undo

            lock, self._key_lock = self._key_lock, None
            yield undo.GiveLock(lock)

    def _all(self) -> list[Transaction]:
        """The transactions within, in the order in which they ended, and this one."""
        with self._lock:
            return [*(each for child in self.children for each in child._all()), self]

    def _say(self, text: str, *arguments: Any) -> None:
        from orchestrator.context import require_run
        from orchestrator.exceptions import MissingContext
        from orchestrator.logging import get_logger

        log = self.logger
        if log is None:
            try:
                log = require_run().log
            except MissingContext:
                log = get_logger("orchestrator.transactions")
        log.error(text, *arguments)

    # What is stored under its key.

    def _path(self) -> str:
        from orchestrator.engine.caching import storable

        return f"transactions/{storable(self.key or '')}"

    def _is_stored(self) -> bool:
        from orchestrator.exceptions import MissingResult

        assert self.store is not None
        try:
            self.store.header(self._path())
        except MissingResult:
            return False
        return True

    def _writes(self) -> bool:
        return self.key is not None and self.store is not None and self.write_on_commit

    def _write(self) -> None:
        assert self.store is not None
        self.store.write(self._path(), None if self._staged is _NOTHING else self._staged)

    def _unwrite(self) -> None:
        assert self.store is not None
        self.store.storage.delete(self._path())

    # What transactions of tasks have in addition.

    def _committed(self) -> None:
        """It counts."""

    def _rolled_back(self) -> None:
        """It was undone."""


def get_transaction() -> Transaction | None:
    """The innermost transaction around this code: in a task of one the task's own."""
    return transaction_here.get()


@contextmanager
def transaction(
    key: str | None = None,
    store: Any = None,
    commit_mode: CommitMode | str | None = None,
    isolation_level: IsolationLevel | str | None = None,
    overwrite: bool = False,
    write_on_commit: bool = True,
    logger: Any = None,
) -> Generator[Transaction]:
    """Run a block whose tasks count together or not at all.

    Args:
        key: Store under this key that it was committed: the next one of the key is_committed() at its beginning.
        store: Where: a `ResultStore`, or what `result_storage` takes; as the settings say by default.
        commit_mode: When its tasks count; LAZY by default, or as the transaction around it.
        isolation_level: With SERIALIZABLE only one transaction of the key is under way at a time.
        overwrite: Don't look for a former one of the key.
        write_on_commit: With False nothing is stored under the key.
        logger: Where what goes wrong in hooks is told; the run's log by default.

    What was submitted inside is waited for at the end of the block. Ask its futures for their results to have the
    transaction fail with a task.

    Raises:
        SlotTimeout: SERIALIZABLE, and the lock of the key was not to be had within an hour.
    """
    here = _new(key, store, commit_mode, isolation_level, overwrite, write_on_commit, logger)
    drive(here._opening())
    token = transaction_here.set(here)
    try:
        yield here
    except BaseException as error:
        transaction_here.reset(token)
        drive(here._closing(error))
        raise
    transaction_here.reset(token)
    drive(here._closing(None))


@asynccontextmanager
async def atransaction(
    key: str | None = None,
    store: Any = None,
    commit_mode: CommitMode | str | None = None,
    isolation_level: IsolationLevel | str | None = None,
    overwrite: bool = False,
    write_on_commit: bool = True,
    logger: Any = None,
) -> AsyncGenerator[Transaction]:
    """`transaction` for coroutines: hooks may be async, and nothing of it holds up the event loop."""
    here = _new(key, store, commit_mode, isolation_level, overwrite, write_on_commit, logger)
    await drive_async(here._opening())
    token = transaction_here.set(here)
    try:
        yield here
    except BaseException as error:
        transaction_here.reset(token)
        await drive_async(here._closing(error))
        raise
    transaction_here.reset(token)
    await drive_async(here._closing(None))


def _new(key: str | None, store: Any, mode: Any, level: Any, *others: Any) -> Transaction:
    if key is not None:
        from orchestrator.results import ResultStore, get_result_store

        store = store if isinstance(store, ResultStore) else get_result_store(store)
    around = transaction_here.get()
    return Transaction(
        key, store, CommitMode(mode) if mode else None, IsolationLevel(level) if level else None, *others,
        parent=around if around is not None and around.is_active() else None,
    )  # fmt: skip


def undo_leftovers(run_id: Any, storage: Any = None) -> int:
    """Undo what transactions of a run have left that was ended from outside; how many tasks were undone.

    The next attempt of a run, and one that retries it, do so by themselves when they begin.

    Args:
        run_id: The run.
        storage: Where its flow stores results; as the settings say by default.
    """
    from uuid import UUID

    from orchestrator.engine import undo
    from orchestrator.results import get_result_store

    return undo.undo_all(get_result_store(storage, "pickle"), UUID(str(run_id)))


__getattr__ = missing(__name__)
