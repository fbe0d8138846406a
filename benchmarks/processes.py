"""Processes that the harness starts, and what they and all below them use."""

import os
import signal
import subprocess
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from contextlib import suppress
from pathlib import Path

import psutil

STOP_SECONDS = 60


class Service:
    """A process with its own log file. Use it as a context manager: nothing of it survives."""

    def __init__(
        self, command: Sequence[str | Path], *, log: Path, environment: Mapping[str, str], directory: Path
    ) -> None:
        self.log = log
        self._command = [str(word) for word in command]
        self._environment = dict(environment)
        self._directory = directory
        self._process: subprocess.Popen[bytes] | None = None

    def __enter__(self) -> "Service":
        with self.log.open("wb") as output:
            self._process = subprocess.Popen(
                self._command,
                cwd=self._directory,
                env=self._environment,
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=subprocess.STDOUT,
                start_new_session=True,
            )
        return self

    def __exit__(self, *_: object) -> None:
        assert self._process is not None
        below = family(self._process.pid)
        end(self._process)
        end_rest(below)

    @property
    def pid(self) -> int:
        assert self._process is not None
        return self._process.pid

    def wait_until(self, ready: Callable[[], bool], timeout: float) -> None:
        """Wait for something that this process is to bring about.

        Raises:
            RuntimeError: It ended first, or took too long; with the end of its log.
        """
        assert self._process is not None
        deadline = time.monotonic() + timeout
        while not ready():
            if self._process.poll() is not None or time.monotonic() > deadline:
                raise RuntimeError(f"{self._command[:4]} didn't start. {last_lines(self.log)}")
            time.sleep(0.05)

    def wrote(self, words: str) -> bool:
        """Whether its log holds these words."""
        return words in self.log.read_text(errors="replace")


def last_lines(log: Path) -> str:
    """The end of a log, for an error's message."""
    return "The end of its log:\n" + "\n".join(log.read_text(errors="replace").splitlines()[-25:])


def end(process: subprocess.Popen[bytes]) -> None:
    """Ask a child to stop, wait, and kill it if it doesn't."""
    if process.poll() is None:
        process.send_signal(signal.SIGTERM)
        try:
            process.wait(STOP_SECONDS)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait(STOP_SECONDS)


def end_rest(processes: Iterable[psutil.Process]) -> None:
    """Kill what outlived its parent. psutil compares start times: a number used again is left alone."""
    for process in processes:
        with suppress(psutil.NoSuchProcess):
            process.kill()


def family(pid: int) -> list[psutil.Process]:
    """A process and all below it."""
    try:
        first = psutil.Process(pid)
        return [first, *first.children(recursive=True)]
    except psutil.NoSuchProcess:
        return []


def cpu_seconds(pids: Iterable[int]) -> float:
    """CPU time of these processes and all below them, those included that ended and were waited for."""
    total = 0.0
    for process in (each for pid in pids for each in family(pid)):
        with suppress(psutil.NoSuchProcess):
            total += sum(process.cpu_times()[:4])
    return total


def proportional_memory(pids: Iterable[int]) -> int:
    """Bytes of these processes and all below them; a page that several share is divided among them."""
    total = 0
    for process in (each for pid in pids for each in family(pid)):
        with suppress(psutil.NoSuchProcess):
            total += process.memory_full_info().pss
    return total


def free_environment(prefixes: Iterable[str]) -> dict[str, str]:
    """The environment without the variables of the products: nobody's settings may slip into a measurement."""
    words = tuple(prefixes)
    return {name: value for name, value in os.environ.items() if not name.startswith(words)}
