"""By what a call is known again when its program is executed once more.

A key is made of the key of the call around it, of the task's or flow's name, of a hash of what it is given, and of
the ordinal among calls of which all that is the same. So it depends on what the program does, not on when: calls may
begin and end in any order. A future counts as its producer's key, where the producer's value is stored, so that a key
needs no value; else the value itself is hashed. What can't be hashed is replaced by the ordinal among such calls.

Nobody pays for this who stores nothing: keys are made when they are asked for.
"""

from __future__ import annotations

import functools
import threading
from typing import TYPE_CHECKING, Any

from orchestrator import hashing
from orchestrator.exceptions import HashError, ParameterBindError

if TYPE_CHECKING:
    from orchestrator.engine.definition import Definition
    from orchestrator.engine.run import Run
    from orchestrator.futures import Future

_lock = threading.RLock()


class Calls:
    """The calls that one execution of a run makes.

    Args:
        key: The key of the run itself.
        again: Whether what is called here may have been called before, in a former execution.
    """

    __slots__ = ("_lock", "_ordinals", "again", "key")

    def __init__(self, key: str, again: bool) -> None:
        self.key = key
        self.again = again
        self._ordinals: dict[bytes, int] = {}
        self._lock = threading.Lock()

    def once_more(self) -> Calls:
        """The calls of the next execution."""
        return Calls(self.key, again=True)

    def ordinal(self, call: str) -> int:
        """How many calls like this one were made here before."""
        known = bytes.fromhex(call)  # Half as long: there may be a million of them.
        with self._lock:
            ordinal = self._ordinals.get(known, 0)
            self._ordinals[known] = ordinal + 1
        return ordinal


def calls_of(run: Run) -> Calls:
    """What the present execution of a run calls."""
    calls = run.calls
    if calls is None:
        with _lock:
            calls = run.calls
            if calls is None:
                calls = run.calls = _calls(run)
    return calls


def _calls(run: Run) -> Calls:
    again = run.run_count > 1
    if run.caller is None:
        return Calls("", again or run.root.attempt > 1 or run.root.replays is not None)
    return Calls(key_of(run), again or calls_of(run.caller).again)


def key_of(run: Run) -> str:
    """The key of a call, whether its value is kept or not."""
    return run.keeping.make_key() if run.keeping is not None else make(run)[0]


def make(run: Run) -> tuple[str, str | None]:
    """Make the key of a call; and say why, if what it is given has no part in it."""
    why_not: str | None = None
    around = calls_of(run.caller) if run.caller is not None else None
    what = task_key(run.definition)
    try:
        call = hashing.digest(what, _inputs(run), futures=_key_of_future)
    except (HashError, ParameterBindError) as error:
        call, why_not = hashing.digest(what, None, "by its place"), str(error)
    ordinal = around.ordinal(call) if around is not None else 0
    return hashing.digest(around.key if around is not None else "", call, ordinal), why_not


def needs_values(run: Run) -> bool:
    """True when a future among the inputs has no key of its own, so that its value must be waited for."""
    return any(_keeping_of(future) is None for future in run.upstream)


def task_key(definition: Definition[..., Any]) -> str:
    """By what a task or flow is known: its name, and the one of its function. Not its source: that may be mended."""
    fn: Any = definition.fn
    while isinstance(fn, functools.partial):
        fn = fn.func
    return f"{definition.kind_of_run}:{definition.name}:{getattr(fn, '__qualname__', type(fn).__qualname__)}"


def _inputs(run: Run) -> Any:
    fn = run.definition.fn
    bound_to = fn.args if isinstance(fn, functools.partial) else ()
    return bound_to, run.inputs()


def _keeping_of(future: Future[Any]) -> Any:
    run = getattr(future, "_run", None)
    keeping = getattr(run, "keeping", None)
    return keeping if keeping is not None and keeping.key is not None else None


def _key_of_future(future: Future[Any]) -> str:
    keeping = _keeping_of(future)
    if keeping is None:  # A quoted one, or one inside of an object that nobody looks into.
        raise HashError(f"{future!r} is passed on as it is.")
    return str(keeping.key)
