"""A child process of a task runner: performs one call after the other in its main thread.

It is a fresh interpreter that was told `sys.path`, so it imports what it is asked to call and nothing else; in
particular not the script that `__main__` was. It ends when its parent does, however that ended.
"""

from __future__ import annotations

import contextlib
import os
import queue
import signal
import socket
import sys
import threading
from typing import Any, NoReturn

from orchestrator import masking
from orchestrator.elsewhere import calls, outcomes
from orchestrator.elsewhere.bodies import perform
from orchestrator.elsewhere.frames import BEGAN, CALL, DONE, INTRODUCTION, SECRETS, STOP, Reader
from orchestrator.elsewhere.pickling import dumps, loads
from orchestrator.elsewhere.upward import Upward
from orchestrator.exceptions import NotPicklable

FLUSH_SECONDS = 10.0
_SET_DEATH_SIGNAL = 1  # PR_SET_PDEATHSIG


class Child:
    """This process."""

    def __init__(self, connection: socket.socket) -> None:
        self._connection = connection
        self._upward = Upward(connection)
        self._flow_run: calls.FlowRunElsewhere | None = None
        self._calls: queue.SimpleQueue[bytes | None] = queue.SimpleQueue()
        self._introduced: queue.SimpleQueue[bytes | None] = queue.SimpleQueue()
        self._secrets: set[str] = set()
        threading.Thread(target=self._listen, name="orchestrator-parent", daemon=True).start()

    def serve(self) -> None:
        """Perform calls until the parent wants no more."""
        introduction = self._introduced.get()
        if introduction is None:
            return
        self._enter(loads(introduction))
        while (call := self._calls.get()) is not None:
            self._upward.busy = True
            outcome = self._perform(call)
            self._upward.busy = False
            del call
            self._tell_secrets()
            self._upward.say(DONE, outcome)
            del outcome
        self._upward.flush(FLUSH_SECONDS)

    def _enter(self, told: dict[str, Any]) -> None:
        if told["execution"] is not None:
            for stream in (sys.stdout, sys.stderr):  # The agent reads them, and tells the server their last lines.
                masking.guard(stream)
        stream = self._upward.open(told["flows"][0]["id"]) if told["told"] else None
        self._flow_run = calls.enter(told, stream)
        self._secrets = set(masking.hidden())
        self._flow_run.root.stopping_state.arm()

    def _perform(self, call: bytes) -> bytes:
        assert self._flow_run is not None
        try:
            run = calls.unpack(call, self._flow_run)
        except NotPicklable as error:
            return outcomes.of_error(error)
        self._upward.say(BEGAN)
        if run.definition.timeout_seconds is not None:
            self._upward.flush(FLUSH_SECONDS)  # What never lets go of the interpreter would keep it from being sent.
        return perform(run)

    def _tell_secrets(self) -> None:
        new = set(masking.hidden()) - self._secrets
        if new:
            self._secrets |= new
            self._upward.say(SECRETS, dumps(sorted(new)))

    # The listening thread.

    def _listen(self) -> None:
        reader = Reader()
        with contextlib.suppress(OSError):
            while data := self._connection.recv(1 << 20):
                reader.feed(data)
                while (message := reader.next()) is not None:
                    self._hear(*message)
        if self._upward.busy:
            os.kill(os.getpid(), signal.SIGKILL)
        self._introduced.put(None)
        self._calls.put(None)

    def _hear(self, kind: bytes, payload: bytes) -> None:
        if kind == INTRODUCTION:
            self._introduced.put(payload)
        elif kind == CALL:
            self._calls.put(payload)
        elif kind == STOP:
            if self._flow_run is None:
                os._exit(0)
            self._flow_run.root.stopping_state.stop(loads(payload))


def main(descriptor: int, parent: int) -> NoReturn:
    """Be a child of the process `parent`, which is at the other end of the socket `descriptor`."""
    from orchestrator.engine.execute import end_process

    _die_with(parent)
    # Ctrl-C reaches everybody at the terminal. The parent decides what becomes of the call.
    signal.signal(signal.SIGINT, lambda *_: None)
    connection = socket.socket(fileno=descriptor)
    connection.set_inheritable(False)
    Child(connection).serve()
    end_process(0)


def _die_with(parent: int) -> None:
    """Have the kernel kill this process when its parent is gone, were it in the midst of a call into C."""
    if sys.platform == "linux":
        import ctypes

        ctypes.CDLL(None).prctl(_SET_DEATH_SIGNAL, signal.SIGKILL)
    if os.getppid() != parent:
        os._exit(1)
