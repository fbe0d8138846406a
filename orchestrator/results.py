"""Stored results: the values of runs, kept where you say, and found again by the next attempt.

A stored object is one line of JSON (its header: what serialized it, when, for which call, until when it counts), then
the value as its serializer wrote it. The journal tells where it is; the value itself stays with you.
"""

from __future__ import annotations

import json
import platform
from collections.abc import Generator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, BinaryIO
from uuid import UUID

from orchestrator import clock
from orchestrator.context import replay_here, stores_here
from orchestrator.counterparts import missing
from orchestrator.exceptions import MissingResult, ResultNotStored
from orchestrator.result_storage import ResultStorage, storage_of
from orchestrator.serializers import Serializer, serializer_of
from orchestrator.states import NotHeld

if TYPE_CHECKING:
    from collections.abc import Callable

__all__ = ["Header", "ResultStorage", "ResultStore", "Stored", "StoredValue", "get_result_store", "replaying"]

_MAX_HEADER = 1 << 20  # bytes
MAX_TOLD = 50_000  # characters of a state's message, each of which may become 12 bytes of the header
_FORM = 1


@dataclass(slots=True, kw_only=True)
class Header:
    """What is said of a stored value beside it.

    Times are µs UTC. `call` is the path of the call whose value it is, `of` the name of its task or flow, `run` the
    root run that stored it, `by` the task run, of what is cached; `state` is the name and message of a state that the
    function returned. `at` leads on to where the value is.
    """

    serializer: str = ""
    python: str = ""
    created: int = 0
    expires: int | None = None
    by: str = ""
    call: str = ""
    of: str = ""
    run: str = ""
    state: tuple[str, str | None] | None = None
    at: str | None = None

    @property
    def expired(self) -> bool:
        """True when its time is over."""
        return self.expires is not None and self.expires <= clock.now()


@dataclass(slots=True)
class Stored:
    """Where a value was stored: its address, its path in the storage, what serialized it, bytes, µs UTC."""

    url: str
    key: str
    serializer: str
    size: int | None = None
    expires: int | None = None


@dataclass(slots=True)
class StoredValue(NotHeld):
    """Stands for a value that is not held in memory, and knows where it is."""

    store: ResultStore
    stored: Stored

    def get(self) -> Any:
        """The value, read anew.

        Raises:
            MissingResult: It is no longer there.
        """
        return self.store.read(self.stored.key)[0]


@dataclass(slots=True)
class ResultStore:
    """A storage, and the serializer for what is written there.

    >>> import tempfile
    >>> with tempfile.TemporaryDirectory() as directory:
    ...     store = get_result_store(directory, "json")
    ...     stored = store.write("orders/17", {"paid": True})
    ...     store.read("orders/17")[0]
    {'paid': True}
    """

    storage: ResultStorage
    serializer: Serializer = field(default_factory=lambda: serializer_of("pickle"))

    def write(self, path: str, value: Any, header: Header | None = None) -> Stored:
        """Store a value. It is there, whole, when this returns.

        Raises:
            ResultNotStored: It can't be serialized, or the storage doesn't take it.
        """
        header = header or Header()
        header.serializer, header.python, header.created = self.serializer.type, platform.python_version(), clock.now()
        url = path
        try:
            url = self.storage.url(path)
            with self.storage.writing(path) as file:
                _write_header(file, header)
                try:
                    self.serializer.dump(value, file)
                except Exception as error:
                    raise ResultNotStored(_why_not(self.serializer, value, error)) from error
                size = file.tell()
        except ResultNotStored:
            raise
        except Exception as error:
            raise ResultNotStored(
                f"The value can't be stored at {url}: {type(error).__name__}: {error}. "
                "Look whether the storage is there and takes writes."
            ) from error
        return Stored(url, path, header.serializer, size, header.expires)

    def find(self, path: str, wanted: Callable[[Header, str], bool]) -> tuple[Any, Header, str] | None:
        """The value that a call has stored at a path, or to which that leads on; and where it is.

        None when its header and place aren't wanted: the value is not read then.

        Raises:
            MissingResult: There is none, or it can't be read.
        """
        place = path
        for _ in range(2):
            with self._opened(place) as (file, header):
                if header.at is None:
                    return (self._load(file, header, place), header, place) if wanted(header, place) else None
                place = header.at
        raise MissingResult(f"{path!r} leads on and on.")

    def lead(self, path: str, at: str, call: str) -> None:
        """Have one path lead on to another, where the value of a call is."""
        with self.storage.writing(path) as file:
            _write_header(file, Header(created=clock.now(), call=call, at=at))

    def header(self, path: str) -> Header:
        """What is said of the value at a path; the value is not read.

        Raises:
            MissingResult: There is none.
        """
        with self._opened(path) as (_, header):
            return header

    def read(self, path: str) -> tuple[Any, Header]:
        """The value at a path, and what is said of it. It is read whatever wrote it, and even if its time is over.

        Raises:
            MissingResult: There is none, or it can't be read.
        """
        with self._opened(path) as (file, header):
            return self._load(file, header, path), header

    @contextmanager
    def _opened(self, path: str) -> Generator[tuple[BinaryIO, Header]]:
        try:
            with self.storage.reading(path) as file:
                yield file, _read_header(file, path)
        except FileNotFoundError:
            raise MissingResult(f"There is nothing at {self.storage.url(path)}.") from None

    def _load(self, file: BinaryIO, header: Header, path: str) -> Any:
        try:
            return self._serializer_of(header).load(file)
        except OSError:
            raise  # The storage is out of reach: nobody knows whether the value is good.
        except Exception as error:
            raise MissingResult(f"{self.storage.url(path)} can't be read: {type(error).__name__}: {error}") from error

    def stored(self, path: str, header: Header) -> Stored:
        """Where a value is that was found."""
        return Stored(self.storage.url(path), path, header.serializer, None, header.expires)

    def _serializer_of(self, header: Header) -> Serializer:
        return self.serializer if self.serializer.type == header.serializer else serializer_of(header.serializer)


def _write_header(file: BinaryIO, header: Header) -> None:
    facts = {name: value for name in Header.__slots__ if (value := getattr(header, name)) not in (None, "", 0)}
    file.write(json.dumps({"orchestrator": _FORM, **facts}, separators=(",", ":")).encode() + b"\n")


def _read_header(file: BinaryIO, path: str) -> Header:
    line = file.readline(_MAX_HEADER)
    told: dict[str, Any]
    try:
        told = json.loads(line) if line.endswith(b"\n") else {}
        if told.pop("orchestrator") != _FORM:
            raise KeyError
        header = Header(**{name: value for name, value in told.items() if name in _FIELDS})
    except (ValueError, KeyError, AttributeError, TypeError):
        raise MissingResult(f"{path!r} holds no result that this version can read.") from None
    if header.state is not None:
        header.state = (header.state[0], header.state[1])
    return header


_FIELDS = frozenset(Header.__slots__)


def _why_not(serializer: Serializer, value: Any, error: Exception) -> str:
    kind = type(value)
    return (
        f"A value of type {kind.__module__}.{kind.__qualname__} can't be stored by the serializer {serializer.type!r}: "
        f"{type(error).__name__}: {error}. Return what can be, choose another result_serializer, or set "
        "persist_result=False."
    )


def get_result_store(storage: Any = None, serializer: Any = None) -> ResultStore:
    """The store that these options of a decorator mean; without them the one of the settings.

    Args:
        storage: A directory, an address, a block or its name, a `ResultStorage`.
        serializer: A `Serializer` or its name.

    Raises:
        ValueError: They mean none.
    """
    from orchestrator.config import setting

    return ResultStore(storage_of(storage), serializer_of(serializer or setting("RESULTS_SERIALIZER") or "pickle"))


@contextmanager
def replaying(run_id: UUID | str, *, store: bool = True) -> Generator[None]:
    """Let the flows called inside replay what a former run has finished and stored.

    Args:
        run_id: The former run. It may itself have replayed one before.
        store: Whether what is executed anew is stored, where the former run's values are.

    The flow itself is executed; the tasks and subflows that it calls as the former run did have their values at once,
    if these were stored.

    >>> import tempfile
    >>> from orchestrator import flow, runtime, task
    >>> directory = tempfile.mkdtemp()
    >>> @task(persist_result=True, result_storage=directory)
    ... def cost():
    ...     print("hard work")
    ...     return 7
    >>> @flow
    ... def double():
    ...     return runtime.flow_run.id, cost() * 2
    >>> run_id, value = double()
    hard work
    >>> with replaying(run_id):
    ...     double()[1]
    14
    """
    token, stores = replay_here.set(UUID(str(run_id))), stores_here.set(store)
    try:
        yield
    finally:
        replay_here.reset(token)
        stores_here.reset(stores)


__getattr__ = missing(__name__)
