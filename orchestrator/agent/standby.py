"""A process that stands by (`orchestrator.engine.standby`), seen from the agent."""

from __future__ import annotations

import contextlib
import itertools
import json
import os
import signal
import socket
import threading
from typing import Any, Protocol

from orchestrator.agent.launchers import Claimed
from orchestrator.agent.process import SPEAK_WITHIN, NewProcess, environment, see_to_the_end, start_python
from orchestrator.agent.settings import Settings
from orchestrator.agent.watch import Watch

BORN_WITHIN = 10.0  # seconds

_numbers = itertools.count(1)


class Child(Protocol):
    """Whoever a standby process may be the parent of."""

    theirs: list[int]

    def born(self, pid: int) -> None: ...
    def unborn(self) -> None: ...
    def ended(self, exit: int | None) -> None: ...
    def orphaned(self) -> None: ...


class Standby:
    """One process that stands by.

    Attributes:
        runs: How many runs it has executed itself.
        facts: What it said of itself: after its start, and after the import.
        gone: True once it has ended, or was told to.
        running: The run that it executes itself, if it does.
    """

    def __init__(self, watch: Watch) -> None:
        self.pid = 0
        self.facts: dict[str, Any] = {}
        self.gone = False
        self.runs = 0
        self.running: NewProcess | None = None
        self._watch = watch
        self._lock = threading.Lock()
        self._answered = threading.Event()
        self._children: dict[int, Child] = {}
        self._text = b""
        self._orphan = False
        self._retired = False
        self._control, theirs = socket.socketpair()
        self._control.settimeout(SPEAK_WITHIN)
        self.theirs = [theirs.detach()]

    # Birth: as a child of the agent, or of another one that stands by.

    def start(self, settings: Settings, url: str, more: dict[str, str], directory: str, output: int) -> None:
        """Start an interpreter for it. Raises OSError when that can't be."""
        arguments = ["orchestrator.engine.standby", str(self.theirs[0]), url.partition(":")[0]]
        try:
            process = start_python(
                settings, arguments, environment(more), (self.theirs[0],), output=output, directory=directory
            )
        except OSError:
            self.unborn()
            raise
        self.born(process.pid)
        threading.Thread(
            target=lambda: self.ended(see_to_the_end(process)), name=f"standby-{process.pid}", daemon=True
        ).start()

    def born(self, pid: int) -> None:
        """It exists. One that is not wanted any more hears that at once."""
        self.pid = pid
        os.close(self.theirs.pop())
        if self.gone:
            self._control.close()
            return
        self._watch.add(self._control.fileno(), self._hear)

    def unborn(self) -> None:
        """It will never exist."""
        self.gone = True
        os.close(self.theirs.pop())
        self._control.close()
        self._answered.set()

    def ended(self, exit: int | None) -> None:
        """Its parent has seen its end."""
        self.gone = True
        if self.running is not None:
            self.running.ended(exit)

    def orphaned(self) -> None:
        """Its parent is gone."""
        self._orphan = True
        if self.running is not None:
            self.running.orphaned()

    # What it is told.

    def load(self, claimed: Claimed, seconds: float) -> None:
        """Have it import a flow, or be ended when that takes longer."""
        self._answered.clear()
        self._say(
            {
                "do": "load",
                "directory": claimed.directory,
                "entrypoint": claimed.claim["entrypoint"],
                "environment": claimed.environment,
                "seconds": seconds,
            }
        )

    def wait_for_answer(self, seconds: float) -> bool:
        """Wait until it has told its facts; False when it didn't in time, or is gone."""
        return self._answered.wait(seconds) and not self.gone

    def fork(self, child: Child, word: str = "fork") -> None:
        """Have it fork. The child is told when it is born, or that it won't be."""
        number = next(_numbers)
        with self._lock:
            self._children[number] = child
        order = {"do": word, "number": number, "descriptors": len(child.theirs)}
        if not self._say(order, child.theirs):
            self._lose(number)

    def execute(self, process: NewProcess, again: bool) -> bool:
        """Have it execute a run itself, and afterwards end or, with `again`, go on."""
        self.running = process
        if self.gone or not self._say({"do": "here", "again": again, "descriptors": 3}, process.theirs):
            process.abandon()
            return False
        process.born(self.pid)
        if self._orphan:
            process.orphaned()
        return True

    def retire(self) -> None:
        """Let it end as soon as it has no children: it alone can tell how they end."""
        self._retired = True
        self._close_if_idle()

    def kill(self) -> None:
        """End it, and all processes that it started for itself."""
        if self.pid and not self.gone:
            with contextlib.suppress(OSError):
                os.killpg(self.pid, signal.SIGKILL)
        self.close()

    def close(self) -> None:
        """Hang up: it ends when it stands by, or after the run that it executes."""
        self.gone = True
        if self.pid:
            self._watch.remove(self._control.fileno(), self._hang_up)

    def _say(self, order: dict[str, Any], descriptors: list[int] | None = None) -> bool:
        try:
            with self._lock:
                socket.send_fds(self._control, [json.dumps(order).encode() + b"\n"], descriptors or [])
        except (OSError, ValueError):
            return False
        return True

    # What it says, in the watching thread.

    def _hear(self) -> None:
        try:
            data = self._control.recv(1 << 16)
        except OSError:
            data = b""
        if not data:
            self.close()
            return
        *lines, self._text = (self._text + data).split(b"\n")
        for line in lines:
            self._take(json.loads(line))

    def _take(self, told: dict[str, Any]) -> None:
        if "born" in told:
            self._children[told["born"]].born(told["pid"])
        elif "unborn" in told:
            self._lose(told["unborn"])
        elif "ended" in told:
            with self._lock:
                child = self._children.pop(told["ended"])
            child.ended(told["exit"])
            self._close_if_idle()
        else:
            self.facts = told
            self._answered.set()

    def _lose(self, number: int) -> None:
        with self._lock:
            child = self._children.pop(number, None)
        if child is not None:
            child.unborn()

    def _close_if_idle(self) -> None:
        if self._retired and not self._children:
            self.close()

    def _hang_up(self) -> None:
        self._control.close()
        self._answered.set()
        with self._lock:
            children, self._children = self._children, {}
        for child in children.values():
            if child.theirs:
                child.unborn()
            else:
                child.orphaned()
