"""Processes that stand by with everything imported, so that a run begins in milliseconds.

`python -m orchestrator.engine.standby CONTROL` starts one that knows the SDK. What it becomes, its agent says through
the socket CONTROL, one JSON text a line, descriptors along with it:

    standby N     fork: the child stands by too, with a control socket of its own
    load          import a flow; answered by how many threads that left behind, and by the files it came from
    fork N        fork: the child executes one run
    here          execute a run in this very process, and then end, or take another one

As long as one thread is all it has, a process may fork: then it is a template. Its children are its own to reap and to
tell of. The end of the control socket means that the agent is gone, and ends a process that stands by; runs under way
have lines of their own (`line.py`) and outlive it.
"""

from __future__ import annotations

import contextlib
import gc
import json
import math
import os
import select
import signal
import socket
import sys
import time
from collections import deque
from typing import TYPE_CHECKING, Any, NoReturn

from orchestrator import config
from orchestrator.engine import execute, surroundings
from orchestrator.engine.line import Line

if TYPE_CHECKING:
    from orchestrator.flows import Flow
    from orchestrator.tasks import Task

LOOK_EVERY = 50  # milliseconds between two looks at children, where the system has no descriptors of processes


class Standby:
    """One process that stands by."""

    def __init__(self, control: socket.socket) -> None:
        self._control = control
        self._text = b""
        self._descriptors: deque[int] = deque()
        self._children: dict[int, tuple[int, int | None]] = {}  # pid → (number, descriptor of the process)
        self._flow: Flow[..., Any] | Task[..., Any] | None = None
        self._settings = surroundings.Settings()
        surroundings.settle()

    def serve(self) -> NoReturn:
        """Do what the agent says until it is gone."""
        while True:
            self._wait()
            while (order := self._next_order()) is not None:
                self._obey(order)

    # What the agent says.

    def _wait(self) -> None:
        """Until the agent says something. Children that end meanwhile are told of."""
        poll = select.poll()
        poll.register(self._control, select.POLLIN)
        for _, descriptor in self._children.values():
            if descriptor is not None:
                poll.register(descriptor, select.POLLIN)
        blind = any(descriptor is None for _, descriptor in self._children.values())
        ready = {descriptor for descriptor, _ in poll.poll(LOOK_EVERY if blind else None)}
        if self._children and ready != {self._control.fileno()}:
            self._reap()
        if self._control.fileno() in ready:
            self._receive()

    def _receive(self) -> None:
        try:
            data, descriptors, _, _ = socket.recv_fds(self._control, 1 << 16, 16)
        except OSError:
            data, descriptors = b"", []
        self._descriptors.extend(descriptors)
        self._text += data
        if not data:
            os._exit(0)

    def _next_order(self) -> dict[str, Any] | None:
        line, newline, rest = self._text.partition(b"\n")
        if not newline:
            return None
        self._text = rest
        return json.loads(line)

    def _tell(self, **words: Any) -> None:
        try:
            self._control.sendall(json.dumps(words).encode() + b"\n")
        except OSError:
            os._exit(0)

    def _obey(self, order: dict[str, Any]) -> None:
        descriptors = [self._descriptors.popleft() for _ in range(order.get("descriptors", 0))]
        word = order["do"]
        if word == "load":
            self._load(order)
        elif word == "standby":
            self._fork(order["number"], descriptors, self._stand_by)
        elif word == "fork":
            self._fork(order["number"], descriptors, self._execute)
        elif word == "here":
            self._execute_here(descriptors, again=order["again"])

    # Load.

    def _load(self, order: dict[str, Any]) -> None:
        """Import the flow. A process whose import failed is of no use: the run's own process will say why it fails."""
        from orchestrator.loading import load

        began = time.time_ns()
        signal.alarm(math.ceil(order["seconds"]))  # Were the agent gone, nobody else would end an import that hangs.
        try:
            self._settings = surroundings.go_to_import(order["directory"], order["environment"])
            with config.withheld() as asked:
                self._flow = loaded = load(order["entrypoint"], order["directory"])
            surroundings.prepare(loaded, self._settings)
        except BaseException as error:
            self._tell(failed=f"{type(error).__name__}: {error}"[:2_000])
            os._exit(1)
        signal.alarm(0)
        if asked:
            self._tell(failed="The code asks the server for something while it is imported, and no run is known yet.")
            os._exit(1)
        surroundings.settle()
        files, changed = surroundings.files_under(order["directory"], began)
        self._tell(loaded=True, threads=surroundings.threads(), files=files, changed=changed)

    # Fork.

    def _fork(self, number: int, descriptors: list[int], then: Any) -> None:
        try:
            pid = os.fork()
        except OSError as error:
            self._tell(unborn=number, why=str(error))
        else:
            if pid == 0:
                self._forget_parent()
                then(descriptors)
                return
            with contextlib.suppress(OSError):
                os.setpgid(pid, pid)
            self._children[pid] = (number, _descriptor_of(pid))
            self._tell(born=number, pid=pid)
        for descriptor in descriptors:
            os.close(descriptor)

    def _forget_parent(self) -> None:
        """In the child: a process group of its own, and none of the descriptors that belong to the parent."""
        with contextlib.suppress(OSError):
            os.setpgid(0, 0)
        self._control.close()
        for _, descriptor in self._children.values():
            if descriptor is not None:
                os.close(descriptor)
        for descriptor in self._descriptors:
            os.close(descriptor)
        self._descriptors.clear()
        self._children = {}
        self._text = b""

    def _stand_by(self, descriptors: list[int]) -> None:
        self._control = socket.socket(fileno=descriptors[0])

    def _execute(self, descriptors: list[int]) -> NoReturn:
        line = _connect(descriptors)
        try:
            order = line.order()
        except EOFError:
            os._exit(execute.ENDED_EARLY)
        if self._flow is None:
            surroundings.go_to(order["directory"], order["environment"])
        surroundings.begin_run(self._settings)
        execute.perform_and_exit(line, order, self._flow)

    def _reap(self) -> None:
        """Tell of children that have ended. What is left of their groups goes while the number is still taken."""
        for pid, (number, descriptor) in list(self._children.items()):
            if os.waitid(os.P_PID, pid, os.WEXITED | os.WNOHANG | os.WNOWAIT) is None:
                continue
            with contextlib.suppress(OSError):
                os.killpg(pid, signal.SIGKILL)
            _, status = os.waitpid(pid, 0)
            del self._children[pid]
            if descriptor is not None:
                os.close(descriptor)
            self._tell(ended=number, exit=os.waitstatus_to_exitcode(status))

    # Here.

    def _execute_here(self, descriptors: list[int], again: bool) -> None:
        kept = os.dup(1)
        line = _connect(descriptors)
        try:
            order = line.order()
        except EOFError:
            os._exit(execute.ENDED_EARLY)
        surroundings.begin_run(self._settings)
        if not again:
            execute.perform_and_exit(line, order, self._flow)
        surroundings.run_here(line, order, self._flow)
        os.dup2(kept, 1)
        os.dup2(kept, 2)
        os.close(kept)


def _connect(descriptors: list[int]) -> Line:
    """The line to the agent; what is printed goes to the agent from now on."""
    connection, output, reading = descriptors
    os.dup2(output, 1)
    os.dup2(output, 2)
    os.close(output)
    return Line(socket.socket(fileno=connection), reading)


def _descriptor_of(pid: int) -> int | None:
    try:
        return os.pidfd_open(pid)
    except (OSError, AttributeError):
        return None


def main(argv: list[str]) -> NoReturn:
    """Stand by."""
    surroundings.import_everything(secure=len(argv) > 2 and argv[2] == "https")
    control = socket.socket(fileno=int(argv[1]))
    control.set_inheritable(False)
    standby = Standby(control)
    standby._tell(ready=True, threads=surroundings.threads())
    standby.serve()


if __name__ == "__main__":
    gc.disable()
    main(sys.argv)
