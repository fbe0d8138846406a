"""A child process, seen from the thread that it works for. One call at a time."""

from __future__ import annotations

import contextlib
import os
import select
import signal
import socket
import subprocess
import sys
import threading
import time
from typing import TYPE_CHECKING, Any

from orchestrator import masking
from orchestrator.elsewhere import calls, outcomes
from orchestrator.elsewhere.frames import BEGAN, CALL, DONE, INTRODUCTION, SECRETS, STOP, TOLD, Reader, frame
from orchestrator.elsewhere.pickling import dumps, loads
from orchestrator.engine.timeouts import timed_out
from orchestrator.exceptions import CrashedRun, RunCancelled, RunTerminated
from orchestrator.journal.records import Line

if TYPE_CHECKING:
    from orchestrator.engine.task_run import TaskRun
    from orchestrator.journal.stream import Stream

LOOK_EVERY = 0.1  # seconds between two looks whether the child is to stop, or its time is up
END_WITHIN = 5.0  # seconds that a child without a call may take to end
_START = "import sys; sys.path[:] = {path!r}; from orchestrator.elsewhere.child import main; main({fd}, {parent})"


class Process:
    """One child. It is killed by the kernel when the thread that made it ends, so that thread calls `end` before.

    Args:
        introduction: Who asks, from `calls.introduction`.
        stream: Where its lines go.
        grace: Seconds between the end of its time and being killed.
    """

    def __init__(self, introduction: bytes, stream: Stream | None, grace: float) -> None:
        self._stream = stream
        self._grace = grace
        self._reader = Reader()
        self._lock = threading.Lock()
        self._stopped = False
        self._stop_sent = False
        self._calling = False
        self._kill_at: float | None = None
        self._connection, theirs = socket.socketpair()
        self._connection.setblocking(False)
        try:
            self._process = _start(theirs.fileno())
        except OSError as error:
            self._connection.close()
            raise CrashedRun(f"No process could be started for it: {error}.") from error
        finally:
            theirs.close()
        self._unsent = frame(INTRODUCTION, introduction)

    @property
    def usable(self) -> bool:
        """False once it is gone, or was told to stop."""
        return not self._stopped and self._process.poll() is None

    # The thread that it works for.

    def call(self, run: TaskRun) -> Any:
        """Have the body of a task run performed. Returns what it returned, raises what it raised.

        Raises:
            NotPicklable: The call, or what came of it, can't be sent.
            TaskRunTimeout: Its time was up, and it had to be killed.
            CrashedRun: The process ended.
        """
        packed = calls.pack(run)
        with self._lock:
            if self._stopped:
                raise RunCancelled
            self._calling, self._kill_at = True, None
        try:
            self._send(self._unsent + frame(CALL, packed))
            self._unsent = b""
            outcome = self._outcome(run)
        except _Overdue:
            raise self._killed(run) from None
        except (OSError, EOFError):
            raise self._crashed(run) from None
        finally:
            self._calling = False
        return self._opened(run, outcome)

    def _outcome(self, run: TaskRun) -> bytes:
        while True:
            kind, payload = self._receive()
            if kind == DONE:
                return payload
            if kind == BEGAN and run.definition.timeout_seconds is not None and self._kill_at is None:
                self._kill_at = time.monotonic() + run.definition.timeout_seconds + self._grace
            self._take(kind, payload)

    def _take(self, kind: bytes, payload: bytes) -> None:
        if kind == TOLD and self._stream is not None:
            for line in payload.splitlines(keepends=True):
                self._stream.put(Line(line))
        elif kind == SECRETS:
            masking.hide(loads(payload))

    def _opened(self, run: TaskRun, outcome: bytes) -> Any:
        try:
            return outcomes.open_outcome(run, outcome)
        except RunTerminated:
            # Somebody told this process alone to end. It has broken off the call, and takes no other.
            self.end()
            raise self._crash(run, "was told to end by SIGTERM") from None

    def _killed(self, run: TaskRun) -> BaseException:
        self._kill()
        if self._stopped:
            return RunCancelled("It was told to stop and did not, so its process was killed.")
        return timed_out(run, f"It did not stop within {self._grace:g} s after that, so its process was killed.")

    def _crashed(self, run: TaskRun) -> BaseException:
        exit = self._wait()
        if self._stopped:
            return RunCancelled("It was told to stop, and its process ended.")
        return self._crash(run, _told(exit))

    def _crash(self, run: TaskRun, how: str) -> CrashedRun:
        error = CrashedRun(f"The process of task run {run.name!r} {how}.")
        error.run_id = run.id  # pyright: ignore[reportAttributeAccessIssue]
        return error

    # The pipe.

    def _send(self, data: bytes) -> None:
        view = memoryview(data)
        while view:
            self._wait_for(writing=True)
            with contextlib.suppress(BlockingIOError):
                view = view[self._connection.send(view[: 1 << 20]) :]

    def _receive(self) -> tuple[bytes, bytes]:
        while (message := self._reader.next()) is None:
            self._wait_for(writing=False)
            with contextlib.suppress(BlockingIOError):
                data = self._connection.recv(1 << 20)
                if not data:
                    raise EOFError("the process ended") from None
                self._reader.feed(data)
        return message

    def _wait_for(self, writing: bool) -> None:
        poll = select.poll()
        poll.register(self._connection, select.POLLOUT if writing else select.POLLIN)
        while True:
            if self._stopped and not self._stop_sent and not writing:
                self._stop_sent = True
                self._connection.send(frame(STOP, dumps(RunCancelled())))
            if poll.poll(LOOK_EVERY * 1000):
                return
            if self._kill_at is not None and time.monotonic() > self._kill_at:
                raise _Overdue

    # Any thread.

    def stop(self) -> bool:
        """Have the present call broken off, and take no other one. False when there is no call."""
        with self._lock:
            self._stopped = True
            if not self._calling:
                return False
            self._kill_at = time.monotonic() + self._grace
        return True

    # The end.

    def end(self) -> None:
        """Let it end by itself, or kill it."""
        with self._lock:
            self._stopped = self._stop_sent = True
        self._kill_at = time.monotonic() + END_WITHIN
        with contextlib.suppress(OSError, EOFError, _Overdue):
            self._connection.shutdown(socket.SHUT_WR)
            while True:
                self._take(*self._receive())
        self._wait()

    def _wait(self) -> int:
        try:
            return self._process.wait(END_WITHIN)
        except subprocess.TimeoutExpired:
            return self._kill()
        finally:
            self._connection.close()

    def _kill(self) -> int:
        self._process.kill()
        exit = self._process.wait()
        self._connection.close()
        return exit


class _Overdue(BaseException):
    """The child's time is up."""


def _start(descriptor: int) -> subprocess.Popen[bytes]:
    code = _START.format(path=sys.path, fd=descriptor, parent=os.getpid())
    return subprocess.Popen(
        [sys.executable, *subprocess._args_from_interpreter_flags(), "-c", code],  # type: ignore[attr-defined]
        pass_fds=(descriptor,),
        stdin=subprocess.DEVNULL,
    )


def _told(exit: int) -> str:
    if exit >= 0:
        return f"ended with exit code {exit}"
    name = signal.Signals(-exit).name if -exit in set(signal.Signals) else f"signal {-exit}"
    perhaps = ", perhaps because the machine ran out of memory" if name == "SIGKILL" else ""
    return f"was killed by {name}{perhaps}"
