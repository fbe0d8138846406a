"""What is told of an exception: its type, its message, and a traceback without the engine's own frames."""

from __future__ import annotations

import os
import traceback
from typing import NamedTuple

from orchestrator.exceptions import RunCancelled, RunStopped, TimedOut, UpstreamTaskError
from orchestrator.states import StateType

_ENGINE = os.path.dirname(__file__) + os.sep
_RUNNERS = os.path.join(os.path.dirname(os.path.dirname(__file__)), "task_runners") + os.sep


class Told(NamedTuple):
    """An exception as text."""

    type: str
    message: str
    traceback: str


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
        return "".join(told.format())
    except Exception:
        return short(error)


def _strip(told: traceback.TracebackException | None) -> None:
    """Leave out the engine's frames: people look for their own."""
    while told is not None:
        own = [frame for frame in told.stack if not frame.filename.startswith((_ENGINE, _RUNNERS))]
        told.stack = traceback.StackSummary.from_list(own)
        told = told.__cause__ or told.__context__


def state_of(error: BaseException, own_timeout: bool) -> tuple[StateType, str]:
    """The type and name of the state in which an exception ends a run."""
    if isinstance(error, UpstreamTaskError):
        return StateType.FAILED, "NotReady"
    if own_timeout and isinstance(error, TimedOut):
        return StateType.FAILED, "TimedOut"
    if isinstance(error, RunCancelled):
        return StateType.CANCELLED, "Cancelled"
    if isinstance(error, Exception):
        return StateType.FAILED, "Failed"
    return StateType.CRASHED, "Crashed"


def is_silent(error: BaseException) -> bool:
    """True for exceptions that end a process without a traceback worth reading."""
    return isinstance(error, RunStopped | KeyboardInterrupt | SystemExit)
