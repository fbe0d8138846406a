"""What comes back from another process: a value, or an exception with the traceback that it had there."""

from __future__ import annotations

import contextlib
from typing import Any

from orchestrator.elsewhere.pickling import dumps, loads
from orchestrator.engine.failures import Elsewhere, is_silent, short, tell
from orchestrator.exceptions import ForeignError, NotPicklable


def of_value(name: str, value: Any) -> bytes:
    """What a body returned. One that can't be sent is an error of the run of this name."""
    try:
        return dumps((True, value, None))
    except Exception as error:
        return of_error(
            NotPicklable(f"What {name} returned can't be sent from its process: {short(error)}"), with_traceback=False
        )


def of_error(error: BaseException, with_traceback: bool = True) -> bytes:
    """What a body raised. One that can't be sent, or not be read again, is replaced by a ForeignError."""
    told = tell(error)
    trace = told.traceback if with_traceback and not is_silent(error) else None
    try:
        data = dumps((False, error, trace))
        loads(data)
    except Exception:
        return dumps((False, ForeignError(f"{told.type}: {told.message}"), trace))
    return data


def open_outcome(name: str, data: bytes) -> Any:
    """Return the value; raise the exception.

    Raises:
        NotPicklable: It can't be read here.
    """
    try:
        done, outcome, trace = loads(data)
    except Exception as error:
        raise NotPicklable(
            f"What {name} returned was sent from its process and can't be read: {short(error)}"
        ) from None
    if done:
        return outcome
    if trace is not None:
        with contextlib.suppress(AttributeError):
            outcome.__cause__ = Elsewhere(trace)
    raise outcome
