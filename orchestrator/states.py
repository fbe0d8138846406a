"""The states of flow runs and task runs, and who may move a run from which to which.

Pure, and shared by SDK and server. A *type* says what a state means to the platform; a *name* refines it for people
(`Late` is a SCHEDULED, `TimedOut` a FAILED), and users may invent names of their own.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import UTC, datetime
from enum import StrEnum
from typing import Any


class StateType(StrEnum):
    """What a state means to the platform."""

    SCHEDULED = "SCHEDULED"  # Waits for its time, for a slot, or for its next attempt.
    PENDING = "PENDING"  # Claimed by an agent, user code not yet reached.
    RUNNING = "RUNNING"  # User code runs, as far as we know.
    PAUSED = "PAUSED"  # Waits for a person or for input.
    CANCELLING = "CANCELLING"  # Asked to stop; the holder has not confirmed.
    COMPLETED = "COMPLETED"  # Ended well.
    FAILED = "FAILED"  # Ended by an exception of user code, or returned a failed state.
    CRASHED = "CRASHED"  # Ended from outside: the process, the machine or the network was lost.
    CANCELLED = "CANCELLED"  # Ended because somebody asked.


TERMINAL = frozenset({StateType.COMPLETED, StateType.FAILED, StateType.CRASHED, StateType.CANCELLED})
ALIVE = frozenset(StateType) - TERMINAL
REUSED = frozenset({"Cached", "Replayed"})  # Names of COMPLETED where the work was done before, by another execution.
HELD = frozenset({StateType.PENDING, StateType.RUNNING, StateType.CANCELLING})  # A lease stands behind these.
WISHES = {"Pausing": "pause", "Suspending": "suspend"}  # Names of a RUNNING whose holder is asked to, at its next call.
SUSPENDED = "Suspended"  # The name of the one PAUSED behind which no process waits.


def is_held(type: str, name: str) -> bool:
    """Say whether a holder, with its lease, stands behind a state: a paused process waits, a suspended run has none.

    >>> is_held("PAUSED", "Paused"), is_held("PAUSED", "Suspended")
    (True, False)
    """
    return type in HELD or (type == StateType.PAUSED and name != SUSPENDED)


class By(StrEnum):
    """Who asks for a transition."""

    SERVER = "server"  # Intent: schedule, claim, cancel, expiry.
    HOLDER = "holder"  # Progress: whoever holds the lease.


_S, _H = frozenset({By.SERVER}), frozenset({By.HOLDER})
_ANY = _S | _H
_T = StateType

TRANSITIONS: dict[tuple[StateType, StateType], frozenset[By]] = {
    (_T.SCHEDULED, _T.SCHEDULED): _S,  # Late, or moved to another time.
    (_T.SCHEDULED, _T.PENDING): _S,  # The claim.
    (_T.SCHEDULED, _T.CANCELLED): _S,
    (_T.PENDING, _T.SCHEDULED): _S,  # The claim expired before user code was reached; uses no retry.
    (_T.PENDING, _T.RUNNING): _H,
    (_T.PENDING, _T.FAILED): _H,  # The code can't be loaded, or the parameters are refused by its types.
    (_T.PENDING, _T.CRASHED): _ANY,
    (_T.PENDING, _T.CANCELLING): _S,
    (_T.PENDING, _T.CANCELLED): _ANY,
    (_T.RUNNING, _T.RUNNING): _ANY,  # Holder: Retrying. Server: Unreachable, and back.
    (_T.RUNNING, _T.SCHEDULED): _ANY,  # AwaitingRetry: the attempt ended, the run goes on.
    (_T.RUNNING, _T.PAUSED): _H,
    (_T.PAUSED, _T.PAUSED): _S,  # Unreachable, and back.
    (_T.RUNNING, _T.COMPLETED): _H,
    (_T.RUNNING, _T.FAILED): _H,
    (_T.RUNNING, _T.CRASHED): _ANY,
    (_T.RUNNING, _T.CANCELLING): _S,
    (_T.RUNNING, _T.CANCELLED): _ANY,
    (_T.PAUSED, _T.RUNNING): _H,
    (_T.PAUSED, _T.SCHEDULED): _S,  # Resuming; or AwaitingRetry, when its process was lost.
    (_T.PAUSED, _T.FAILED): _ANY,  # Nobody answered in time.
    (_T.PAUSED, _T.CRASHED): _S,
    (_T.PAUSED, _T.CANCELLING): _S,
    (_T.PAUSED, _T.CANCELLED): _ANY,
    (_T.CANCELLING, _T.CANCELLED): _ANY,
    (_T.CANCELLING, _T.COMPLETED): _H,  # It finished first.
    (_T.CANCELLING, _T.FAILED): _H,
    (_T.CANCELLING, _T.CRASHED): _ANY,
}

# How far a task run has come. Task states have no veto by the server: of two reports of the same run count,
# the one of higher rank wins.
RANK: dict[StateType, int] = {
    _T.SCHEDULED: 0,
    _T.PENDING: 1,
    _T.RUNNING: 2,
    _T.PAUSED: 2,
    _T.CANCELLING: 3,
    _T.COMPLETED: 4,
    _T.FAILED: 4,
    _T.CRASHED: 4,
    _T.CANCELLED: 4,
}


def may_move(current: StateType, to: StateType, by: By) -> bool:
    """Say whether `by` may move a run from `current` to `to`.

    >>> may_move(StateType.RUNNING, StateType.COMPLETED, By.HOLDER)
    True
    >>> may_move(StateType.COMPLETED, StateType.RUNNING, By.HOLDER)
    False
    """
    return by in TRANSITIONS.get((current, to), ())


def default_name(type: StateType) -> str:
    """The name of a state that was given none: its type, capitalised."""
    return type.value.capitalize()


def is_wait(name: str | None) -> bool:
    """True for states in which a run waits for others: for a slot, or for a value that somebody computes.

    >>> is_wait("AwaitingSlot"), is_wait("AwaitingRetry"), is_wait(None)
    (True, False, False)
    """
    return name is not None and name.startswith("Awaiting") and name != "AwaitingRetry"


class NotHeld:
    """Stands for the value of a run that is not held in memory; `get` reads it from where it is stored."""

    __slots__ = ()

    def get(self) -> Any:
        """The value.

        Raises:
            MissingResult: It is no longer there.
        """
        raise NotImplementedError


@dataclass(slots=True, repr=False)
class State:
    """What a run is in, or ended in.

    Args:
        type: What the state means to the platform.
        name: A word for people; the type's own by default.
        message: One sentence that says why.
        data: The value, or the exception, that a terminal state carries. It never leaves the process by itself.
        timestamp: When the state was entered, UTC.
    """

    type: StateType
    name: str = ""
    message: str | None = None
    data: Any = field(default=None, compare=False)
    timestamp: datetime = field(default_factory=lambda: datetime.now(UTC), compare=False)

    def __post_init__(self) -> None:
        if not self.name:
            self.name = default_name(self.type)

    def __repr__(self) -> str:
        """The call that makes it, without the value: that may be large, or secret.

        >>> Completed(name="Skipped", message="nothing new", data=3)
        Completed(name='Skipped', message='nothing new')
        """
        told = [f"name={self.name!r}"] if self.name != default_name(self.type) else []
        told += [f"message={self.message!r}"] if self.message else []
        return f"{default_name(self.type)}({', '.join(told)})"

    def is_final(self) -> bool:
        """True when the run can't leave this state."""
        return self.type in TERMINAL

    def is_scheduled(self) -> bool:
        """True for SCHEDULED."""
        return self.type is StateType.SCHEDULED

    def is_pending(self) -> bool:
        """True for PENDING."""
        return self.type is StateType.PENDING

    def is_running(self) -> bool:
        """True for RUNNING."""
        return self.type is StateType.RUNNING

    def is_paused(self) -> bool:
        """True for PAUSED."""
        return self.type is StateType.PAUSED

    def is_cancelling(self) -> bool:
        """True for CANCELLING."""
        return self.type is StateType.CANCELLING

    def is_completed(self) -> bool:
        """True for COMPLETED."""
        return self.type is StateType.COMPLETED

    def is_failed(self) -> bool:
        """True for FAILED."""
        return self.type is StateType.FAILED

    def is_crashed(self) -> bool:
        """True for CRASHED."""
        return self.type is StateType.CRASHED

    def is_cancelled(self) -> bool:
        """True for CANCELLED."""
        return self.type is StateType.CANCELLED

    def result(self, raise_on_failure: bool = True) -> Any:
        """Return the value of a completed run; raise, or return, the exception of one that ended badly.

        Args:
            raise_on_failure: With False the exception is returned instead of raised.

        Raises:
            UnfinishedRun: The state is not final.
            FailedRun, CrashedRun, CancelledRun: The run ended badly and left no exception behind.

        >>> Completed(data=3).result()
        3
        """
        from orchestrator.exceptions import CancelledRun, CrashedRun, FailedRun, UnfinishedRun

        if not self.is_final():
            raise UnfinishedRun(f"The run is {self.name}: it has no result yet. Wait for it first.")
        if self.type is StateType.COMPLETED:
            return self.data.get() if isinstance(self.data, NotHeld) else self.data
        error = self.data
        if not isinstance(error, BaseException):
            kinds = {StateType.CRASHED: CrashedRun, StateType.CANCELLED: CancelledRun}
            error = kinds.get(self.type, FailedRun)(self.message or f"The run ended {self.name}.")
        if raise_on_failure:
            raise error
        return error

    async def aresult(self, raise_on_failure: bool = True) -> Any:
        """What `result` returns or raises, for code that awaits it."""
        if isinstance(self.data, NotHeld):
            import asyncio

            return await asyncio.to_thread(self.result, raise_on_failure)
        return self.result(raise_on_failure)


def Scheduled(**attributes: Any) -> State:
    """A SCHEDULED state."""
    return State(StateType.SCHEDULED, **attributes)


def Pending(**attributes: Any) -> State:
    """A PENDING state."""
    return State(StateType.PENDING, **attributes)


def Running(**attributes: Any) -> State:
    """A RUNNING state."""
    return State(StateType.RUNNING, **attributes)


def Paused(**attributes: Any) -> State:
    """A PAUSED state."""
    return State(StateType.PAUSED, **attributes)


def Cancelling(**attributes: Any) -> State:
    """A CANCELLING state."""
    return State(StateType.CANCELLING, **attributes)


def Completed(**attributes: Any) -> State:
    """A COMPLETED state.

    >>> Completed(name="Skipped", message="nothing new").is_completed()
    True
    """
    return State(StateType.COMPLETED, **attributes)


def Failed(**attributes: Any) -> State:
    """A FAILED state."""
    return State(StateType.FAILED, **attributes)


def Crashed(**attributes: Any) -> State:
    """A CRASHED state."""
    return State(StateType.CRASHED, **attributes)


def Cancelled(**attributes: Any) -> State:
    """A CANCELLED state."""
    return State(StateType.CANCELLED, **attributes)


def AwaitingConcurrencySlot(**attributes: Any) -> State:
    """A SCHEDULED state that waits for a slot."""
    return State(StateType.SCHEDULED, **{"name": "AwaitingSlot", **attributes})


def AwaitingRetry(**attributes: Any) -> State:
    """A SCHEDULED state that waits for its next execution."""
    return State(StateType.SCHEDULED, **{"name": "AwaitingRetry", **attributes})


def Late(**attributes: Any) -> State:
    """A SCHEDULED state whose time has passed."""
    return State(StateType.SCHEDULED, **{"name": "Late", **attributes})


def Retrying(**attributes: Any) -> State:
    """A RUNNING state after a failure.

    >>> Retrying().is_running()
    True
    """
    return State(StateType.RUNNING, **{"name": "Retrying", **attributes})


def Suspended(**attributes: Any) -> State:
    """A PAUSED state in which no process waits."""
    return State(StateType.PAUSED, **{"name": "Suspended", **attributes})
