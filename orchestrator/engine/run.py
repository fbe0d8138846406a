"""What a flow run and a task run have in common: states, times, outcome."""

from __future__ import annotations

from collections.abc import Sequence
from time import perf_counter_ns
from typing import TYPE_CHECKING, Any
from uuid import UUID

from orchestrator import clock
from orchestrator.engine import failures
from orchestrator.engine.drivers import Abandoned, Exited
from orchestrator.engine.outcomes import futures_in, judge
from orchestrator.engine.upstream import ATOMS
from orchestrator.exceptions import CrashedRun, RunSuspended
from orchestrator.ids import uuid7
from orchestrator.states import TERMINAL, Pending, State, StateType, default_name

if TYPE_CHECKING:
    import logging

    from orchestrator.engine.call_keys import Calls
    from orchestrator.engine.definition import Definition
    from orchestrator.engine.keeping import Keeping
    from orchestrator.engine.task_transaction import TaskTransaction
    from orchestrator.futures import Future
    from orchestrator.journal.stream import Stream
    from orchestrator.results import Stored
    from orchestrator.task_runners.base import TaskRunner

_RUNNING = StateType.RUNNING
_COMPLETED = StateType.COMPLETED

Former = tuple[int, str, str | None, str | None]


class Run:
    """One call of a flow or a task, from first to last state.

    Hooks and conditions are given this object: `id`, `name`, `tags`, `run_count`, `state` and `error` are for them.
    """

    takes_over = False  # True where former attempts may have left something half done.

    __slots__ = (
        "_clock",
        "_manual",
        "_token",
        "args",
        "caller",
        "calls",
        "definition",
        "duration",
        "ended",
        "error",
        "flow_runner",
        "history",
        "id",
        "keeping",
        "kwargs",
        "message",
        "name",
        "root",
        "run_count",
        "runner",
        "started",
        "state_name",
        "state_type",
        "stream",
        "t",
        "tags",
        "told",
        "transaction",
        "upstream",
        "value",
        "wait_for",
    )

    def __init__(self, definition: Definition[..., Any], args: tuple[Any, ...], kwargs: dict[str, Any]) -> None:
        self.id: UUID = uuid7()
        self.definition = definition
        self.args = args
        self.kwargs = kwargs
        self.name = ""
        self.tags: frozenset[str] = frozenset()
        self.run_count = 0
        self.state_type: StateType | None = None
        self.state_name: str | None = None
        self.message: str | None = None
        self.t = 0  # µs UTC at which the present state was entered
        self.started: int | None = None  # µs UTC
        self.ended: int | None = None  # µs UTC
        self.duration = 0  # µs in user code, by a monotonic clock
        self.history: list[Former] = []
        self.value: Any = None
        self.error: BaseException | None = None
        self.told: failures.Told | None = None
        self.upstream: Sequence[Future[Any]] = ()
        self.wait_for: Sequence[Any] = ()
        self.root: Any = None  # The FlowRun at the top of the execution.
        self.caller: Run | None = None  # The run in whose course this one was called.
        self.calls: Calls | None = None  # What the present execution calls; made when it is asked for.
        self.keeping: Keeping | None = None  # How the value is kept; None when it isn't.
        self.stream: Stream | None = None
        self.runner: TaskRunner | None = None  # Of the tasks that were submitted here.
        self.flow_runner: TaskRunner | None = None  # Of the flows.
        self.transaction: TaskTransaction | None = None  # Its own, where there is one around it, or hooks for one.
        self._manual: State | None = None
        self._clock = 0

    # What the kinds of run do in their own way.

    def enter(self) -> None:
        """Become the current run."""
        raise NotImplementedError

    def leave(self) -> None:
        """Stop being the current run."""
        raise NotImplementedError

    def prepare(self) -> None:
        """Make the arguments ready. May raise."""
        raise NotImplementedError

    def announce(self) -> None:
        """Report that the run is in a state that is not final."""
        raise NotImplementedError

    def end(self) -> bool:
        """Report the final state; False when this is not the end of the run, whatever the execution has come to."""
        raise NotImplementedError

    def inputs(self) -> dict[str, Any]:
        """What it is given, by name."""
        raise NotImplementedError

    def flow_run_around(self) -> Any:
        """The flow run that it belongs to, if any."""
        raise NotImplementedError

    def hand_back(self, delay: float) -> bool:
        """Leave the next execution to the server, if the wait is long and the server knows how."""
        return False

    # The story.

    def begin(self) -> None:
        """Enter RUNNING, for the first time or again."""
        self.run_count += 1
        if self.calls is not None:
            self.calls = self.calls.once_more()
        self._enter_state(_RUNNING, "Retrying" if self.tries > 1 else None, None)
        if self.started is None:
            self.started = self.t
        self._clock = perf_counter_ns()
        self.announce()

    def conclude(self, value: Any) -> None:
        """Take the function's return value."""
        if type(value) in ATOMS:
            self.value = value
            self._finish(_COMPLETED, None, None)
            return
        manual, self.value = judge(value)
        if manual is None:
            self._finish(_COMPLETED, None, None)
            return
        self._manual = manual
        name = None if manual.name == default_name(manual.type) else manual.name
        if not manual.is_completed() and isinstance(manual.data, BaseException):
            self.told = failures.tell(manual.data)
        self._finish(manual.type, name, manual.message)

    def take_kept(self, found: Any, name: str) -> None:
        """Take a value that was there already: in a tuple, or in the state that the function had returned."""
        self._manual, self.value = (found, found.data) if isinstance(found, State) else (None, found[0])
        self._finish(_COMPLETED, name, None)

    def take_back(self, message: str) -> None:
        """It had completed, and was undone."""
        ended = self.ended
        self._finish(_COMPLETED, "RolledBack", message)
        self.ended = ended

    def fail(self, error: BaseException) -> None:
        """Take what the function raised, or what kept it from being called."""
        if isinstance(error, Abandoned):
            self._finish(_COMPLETED, None, "Closed by its consumer before its end.")
            return
        if isinstance(error, Exited) and error.__cause__ is not None:
            error = error.__cause__
        error = self.root.reason_for(error)
        kind, name = failures.state_of(error, own=getattr(error, "run_id", None) == self.id)
        self.value, self._manual, self.error = None, None, error
        self.told = failures.tell(error)
        self._finish(kind, None if name == default_name(kind) else name, failures.short(error))

    def await_retry(self, delay: float) -> None:
        """Enter the pause between two executions."""
        self.log.warning(
            "Execution %d of %d failed: %s. The next one starts in %.3g s.",
            self.tries,
            self.definition.retries + 1,
            self.message,
            delay,
        )
        self._enter_state(_RUNNING, "AwaitingRetry", self.message)
        self.ended, self.error, self.told, self._manual = None, None, None, None
        if delay:
            self.announce()

    def await_slot(self, message: str) -> None:
        """Enter the wait for a slot of a limit, before an execution."""
        state = _RUNNING if self.run_count else StateType.SCHEDULED
        self._enter_state(state, "AwaitingSlot", message)
        self.announce()

    def tell_left_behind(self, threads: int) -> None:
        """Say at the end that some threads still run what can't be interrupted."""
        text = f"{threads} threads were left behind." if threads > 1 else "1 thread was left behind."
        self.log.warning("%s What they run can't be interrupted.", text)
        self.message = f"{self.message} {text}" if self.message else text

    def take_end(self, kind: StateType, name: str, message: str, t: int) -> None:
        """Be in the state in which the server ended this run."""
        self.state_type, self.message, self.t, self.ended = kind, message or None, t, t
        self.state_name = None if name == default_name(kind) else name

    def stop_clock(self) -> None:
        """What follows is not the time of user code."""
        if self._clock:
            self.duration += (perf_counter_ns() - self._clock) // 1000
            self._clock = 0

    def forget_value(self) -> None:
        """Hold the value in memory no longer, if it is stored and its definition says so."""
        keeping = self.keeping
        if keeping is not None and not self.definition.cache_result_in_memory and keeping.stored is not None:
            self.value = keeping.stored_value()
            if self._manual is not None:
                self._manual.data = self.value

    def _finish(self, kind: StateType, name: str | None, message: str | None) -> None:
        self.stop_clock()
        self._enter_state(kind, name, message)
        self.ended = self.t

    def _enter_state(self, kind: StateType, name: str | None, message: str | None) -> None:
        if self.state_type is not None:
            self.history.append((self.t, self.state_type, self.state_name, self.message))
        self.state_type = kind
        self.state_name = name
        self.message = message
        self.t = clock.time_ns() // 1000

    # What others ask.

    @property
    def tries(self) -> int:
        """How many of its executions count against its retries."""
        return self.run_count

    @property
    def failed(self) -> bool:
        """True when the last execution ended FAILED, or its process was lost while the run's life was not."""
        return self.state_type is StateType.FAILED or (
            self.state_type is StateType.CRASHED and isinstance(self.error, CrashedRun)
        )

    @property
    def went_wrong_by_itself(self) -> bool:
        """True when user code raised or was suspended, False when it was ended from outside or by its timeout."""
        return isinstance(self.error, Exception | RunSuspended) and self.state_name != "TimedOut"

    @property
    def state(self) -> State:
        """The present state, with the value or the exception of a final one."""
        if self._manual is not None:
            return self._manual
        if self.state_type is None:
            return Pending()
        data = self.error if self.error is not None else self.value
        return State(
            self.state_type,
            self.state_name or "",
            self.message,
            data if self.state_type in TERMINAL else None,
            _as_datetime(self.t),
        )

    @property
    def stored(self) -> Stored | None:
        """Where the value is stored, if it is."""
        return self.keeping.stored if self.keeping is not None and self.state_type is _COMPLETED else None

    @property
    def log(self) -> logging.LoggerAdapter[Any]:
        """A logger that writes to this run's log."""
        from orchestrator.logging import logger_of

        return logger_of(self)

    def unsettled(self, value: Any) -> Sequence[Future[Any]]:
        """The futures in a return value, which must be done before the state is known."""
        return () if type(value) in ATOMS else futures_in(value)

    def check_stop(self) -> None:
        """Raise what stops this execution, if it was told to stop."""
        self.root.check_stop()

    def outcome(self, return_state: bool) -> Any:
        """What the caller gets: the state if asked for, else the value or the exception."""
        if return_state and (self.error is None or isinstance(self.error, Exception)):
            return self.state
        if self.error is not None:
            try:
                raise self.error
            finally:
                # The frame that raises would otherwise keep itself alive through the traceback.
                del self
        if self._manual is not None and not self._manual.is_completed():
            return self._manual.result()
        return self.value


def _as_datetime(microseconds: int) -> Any:
    from datetime import UTC, datetime, timedelta

    return datetime.fromtimestamp(microseconds // 1_000_000, UTC) + timedelta(microseconds=microseconds % 1_000_000)
