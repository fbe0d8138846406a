"""How much memory and processor time processes use, from /proc. Where there is none, nothing is known."""

from __future__ import annotations

import os
import threading
import time
from collections.abc import Collection
from typing import Protocol

LOOK_EVERY = 0.25  # seconds
MIB = 1 << 20
_PAGE = os.sysconf("SC_PAGE_SIZE")
_TICKS = os.sysconf("SC_CLK_TCK")


def own_bytes(pid: int) -> int:
    """What a process holds in memory besides the pages of files."""
    try:
        with open(f"/proc/{pid}/statm") as file:
            _, resident, shared, *_ = file.read().split()
    except (OSError, ValueError):
        return 0
    return (int(resident) - int(shared)) * _PAGE


def use_of(groups: Collection[int]) -> dict[int, tuple[int, float]]:
    """For each process group: its resident memory in bytes, and the processor time that its processes used (s)."""
    used: dict[int, tuple[int, float]] = dict.fromkeys(groups, (0, 0.0))
    try:
        pids = [name for name in os.listdir("/proc") if name.isdigit()]
    except OSError:
        return used
    for pid in pids:
        found = _process(pid)
        if found is not None and found[0] in used:
            group, resident, seconds = found
            memory, time = used[group]
            used[group] = (memory + resident, time + seconds)
    return used


def _process(pid: str) -> tuple[int, int, float] | None:
    """A process's group, its resident bytes, and the seconds that it and the children it has seen end have worked:
    fields 5, 24, and 14 to 17 of proc(5)'s stat."""
    try:
        with open(f"/proc/{pid}/stat") as file:
            fields = file.read().rpartition(")")[2].split()
        return int(fields[2]), int(fields[21]) * _PAGE, sum(map(int, fields[11:15])) / _TICKS
    except (OSError, ValueError, IndexError):
        return None


class Bounded(Protocol):
    """A process with a bound."""

    pid: int
    bound: int

    @property
    def is_over(self) -> bool: ...
    def end_for(self, why: str) -> None: ...


class Bounds:
    """Ends processes that use more memory than they may, with all that they started.

    What is resident is counted, by looking now and then: limits of the system count what is merely reserved, which
    threads and numerical libraries do by gigabytes, and end a process without a word.
    """

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._watched: list[Bounded] = []

    def add(self, process: Bounded) -> None:
        """Look after a process from now on, if it has a bound."""
        if not process.bound:
            return
        with self._lock:
            self._watched.append(process)
            if len(self._watched) > 1:
                return
        threading.Thread(target=self._watch, name="agent-memory", daemon=True).start()

    def _watch(self) -> None:
        while True:
            time.sleep(LOOK_EVERY)
            with self._lock:
                self._watched = [process for process in self._watched if not process.is_over]
                watched = list(self._watched)
            if not watched:
                return
            used = use_of({process.pid for process in watched})
            for process in watched:
                self._check(process, used[process.pid][0])

    @staticmethod
    def _check(process: Bounded, used: int) -> None:
        if used > process.bound:
            allowed = f"{process.bound / MIB:g} MiB of the job variable memory_mib"
            process.end_for(f"The run's processes used {used / MIB:.0f} MiB, more than the {allowed}, and were ended.")
