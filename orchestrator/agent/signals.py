"""What signals tell an agent to do."""

from __future__ import annotations

import signal
import threading
from collections.abc import Callable, Generator, Mapping
from contextlib import contextmanager


@contextmanager
def obeyed(calls: Mapping[int, Callable[[], None]]) -> Generator[None]:
    """Have each signal call what it stands for; only the main thread can be told, in others nothing changes."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    former = {number: signal.signal(number, _in_a_thread(call)) for number, call in calls.items()}
    try:
        yield
    finally:
        for number, handler in former.items():
            signal.signal(number, handler)


def _in_a_thread(call: Callable[[], None]) -> Callable[..., None]:
    """A handler of signals. It interrupts the main thread, which may hold the very lock that the call needs."""
    return lambda *_: threading.Thread(target=call, name="agent-signal").start()
