"""How much memory and processor time processes use, from /proc. Where there is none, nothing is known."""

from __future__ import annotations

import os
from collections.abc import Collection

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
    """A process's group, resident bytes and seconds of processor time: fields 5, 24, 14 and 15 of proc(5)'s stat."""
    try:
        with open(f"/proc/{pid}/stat") as file:
            fields = file.read().rpartition(")")[2].split()
        return int(fields[2]), int(fields[21]) * _PAGE, (int(fields[11]) + int(fields[12])) / _TICKS
    except (OSError, ValueError, IndexError):
        return None
