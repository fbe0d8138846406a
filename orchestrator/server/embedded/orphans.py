"""Processes of a stack whose supervisor was killed. Only the holder of the data directory's lock may look for them."""

import os
import signal
from collections.abc import Iterator
from pathlib import Path

import psutil

MARK = "ORCHESTRATOR_STACK"
SERVER_HOMES = ("postgres", "postgres/cluster", "valkey")
PATIENCE_SECONDS = 5.0


def end_orphans(data_dir: Path) -> int:
    """End what a former stack of this directory left running; return how many processes that were.

    Python children carry the directory in their environment. PostgreSQL and Valkey write their titles over theirs, but
    work in directories of their own.
    """
    found = list(_orphans(data_dir))
    for process in found:
        _send(process, _stop_signal(process))
    _, stubborn = psutil.wait_procs(found, timeout=PATIENCE_SECONDS)
    for process in stubborn:
        _send(process, signal.SIGKILL)
    psutil.wait_procs(stubborn, timeout=PATIENCE_SECONDS)
    return len(found)


def works_in(directory: Path) -> bool:
    """Say whether a living server has `directory` as its working directory."""
    return any(_working_directory(process) == str(directory) and _alive(process) for process in psutil.process_iter())


def _orphans(data_dir: Path) -> Iterator[psutil.Process]:
    for process in psutil.process_iter():
        if process.pid != os.getpid() and (_carries_mark(process, data_dir) or _serves_from(process, data_dir)):
            yield process


def _carries_mark(process: psutil.Process, data_dir: Path) -> bool:
    try:
        return process.environ().get(MARK) == str(data_dir)
    except (psutil.Error, OSError):
        return False


def _serves_from(process: psutil.Process, data_dir: Path) -> bool:
    homes = {str(data_dir.resolve() / home) for home in SERVER_HOMES}
    return _working_directory(process) in homes and process.name().startswith(("postgres", "valkey-server"))


def _working_directory(process: psutil.Process) -> str:
    try:
        return process.cwd()
    except (psutil.Error, OSError):
        return ""


def _alive(process: psutil.Process) -> bool:
    try:
        return process.status() != psutil.STATUS_ZOMBIE
    except psutil.Error:
        return False


def _stop_signal(process: psutil.Process) -> signal.Signals:
    """SIGTERM would let PostgreSQL wait for its clients."""
    try:
        return signal.SIGINT if process.name().startswith("postgres") else signal.SIGTERM
    except psutil.Error:
        return signal.SIGTERM


def _send(process: psutil.Process, number: signal.Signals) -> None:
    try:
        process.send_signal(number)
    except psutil.Error:
        return
