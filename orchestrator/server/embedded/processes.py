"""The supervisor: starts children in order, restarts those that die, stops all in reverse order."""

import signal
import time
from collections.abc import Callable
from types import FrameType

from orchestrator.server.embedded import StackError
from orchestrator.server.embedded.children import RESTARTS_A_MINUTE, Child
from orchestrator.server.embedded.console import Console

LOOK_EVERY = 0.1
SIGNALS = (signal.SIGINT, signal.SIGTERM)


class Stop(BaseException):
    """Somebody asked the whole stack to stop. No `except Exception` may swallow it."""


class Supervisor:
    """Looks after children until somebody asks to stop or one of them can't be kept alive.

    Use it as a context manager: on the way out everything is stopped, whatever happened inside.
    """

    def __init__(self, console: Console) -> None:
        self.console = console
        self.children: list[Child] = []
        self._hurry = False

    def __enter__(self) -> "Supervisor":
        self._listen(self._interrupted)
        return self

    def __exit__(self, *_: object) -> None:
        self._listen(self._hurried)
        self.stop_all()

    def add(self, child: Child) -> None:
        """Start the child now, or as soon as it can start."""
        self.children.append(child)
        self._tend(child)

    def tend(self) -> None:
        """Look once after every child."""
        for child in self.children:
            self._tend(child)

    def wait_until(self, ready: Callable[[], bool], what: str, timeout: float, every: float = 0.03) -> None:
        """Look after the children until `ready` says so."""
        deadline = time.monotonic() + timeout
        while not ready():
            if time.monotonic() > deadline:
                raise StackError(f"{what} wasn't ready within {timeout:.0f} s. Its lines above say why.")
            self.tend()
            time.sleep(every)

    def watch(self) -> None:
        """Look after the children until somebody asks to stop."""
        while True:
            self.tend()
            time.sleep(LOOK_EVERY)

    def stop_all(self) -> None:
        """Stop in reverse order. Who doesn't end in time is killed with its whole process group."""
        for child in reversed(self.children):
            self._stop(child)
        self.children.clear()

    def _tend(self, child: Child) -> None:
        if child.process is None:
            if time.monotonic() >= child.next_start:
                child.start(self.console)
        elif not child.running:
            self._report_end(child)

    def _report_end(self, child: Child) -> None:
        code = child.bury()
        if child.hopeless:
            raise StackError(
                f"{child.name} ended again (exit code {code}) after {RESTARTS_A_MINUTE} restarts within a minute. "
                "Its lines above say why."
            )
        delay = child.next_start - time.monotonic()
        self.console.line(child.name, f"ended with exit code {code}; starting again in {max(delay, 0):.1f} s")

    def _stop(self, child: Child) -> None:
        child.ask_to_stop()
        deadline = time.monotonic() + child.stop_timeout
        while child.running and time.monotonic() < deadline and not self._hurry:
            time.sleep(0.02)
        if child.running:
            self.console.line(child.name, "didn't stop in time: killed")
        child.signal_group(signal.SIGKILL)
        if child.process is not None:
            child.process.wait(timeout=10)

    def _listen(self, handler: Callable[[int, FrameType | None], None]) -> None:
        for number in SIGNALS:
            signal.signal(number, handler)
        if signal.getsignal(signal.SIGHUP) is not signal.SIG_IGN:  # nohup asked to stay
            signal.signal(signal.SIGHUP, handler)

    def _interrupted(self, number: int, frame: FrameType | None) -> None:
        raise Stop

    def _hurried(self, number: int, frame: FrameType | None) -> None:
        self._hurry = True
