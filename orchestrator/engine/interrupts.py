"""Raise an exception in another thread. It takes effect at that thread's next bytecode."""

from __future__ import annotations

import _weakrefset
import gc
import os
import sys
import weakref
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Callable
    from types import FrameType

_WEAK = (_weakrefset.__file__, weakref.__file__)
_PACKAGE = os.path.dirname(os.path.dirname(__file__)) + os.sep
_BOOKS = tuple(_PACKAGE + name for name in ("engine", "journal", "logging.py", "elsewhere"))
_RUNNERS = os.path.join(_PACKAGE, "task_runners", "")
_COUNTS = frozenset({"_take", "_ensure_thread"})
_CALLS = tuple(
    f"{_PACKAGE}engine/{name}" for name in ("effects.py", "waiting.py", "timeouts.py", "definition.py", "retries.py")
)


def raise_in_thread(ident: int, kind: type[BaseException]) -> bool:
    """Ask the interpreter to raise `kind` in a thread; False when there is no such thread."""
    import ctypes

    return ctypes.pythonapi.PyThreadState_SetAsyncExc(ctypes.c_ulong(ident), ctypes.py_object(kind)) == 1


def take_back(ident: int) -> None:
    """Withdraw what was asked for and has not been raised yet."""
    import ctypes

    ctypes.pythonapi.PyThreadState_SetAsyncExc(ctypes.c_ulong(ident), None)


def handles(ident: int, wanted: Callable[[BaseException], bool]) -> bool:
    """True while a thread handles such an exception, or one that came while it did."""
    handled: Any = sys._current_exceptions().get(ident)
    error: BaseException | None = handled[1] if isinstance(handled, tuple) else handled  # A tuple before 3.12.
    while error is not None:
        if wanted(error):
            return True
        error = error.__context__
    return False


def keeps_books(frame: FrameType | None) -> bool:
    """True when the innermost frame of ours is one that keeps the books of a run: they must not be torn.

    Also within finalizers, which swallow whatever is raised there.
    """
    while frame is not None:
        name = frame.f_code.co_filename
        if finalizes(frame):
            return True
        if name.startswith(_PACKAGE):
            return takes_job(frame) or (name.startswith(_BOOKS) and not name.startswith(_CALLS))
        frame = frame.f_back
    return False


def finalizes(frame: FrameType) -> bool:
    """True where the interpreter ignores exceptions: in `__del__`, in callbacks of weak collections and of gc."""
    code = frame.f_code
    if code.co_name == "__del__" or code.co_filename in _WEAK:
        return True
    return any(getattr(callback, "__code__", None) is code for callback in gc.callbacks)


def takes_job(frame: FrameType) -> bool:
    """True in a task runner that takes a job: one that was counted and is in no queue would be waited for."""
    return frame.f_code.co_name in _COUNTS and frame.f_code.co_filename.startswith(_RUNNERS)


def thread_keeps_books(ident: int) -> bool:
    """The same of a thread, as it is now."""
    return keeps_books(sys._current_frames().get(ident))
