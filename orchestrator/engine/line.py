"""The line between a run's process and its agent: a socket that carries one JSON text a line, in both directions.

The agent says first what to run, then what the run has to know; the process says at last how it ended. The line's end
means that the agent is gone. The process then seeks its successor, the next agent of the same name and pool, which
listens on a socket in a directory that only this user can enter, and goes on under it; when none comes in time, the
run stops.
"""

from __future__ import annotations

import contextlib
import json
import os
import select
import socket
import threading
import time
from typing import TYPE_CHECKING, Any

from orchestrator.exceptions import RunTerminated

if TYPE_CHECKING:
    from orchestrator.engine.flow_run import FlowRun

ENDED_EARLY = 70
SEEK_EVERY = 0.1  # seconds between two looks for the agent's successor
ANSWER_WITHIN = 5.0
# Of the claim, to a successor.
_TOLD = ("run", "attempt", "token", "name", "job_variables", "job_configuration", "process", "lease_seconds")


class Line:
    """The process's end of the line.

    Args:
        connection: The socket.
        output: The reading end of what the process prints into. As long as the process holds it, printing never
            fails for want of a reader; while there is no agent the process itself reads, and throws away.
    """

    def __init__(self, connection: socket.socket, output: int) -> None:
        self._connection = connection
        self._reader = connection.makefile("rb")
        self._output = output
        self._order: dict[str, Any] = {}
        self._run: FlowRun | None = None
        self._early: list[str] = []
        self._lock = threading.Lock()
        self._over = False

    def order(self) -> dict[str, Any]:
        """What to run.

        Raises:
            EOFError: The agent ended before it said so.
        """
        text = self._reader.readline()
        if not text.endswith(b"\n"):
            raise EOFError
        self._order = json.loads(text)
        return self._order

    def listen(self) -> None:
        """Hear signals from now on."""
        threading.Thread(target=self._listen, name="orchestrator-agent", daemon=True).start()

    def introduce(self, run: FlowRun) -> None:
        """From now on signals go to this run."""
        with self._lock:
            self._run = run
            early, self._early = self._early, []
        for word in early:
            self._pass_on(word)

    def end(self, code: int, again: bool = False) -> None:
        """Say how the run ended. Nothing is heard afterwards.

        Args:
            again: True when this process can take another run.
        """
        with self._lock:
            self._over = True
        with contextlib.suppress(OSError):
            self._connection.settimeout(ANSWER_WITHIN)
            self._connection.sendall(json.dumps({"exit": code, "again": again}).encode() + b"\n")

    def close(self) -> None:
        """Let go of both descriptors: the process lives on without this run."""
        with contextlib.suppress(OSError):
            self._connection.shutdown(socket.SHUT_RDWR)
        self._connection.close()
        os.close(self._output)

    # The listening thread.

    def _listen(self) -> None:
        self._hear()
        while not self._over and self._find_successor():
            self._hear()
        if self._over:
            return
        self._pass_on("gone")
        time.sleep(float(self._order.get("grace", 10.0)))
        if not self._over:
            os._exit(ENDED_EARLY)

    def _hear(self) -> None:
        with contextlib.suppress(OSError, ValueError):
            for text in self._reader:
                self._pass_on(str(json.loads(text).get("signal")))

    def _pass_on(self, word: str) -> None:
        with self._lock:
            run = self._run
            if run is None:
                self._early.append(word)
                return
        if word == "gone":
            run.stopping_state.stop(RunTerminated("The agent that started this run is gone."))
        else:
            run.stopping_state.signalled(word)

    # Adoption.

    def _find_successor(self) -> bool:
        adoption = self._order.get("adoption")
        if not adoption:
            return False
        lost = time.monotonic()
        while not self._over and time.monotonic() - lost < adoption["seconds"]:
            answer = self._introduce_to_successor(adoption, time.monotonic() - lost)
            if answer is not None:
                return answer
            self._throw_away_output(SEEK_EVERY)
        return False

    def _introduce_to_successor(self, adoption: dict[str, Any], silent: float) -> bool | None:
        """Ask to be taken; None when nobody is there."""
        claim = self._order["claim"]
        introduction = {
            "secret": adoption["secret"],
            "pid": os.getpid(),
            "silent": silent,
            "claim": {name: claim.get(name) for name in _TOLD},
        }
        connection = socket.socket(socket.AF_UNIX)
        try:
            connection.settimeout(ANSWER_WITHIN)
            connection.connect(adoption["path"])
            text = json.dumps(introduction).encode() + b"\n"
            socket.send_fds(connection, [text], [self._output])
            reader = connection.makefile("rb")
            answer = json.loads(reader.readline() or b"null")
        except (OSError, ValueError):
            connection.close()
            return None
        if not answer or not answer.get("adopted"):
            connection.close()
            return None if not answer else False
        connection.settimeout(None)
        with self._lock:
            self._connection, self._reader = connection, reader
        return True

    def _throw_away_output(self, seconds: float) -> None:
        """Keep what is printed from filling the pipe, for so long."""
        until = time.monotonic() + seconds
        while (left := until - time.monotonic()) > 0:
            readable, _, _ = select.select([self._output], [], [], left)
            if readable:
                with contextlib.suppress(BlockingIOError):
                    if not os.read(self._output, 1 << 16):
                        time.sleep(max(0.0, until - time.monotonic()))
