"""The value of a call that is kept: looked for before the function would be called, and stored before it has returned.

A call has ended when its value is stored, whatever becomes of the process then. So one that dies between a side effect
and the store does it again: at least once.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Generator
from contextlib import suppress
from functools import partial
from typing import TYPE_CHECKING, Any
from uuid import UUID

from orchestrator.engine import call_keys
from orchestrator.engine.drivers import Call
from orchestrator.engine.outcomes import judge
from orchestrator.exceptions import MissingResult
from orchestrator.states import State, StateType, default_name

if TYPE_CHECKING:
    from orchestrator.engine.drivers import Effect
    from orchestrator.engine.flow_run import FlowRun
    from orchestrator.engine.run import Run
    from orchestrator.results import Header, ResultStore, Stored, StoredValue

REPLAYED = "Replayed"
_FIRST = "first"
_following = threading.Lock()
CACHE = "cache/"  # How the paths of values begin that other calls may use.


class Keeping:
    """What is known of how the value of one call is kept. Made when it is called."""

    __slots__ = ("_store", "again", "by_place", "key", "run", "stored")

    def __init__(self, run: Run) -> None:
        self.run = run
        self.key: str | None = None
        self.stored: Stored | None = None  # Where it is, once it is.
        self.by_place: str | None = None  # Why the call is known by its place in the program alone.
        self.again = _may_be_stored(run)
        self._store: ResultStore | None = None
        if not (run.upstream and call_keys.needs_values(run)):
            self.make_key()

    def make_key(self) -> str:
        """The key of the call; made while the arguments are what the caller gave."""
        if self.key is None:
            self.key, self.by_place = call_keys.make(self.run)
        return self.key

    @property
    def path(self) -> str:
        """Where the value of this very call is in its storage."""
        root = self.run.root
        return f"runs/{root.replay_root}/{self.make_key()}"

    @property
    def store(self) -> ResultStore:
        """Where, and by which serializer: as the task says, else the flow around it.

        Raises:
            ValueError: It says nothing that is one.
        """
        if self._store is None:
            self._store = self._shared_store(self.option("result_storage"), self.option("result_serializer"))
        return self._store

    def _shared_store(self, storage: Any, serializer: Any) -> ResultStore:
        """The same for all calls of an execution that say the same."""
        shared: dict[tuple[int, int], tuple[Any, Any, ResultStore]] = self.run.root.stores
        known = shared.get((id(storage), id(serializer)))
        if known is None:
            from orchestrator.results import get_result_store

            # What was given is held, so that nothing else comes by its id.
            known = storage, serializer, get_result_store(storage, serializer)
            shared[id(storage), id(serializer)] = known
        return known[2]

    def option(self, name: str) -> Any:
        """What the definition says, or the nearest flow around it."""
        given = getattr(self.run.definition, name)
        around = self.run.flow_run_around()
        while given is None and around is not None:
            given = getattr(around.definition, name)
            around = around.parent
        return given

    def counts(self, header: Header, place: str) -> bool:
        """Whether what is stored is this call's value, and is to be replayed."""
        return header.call == self.path and not header.expired and self.is_not_again(header, place)

    def is_not_again(self, header: Header, place: str) -> bool:
        """Whether a value may be used, though some are to be made again."""
        by = self.run.root.not_replayed
        stored_by = by.get(self.run.definition.name) or by.get(place)
        return stored_by is None or header.run in stored_by

    def place(self) -> str:
        """Where the value is written: at the call's own path, or where `result_storage_key` says."""
        template = getattr(self.run.definition, "result_storage_key", None)
        if template is None:
            return self.path
        from orchestrator.engine.storage_keys import filled

        return filled(template, self.run)

    def header(self) -> Header:
        """What is said of the value beside it."""
        from orchestrator.results import Header

        return Header(call=self.path, of=self.run.definition.name, run=str(self.run.root.id))

    def stored_value(self) -> StoredValue:
        """What stands for the value where that is not held."""
        from orchestrator.results import StoredValue

        assert self.stored is not None
        return StoredValue(self.store, self.stored)

    def recalled(self) -> Generator[Effect, Any, bool]:
        """Conclude the run with the value that is there already, if one is; say whether.

        A former execution of this very call comes first; then what other calls have computed.
        """
        self.make_key()
        yield _Open(self)  # What can't be stored must not be executed first.
        if self.by_place is not None:
            self.run.log.info("It is known again by its place among such calls alone: %s", self.by_place)
        if self.again:
            found = yield Call(self._recall)
            if found is not None:
                self.run.take_kept(found, REPLAYED)
                return True
        return False

    def _recall(self) -> Any:
        """What a former execution of the call has stored, as the function had returned it; None if there is nothing."""
        return self._found(self.path, self.counts, "What was stored can't be used, so it is executed again.")

    def _found(self, path: str, wanted: Callable[[Header, str], bool], if_spoilt: str) -> Any:
        try:
            found = self.store.find(path, wanted)
        except MissingResult as error:
            if error.__cause__ is not None:
                self.run.log.warning("%s %s", if_spoilt, error)
            return None
        if found is None:
            return None
        value, header, place = found
        self.stored = self.store.stored(place, header)
        return _as_returned(value, header)

    def let_go(self) -> Generator[Effect, Any, None]:
        """Give back what was held for the call's sake, whatever became of it."""
        yield from ()

    def keep(self, value: Any) -> Generator[Effect, Any, None]:
        """Store what the function returned, if the run completes by it.

        Raises:
            ResultNotStored: It can't be.
        """
        if not self.run.root.stores_values:
            return
        manual, kept = judge(value)
        if manual is not None and not manual.is_completed():
            return
        self.run.stop_clock()
        around = self.run.transaction
        if around is not None and around.keeps_back:
            around.keep_back(self, kept, manual)
        else:
            yield Call(partial(self.write, kept, manual))

    def write(self, value: Any, manual: State | None) -> None:
        """Store a value now."""
        path, place, header = self.path, self.place(), self.header()
        if manual is not None and (manual.name != default_name(manual.type) or manual.message):
            from orchestrator.results import MAX_TOLD

            header.state = (manual.name, manual.message and manual.message[:MAX_TOLD])
        self.stored = self.store.write(place, value, header)
        if place != path:
            self.store.lead(path, place, call=path)

    def places(self) -> list[str]:
        """The paths at which storing the value writes."""
        return list(dict.fromkeys((self.place(), self.path)))


def _may_be_stored(run: Run) -> bool:
    """True when a former execution of the call may have left its value."""
    if run.caller is not None:
        return call_keys.calls_of(run.caller).again
    # Who replays a run by hand wants to see it run.
    return run.root.attempt > 1 or (run.root.execution is not None and run.root.replays is not None)


class _Open:
    """Find out where the value is to be stored. A block is loaded for that."""

    __slots__ = ("_keeping",)

    def __init__(self, keeping: Keeping) -> None:
        self._keeping = keeping

    def run(self) -> None:
        root = self._keeping.run.root
        if root.replays is not None and root.execution is None:
            _follow(root, self._keeping.store)
        _ = self._keeping.store

    async def arun(self) -> None:
        from orchestrator.result_storage import is_at_hand

        replays = self._keeping.run.root.replays is not None
        if is_at_hand(self._keeping.option("result_storage")) and not replays:
            self.run()
            return
        import asyncio

        await asyncio.to_thread(self.run)


def _follow(root: FlowRun, store: ResultStore) -> None:
    """Have a run by hand find what the first one of its chain has stored, though it was told a later one's id.

    A run that replays another one leaves a word that leads there, once in each storage.
    """
    with _following:
        if store in root.followed:
            return
        root.followed.append(store)
        with suppress(MissingResult):  # Then it is the first one itself.
            root.replays = UUID(store.header(f"runs/{root.replays}/{_FIRST}").at)
        if root.stores_values:
            store.lead(f"runs/{root.id}/{_FIRST}", str(root.replays), call="")


def _as_returned(value: Any, header: Header) -> Any:
    """What the function had returned: a value in a tuple, or a state of its own."""
    if header.state is None:
        return (value,)
    name, message = header.state
    return State(StateType.COMPLETED, name, message, data=value)
