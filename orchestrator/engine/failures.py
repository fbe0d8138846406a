"""What is told of an exception: its type, its message, and a traceback without the engine's own frames."""

from __future__ import annotations

import os
import traceback
from typing import NamedTuple

from orchestrator.exceptions import (
    ApprovalRejected,
    CrashedRun,
    FlowPauseTimeout,
    RunCancelled,
    RunStopped,
    RunSuspended,
    TimedOut,
    UpstreamTaskError,
)
from orchestrator.states import SUSPENDED, StateType

_PACKAGE = os.path.dirname(os.path.dirname(__file__))
_OURS = tuple(os.path.join(_PACKAGE, name) + os.sep for name in ("engine", "elsewhere", "task_runners"))


class Told(NamedTuple):
    """An exception as text."""

    type: str
    message: str
    traceback: str


class Elsewhere(Exception):
    """The traceback that an exception had in another process, as the cause of what is raised here."""

    def __init__(self, trace: str) -> None:
        super().__init__(trace)
        self.trace = trace

    def __str__(self) -> str:
        return f"\n{self.trace}"


def short(error: BaseException) -> str:
    """One line: type and message. An exception whose own `str` fails is named by its type."""
    try:
        text = str(error)
    except Exception:
        text = "(its message can't be printed)"
    return f"{type(error).__name__}: {text}" if text else type(error).__name__


def tell(error: BaseException) -> Told:
    """Describe an exception for the journal."""
    kind = type(error)
    name = kind.__qualname__ if kind.__module__ == "builtins" else f"{kind.__module__}.{kind.__qualname__}"
    try:
        message = str(error)
    except Exception:
        message = "(its message can't be printed)"
    return Told(name, message, _traceback(error))


def _traceback(error: BaseException) -> str:
    try:
        told = traceback.TracebackException.from_exception(error, compact=True)
        _strip(told)
        if isinstance(error.__cause__, Elsewhere) and not told.stack:
            return error.__cause__.trace
        return "".join(told.format())
    except Exception:
        return short(error)


def _strip(told: traceback.TracebackException | None) -> None:
    """Leave out the engine's frames: people look for their own."""
    while told is not None:
        own = [frame for frame in told.stack if not frame.filename.startswith(_OURS)]
        told.stack = traceback.StackSummary.from_list(own)
        told = told.__cause__ or told.__context__


def state_of(error: BaseException, own: bool) -> tuple[StateType, str]:
    """The type and name of the state in which an exception ends a run.

    Args:
        own: Whether it tells of this run's timeout or of its process; another run's is a failure like any other.
    """
    if isinstance(error, UpstreamTaskError):
        return StateType.FAILED, "NotReady"
    if isinstance(error, FlowPauseTimeout | ApprovalRejected):
        return StateType.FAILED, "PauseTimedOut" if isinstance(error, FlowPauseTimeout) else "Rejected"
    if isinstance(error, RunSuspended):
        return StateType.CANCELLED, SUSPENDED
    if own and isinstance(error, TimedOut):
        return StateType.FAILED, "TimedOut"
    if own and isinstance(error, CrashedRun):
        return StateType.CRASHED, "Crashed"
    if isinstance(error, RunCancelled):
        return StateType.CANCELLED, "Cancelled"
    if isinstance(error, Exception):
        return StateType.FAILED, "Failed"
    return StateType.CRASHED, "Crashed"


def is_silent(error: BaseException) -> bool:
    """True for exceptions that end a process without a traceback worth reading."""
    return isinstance(error, RunStopped | KeyboardInterrupt | SystemExit)
