"""What comes back from another process: a value, or an exception with the traceback that it had there.

And what was said there of the assets that the task makes.
"""

from __future__ import annotations

import contextlib
from typing import TYPE_CHECKING, Any

from orchestrator.elsewhere.pickling import dumps, loads
from orchestrator.engine.failures import Elsewhere, is_silent, short, tell
from orchestrator.exceptions import ForeignError, NotPicklable

if TYPE_CHECKING:
    from orchestrator.engine.task_run import TaskRun


def of_value(run: TaskRun, value: Any) -> bytes:
    """What a body returned. One that can't be sent is an error of its run."""
    said = _said_of_assets(run)
    try:
        return dumps((True, value, None, said))
    except Exception as error:
        refused = NotPicklable(f"What {run.name} returned can't be sent from its process: {short(error)}")
        return of_error(refused, said, with_traceback=False)


def of_failure(run: TaskRun, error: BaseException) -> bytes:
    """What a body raised."""
    return of_error(error, _said_of_assets(run))


def _said_of_assets(run: TaskRun) -> Any:
    if not run.definition.makes_assets:
        return None
    from orchestrator.assets import metadata_to_take

    return metadata_to_take(run)


def of_error(error: BaseException, said: Any = None, with_traceback: bool = True) -> bytes:
    """An exception. One that can't be sent, or not be read again, is replaced by a ForeignError."""
    told = tell(error)
    trace = told.traceback if with_traceback and not is_silent(error) else None
    try:
        data = dumps((False, error, trace, said))
        loads(data)
    except Exception:
        return dumps((False, ForeignError(f"{told.type}: {told.message}"), trace, said))
    return data


def open_outcome(run: TaskRun, data: bytes) -> Any:
    """Return the value; raise the exception.

    Raises:
        NotPicklable: It can't be read here.
    """
    try:
        done, outcome, trace, said = loads(data)
    except Exception as error:
        raise NotPicklable(
            f"What {run.name} returned was sent from its process and can't be read: {short(error)}"
        ) from None
    if said:
        from orchestrator.assets import take_metadata

        take_metadata(run, said)
    if done:
        return outcome
    if trace is not None:
        with contextlib.suppress(AttributeError):
            outcome.__cause__ = Elsewhere(trace)
    raise outcome
