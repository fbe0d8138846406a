"""One run's process, seen from the agent: its line, its output, its end.

The run and its token go through the line, a socket that only this process has the other end of; never through the
environment or the command line, where others could read them. The agent's own key is in no process but its own.
"""

from __future__ import annotations

import contextlib
import json
import os
import select
import signal
import socket
import subprocess
import sys
import threading
import time
from collections import deque
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from orchestrator.agent.launchers import Claimed, Ending
from orchestrator.agent.settings import Settings
from orchestrator.agent.watch import Watch

KEPT_LINES = 50
MAX_LINE = 4_000
MIB = 1 << 20
SPEAK_WITHIN = 5.0  # seconds that a write into a line may take
LOOK_EVERY = 0.2
_SECRET = ("ORCHESTRATOR_API_KEY", "ORCHESTRATOR_PROFILE")


class Output:
    """What a process prints: its last lines are kept, and all of them repeated on the agent's own output."""

    def __init__(self, name: str, descriptor: int, repeat: bool) -> None:
        self.descriptor = descriptor
        self.lines: deque[str] = deque(maxlen=KEPT_LINES)
        self._name = name
        self._repeat = repeat
        self._rest = b""
        os.set_blocking(descriptor, False)

    def read(self) -> bool:
        """Take what is there; False when nothing is, or nothing will come any more."""
        try:
            data = os.read(self.descriptor, 1 << 16)
        except OSError:
            return False
        *lines, self._rest = (self._rest + data).split(b"\n")
        while len(self._rest) >= MAX_LINE or (self._rest and not data):
            lines.append(self._rest[:MAX_LINE])
            self._rest = self._rest[MAX_LINE:]
        self._tell(lines)
        return bool(data)

    def drain(self) -> None:
        """Take all that is left; processes that the run started may still hold the other end."""
        for _ in range(64):
            if not self.read():
                break
        rest, self._rest = self._rest, b""
        self._tell([rest] if rest else [])

    def _tell(self, lines: list[bytes]) -> None:
        texts = [line[:MAX_LINE].decode("utf-8", "replace").rstrip("\r") for line in lines]
        self.lines.extend(texts)
        if texts and self._repeat:
            with contextlib.suppress(OSError, ValueError):
                sys.stdout.write("".join(f"{self._name} | {text}\n" for text in texts))
                sys.stdout.flush()


class RunProcess:
    """One run's process, in a process group of its own, whoever its parent is.

    Attributes:
        again: True when the process said that it can take another run; `freed` is called then.
        bound: How much memory it may use, in bytes; 0 for as much as it likes.
    """

    def __init__(self, claimed: Claimed, settings: Settings, watch: Watch, *, line: socket.socket, output: int) -> None:
        self.pid = 0
        self.again = False
        self.freed: Callable[[], None] = _nothing
        self.bound = int(float(claimed.configuration.get("memory_mib") or 0) * MIB)
        self._grace = settings.grace
        self._watch = watch
        self._lock = threading.Lock()
        self._killer: threading.Timer | None = None
        self._over = threading.Event()
        self._exit: int | None = None
        self._told_exit: int | None = None
        self._is_orphan = False
        self._why = ""
        self._text = b""
        self._line = line
        self._line.settimeout(SPEAK_WITHIN)
        self._output = Output(claimed.name, output, settings.output)

    def _attend(self) -> None:
        self._watch.add(self._line.fileno(), self._hear)
        self._watch.add(self._output.descriptor, self._take_output)

    # Life.

    def say(self, what: dict[str, Any]) -> None:
        """Write one text into the line. A process that is gone hears nothing."""
        with self._lock, contextlib.suppress(OSError):
            self._line.sendall(json.dumps(what).encode() + b"\n")

    def signal(self, word: str) -> None:
        """Tell it to stop, and kill it after the grace."""
        self.say({"signal": word})
        self._kill_later()

    def terminate(self) -> None:
        """SIGTERM, then kill after the grace."""
        if not self._over.is_set():
            with contextlib.suppress(OSError):
                os.kill(self.pid, signal.SIGTERM)
        self._kill_later()

    def kill(self) -> None:
        """Kill the process group."""
        if not self._over.is_set():
            with contextlib.suppress(OSError):
                os.killpg(self.pid, signal.SIGKILL)

    def _kill_later(self) -> None:
        with self._lock:
            if self._killer is None:
                self._killer = threading.Timer(self._grace, self.kill)
                self._killer.daemon = True
                self._killer.start()

    # The end. Whoever is the parent tells of it.

    def ended(self, exit: int | None) -> None:
        """Its parent has seen its end."""
        self._exit = exit
        self._over.set()

    def orphaned(self) -> None:
        """Its parent is gone: nobody will tell of its end but itself."""
        self._is_orphan = True
        threading.Thread(target=self._watch_orphan, name=f"orphan-{self.pid}", daemon=True).start()

    def _watch_orphan(self) -> None:
        wait_until_gone(self.pid)
        with contextlib.suppress(OSError):
            os.killpg(self.pid, signal.SIGKILL)
        self._over.set()

    def end_for(self, why: str) -> None:
        """Kill it, for a reason that people should read."""
        self._why = why
        self.kill()

    @property
    def is_over(self) -> bool:
        """True once it has ended."""
        return self._over.is_set()

    def wait(self) -> Ending:
        """Wait for the end."""
        self._over.wait()
        if self._killer is not None:
            self._killer.cancel()
        released = threading.Event()
        self._watch.remove(self._line.fileno())
        self._watch.remove(self._output.descriptor, released.set)
        released.wait(SPEAK_WITHIN)
        if self._is_orphan and self._exit is None:
            while self._hear():
                continue
            self._exit = self._told_exit
        self._output.drain()
        with self._lock:
            self._line.close()
        os.close(self._output.descriptor)
        return Ending(self._exit, list(self._output.lines), self._why)

    # The watching thread.

    def _hear(self) -> bool:
        """Take what it says; False when it will say no more."""
        try:
            data = self._line.recv(1 << 12)
        except OSError:
            data = b""
        if not data:
            self._watch.remove(self._line.fileno())
            return False
        *lines, self._text = (self._text + data).split(b"\n")
        for line in lines:
            told = json.loads(line)
            self._told_exit, self.again = told["exit"], told["again"]
            if self.again:
                self.ended(self._told_exit)
                self.freed()
        return True

    def _take_output(self) -> None:
        if not self._output.read():
            self._watch.remove(self._output.descriptor)


class NewProcess(RunProcess):
    """A process that this agent has started, or had started.

    Attributes:
        theirs: The descriptors that the process needs: its end of the line, where it prints, and the reading end of
            that, which it holds so that the agent's end doesn't break its printing.
    """

    def __init__(self, claimed: Claimed, order: dict[str, Any], settings: Settings, watch: Watch) -> None:
        line, theirs = socket.socketpair()
        reading, writing = os.pipe()
        super().__init__(claimed, settings, watch, line=line, output=reading)
        self.theirs = [theirs.detach(), writing, reading]
        self._order = order
        self._born = threading.Event()
        self._abandoned = False

    # A standby process, or a launcher, tells of its birth.

    def born(self, pid: int) -> None:
        """It exists, and waits for its order. One that was not waited for sees its line end, and ends."""
        with self._lock:
            if self._abandoned:
                return
            self.pid = pid
            self._let_go_of_theirs()
        self._attend()
        self._born.set()

    def unborn(self) -> None:
        """It will never exist."""
        self._born.set()

    def wait_until_born(self, seconds: float) -> bool:
        """Wait until it exists; False if it doesn't, and then nothing is left of it.

        The order is given after that. A process that was started by one who then died never hears what to run, so
        that nobody executes a run twice.
        """
        self._born.wait(seconds)
        with self._lock:
            self._abandoned = not self.pid
        if self._abandoned:
            self.abandon()
            return False
        self.say(self._order)
        return True

    def abandon(self) -> None:
        """Let go of everything before it was started."""
        self._let_go_of_theirs()
        self._line.close()
        os.close(self._output.descriptor)

    def _let_go_of_theirs(self) -> None:
        for descriptor in self.theirs[:2]:
            os.close(descriptor)
        self.theirs = []


class AdoptedProcess(RunProcess):
    """One that another agent had started, before this one."""

    def __init__(
        self, claimed: Claimed, settings: Settings, watch: Watch, *, line: socket.socket, output: int, pid: int
    ) -> None:
        super().__init__(claimed, settings, watch, line=line, output=output)
        self.pid = pid

    def begin(self) -> None:
        """See to it from now on."""
        self._attend()
        self.orphaned()


def _nothing() -> None:
    return


class FreshProcess(NewProcess):
    """`python -m orchestrator.engine.execute`, a child of the agent."""

    def start(self, claimed: Claimed, settings: Settings, command: Sequence[str] = ()) -> None:
        """Start it, by another command where one is given. Raises OSError when it can't be."""
        try:
            self._process = start_python(
                settings,
                ["orchestrator.engine.execute", str(self.theirs[0]), str(self.theirs[2])],
                environment(claimed.environment),
                (self.theirs[0], self.theirs[2]),
                output=self.theirs[1],
                directory=claimed.directory,
                command=command,
            )
        except (OSError, ValueError):  # The latter for what no process can have in its environment.
            self.abandon()
            raise
        self.born(self._process.pid)
        self.say(self._order)

    def wait(self) -> Ending:
        self.ended(see_to_the_end(self._process))
        return super().wait()


def start_python(
    settings: Settings,
    arguments: list[str],
    variables: dict[str, str],
    descriptors: tuple[int, ...],
    output: int,
    directory: str,
    command: Sequence[str] = (),
) -> subprocess.Popen[bytes]:
    """Start a module in an interpreter of its own, in a process group of its own."""
    # -P: a module of the user's that is named like one of the standard library must not hide it from us.
    return subprocess.Popen(
        [*command, settings.python, "-P", "-m", *arguments],
        pass_fds=descriptors,
        cwd=directory,
        env=variables,
        stdin=subprocess.DEVNULL,
        stdout=output,
        stderr=output,
        process_group=0,
    )


def environment(more: dict[str, str]) -> dict[str, str]:
    """What a process of the agent finds in its environment: the agent's, without its key, and what is asked for."""
    variables = {name: value for name, value in os.environ.items() if name not in _SECRET} | more
    package = str(Path(__file__).resolve().parents[2])
    paths = variables.get("PYTHONPATH", "").split(os.pathsep)
    if "site-packages" not in package and package not in paths:
        variables["PYTHONPATH"] = os.pathsep.join([*filter(None, paths), package])
    variables["PYTHONUNBUFFERED"] = "1"
    return variables


def see_to_the_end(process: subprocess.Popen[bytes]) -> int:
    """Wait for a child of ours. What is left of its process group goes while its number is still taken."""
    if hasattr(os, "waitid"):
        with contextlib.suppress(ChildProcessError):
            os.waitid(os.P_PID, process.pid, os.WEXITED | os.WNOWAIT)
    else:
        process.wait()
    with contextlib.suppress(OSError):
        os.killpg(process.pid, signal.SIGKILL)
    return process.wait()


def wait_until_gone(pid: int) -> None:
    """Wait for the end of a process that is no child of ours."""
    try:
        descriptor = os.pidfd_open(pid)
    except ProcessLookupError:
        return
    except (OSError, AttributeError):
        _look_until_gone(pid)
        return
    try:
        poll = select.poll()
        poll.register(descriptor, select.POLLIN)
        poll.poll()
    finally:
        os.close(descriptor)


def _look_until_gone(pid: int) -> None:
    with contextlib.suppress(ProcessLookupError):
        while True:
            os.kill(pid, 0)
            time.sleep(LOOK_EVERY)
