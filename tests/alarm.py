"""A test of what must not take long fails after a while, where it would stand still without."""

from __future__ import annotations

import signal
from collections.abc import Iterator
from contextlib import contextmanager


class TookTooLong(BaseException):
    """No code that is tested catches this."""


@contextmanager
def rings_after(seconds: int) -> Iterator[None]:
    """Raise in the main thread when the seconds are over. They are many times what is needed."""

    def ring(*_: object) -> None:
        raise TookTooLong(f"Not done after {seconds} seconds.")

    before = signal.signal(signal.SIGALRM, ring)
    signal.alarm(seconds)
    try:
        yield
    finally:
        signal.alarm(0)
        signal.signal(signal.SIGALRM, before)
