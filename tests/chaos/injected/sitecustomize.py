"""Faults inside a process: a wrong clock, a full disk. Python imports this by its name when its folder is on the path.

CHAOS_CLOCK  a file with seconds to add to this process's clock; asked again and again
CHAOS_DISK   a file; while it is there, nothing can be written to the folder CHAOS_FOLDER
"""

import errno
import io
import os
import time

CLOCK, DISK = os.environ.get("CHAOS_CLOCK", ""), os.environ.get("CHAOS_DISK", "")
FOLDER = os.environ.get("CHAOS_FOLDER", "") + os.sep
LOOK_EVERY = 0.05  # seconds between two looks at the file with the clock's error


class _Clock:
    """The system's clock, and how far it is off."""

    def __init__(self) -> None:
        self._true_ns, self._steady = time.time_ns, time.monotonic
        self._looked, self._off_ns = -1.0, 0

    def time_ns(self) -> int:
        """Nanoseconds, wrong."""
        if self._steady() - self._looked > LOOK_EVERY:
            self._looked = self._steady()
            self._off_ns = _number_in(CLOCK)
        return self._true_ns() + self._off_ns

    def time(self) -> float:
        """Seconds, wrong."""
        return self.time_ns() / 1_000_000_000


def _number_in(path: str) -> int:
    try:
        with open(path) as file:
            return int(float(file.read() or 0) * 1_000_000_000)
    except (OSError, ValueError):
        return 0


def _shift_clock() -> None:
    clock = _Clock()
    time.time, time.time_ns = clock.time, clock.time_ns
    if os.environ.get("DJANGO_SETTINGS_MODULE"):
        _shift_django(clock)


def _shift_django(clock: _Clock) -> None:
    """The server takes its time from one function. It is replaced before anybody imports it."""
    from datetime import UTC, datetime

    from django.utils import timezone

    timezone.now = lambda: datetime.fromtimestamp(clock.time(), UTC)


_ours: set[int] = set()  # descriptors of files in the folder
_open, _fdopen = os.open, os.fdopen


def _is_full() -> bool:
    return os.path.exists(DISK)


def _refuse() -> None:
    raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))


class _File(io.FileIO):
    """A file on the disk that may be full."""

    def write(self, data: object) -> int:
        """Write nothing while the disk is full."""
        if _is_full():
            _refuse()
        return super().write(data)  # type: ignore[arg-type]


def _open_here(path, flags, *rest, **more):
    inside = isinstance(path, str | os.PathLike) and os.fspath(path).startswith(FOLDER)
    if inside and flags & os.O_CREAT and _is_full():
        _refuse()
    descriptor = _open(path, flags, *rest, **more)
    if inside:
        _ours.add(descriptor)
    return descriptor


def _fdopen_here(descriptor, mode="r", *rest, **more):
    if descriptor in _ours and more.get("buffering") == 0:
        _ours.discard(descriptor)
        return _File(descriptor, mode.replace("b", "").replace("w+", "r+"))
    return _fdopen(descriptor, mode, *rest, **more)


if CLOCK:
    _shift_clock()
if DISK:
    os.open, os.fdopen = _open_here, _fdopen_here
