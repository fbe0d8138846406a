"""Runs that have lost their agent find its successor: the next agent of the same name and pool on this machine.

Each agent listens on a socket in a directory that only its user may enter. A run's process knows the socket's path
and a secret that proves what it is. When its line ends it comes here, with what it prints, and is held again.
"""

from __future__ import annotations

import contextlib
import hashlib
import hmac
import json
import os
import secrets
import shutil
import socket
import stat
import tempfile
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from orchestrator.agent.launchers import Claimed, Execution
from orchestrator.agent.log import Log
from orchestrator.agent.memory import Bounds
from orchestrator.agent.process import AdoptedProcess
from orchestrator.agent.settings import SIGNALS_WITHIN, Settings
from orchestrator.agent.watch import Watch
from orchestrator.config import home

MAX_PATH = 103  # bytes; macOS takes no more
INTRODUCED_WITHIN = 5.0
MAX_INTRODUCTION = 1 << 20

Adopt = Callable[[Claimed, Execution], bool]


class Adoption:
    """The socket, and the secret."""

    def __init__(self, url: str, settings: Settings, watch: Watch, log: Log, bounds: Bounds) -> None:
        self._bounds = bounds
        self._settings = settings
        self._watch = watch
        self._log = log
        self._listener: socket.socket | None = None
        self._directory = directory_of(url, settings.pool, settings.name)
        self._path = str(self._directory / "socket")
        self._secret = b""
        self._adopt: Adopt = lambda claimed, execution: False

    def open(self, adopt: Adopt) -> bool:
        """Listen from now on; True when the agent before this one may have left runs."""
        try:
            _make_private(self._directory)
            self._secret = self._read_secret()
            before = self._take_place()
            self._listener = listener = socket.socket(socket.AF_UNIX)
            listener.bind(self._path)
            listener.listen(1_024)
            listener.setblocking(False)
        except OSError as error:
            self._listener = None
            self._log.warning(f"runs would not outlive this agent: {error}")
            return False
        self._adopt = adopt
        self._watch.add(listener.fileno(), self._accept)
        return before

    def order(self, claimed: Claimed) -> dict[str, Any] | None:
        """What a run's process has to know to be adopted. It has half of its lease for that."""
        if self._listener is None:
            return None
        return {"path": self._path, "secret": self._proof(claimed), "seconds": claimed.lease_seconds / 2}

    def close(self, keep: bool) -> None:
        """Listen no more. What is kept tells the next agent that there are runs to be found."""
        if self._listener is None:
            return
        self._watch.remove(self._listener.fileno(), self._listener.close)
        if not keep:
            shutil.rmtree(self._directory, ignore_errors=True)

    def _take_place(self) -> bool:
        """Remove the socket of an agent that is no more; True when there was one."""
        if not os.path.exists(self._path):
            return False
        with socket.socket(socket.AF_UNIX) as probe, contextlib.suppress(ConnectionRefusedError):
            probe.connect(self._path)
            raise FileExistsError(f"another agent named {self._settings.name!r} runs on this machine")
        os.unlink(self._path)
        return True

    def _read_secret(self) -> bytes:
        path = self._directory / "secret"
        if not path.exists():
            with open(os.open(path, os.O_WRONLY | os.O_CREAT, 0o600), "wb") as file:
                file.write(secrets.token_bytes(32))
        return path.read_bytes()

    def _proof(self, claimed: Claimed) -> str:
        return hmac.new(self._secret, f"{claimed.run}.{claimed.attempt}".encode(), hashlib.sha256).hexdigest()

    # Introductions.

    def _accept(self) -> None:
        if self._listener is None:
            return
        with contextlib.suppress(OSError):
            connection, _ = self._listener.accept()
            threading.Thread(target=self._receive, args=(connection,), name="agent-adoption", daemon=True).start()

    def _receive(self, connection: socket.socket) -> None:
        descriptors: list[int] = []
        try:
            connection.settimeout(INTRODUCED_WITHIN)
            told = json.loads(_introduction(connection, descriptors))
            adopted = self._take(told, connection, descriptors)
        except (OSError, ValueError, KeyError, TypeError, IndexError) as error:
            self._log.warning(f"somebody came who is no run of this agent: {error!r}")
            adopted = False
        if not adopted:
            for descriptor in descriptors:
                os.close(descriptor)
            connection.close()

    def _take(self, told: dict[str, Any], connection: socket.socket, descriptors: list[int]) -> bool:
        claim = told["claim"]
        # The former agent renewed the lease at most one heartbeat before it was lost.
        seconds = float(claim["lease_seconds"])
        renewed = time.monotonic() - float(told["silent"]) - min(SIGNALS_WITHIN, seconds / 4)
        claimed = Claimed(claim, leased_until=renewed + seconds)
        if not hmac.compare_digest(self._proof(claimed), str(told["secret"])):
            raise ValueError("its secret is wrong")
        process = AdoptedProcess(
            claimed, self._settings, self._watch, line=connection, output=descriptors[0], pid=int(told["pid"])
        )
        self._bounds.add(process)
        process.say({"adopted": True})
        if not self._adopt(claimed, process):
            process.say({"signal": "superseded"})
            return False
        process.begin()
        return True


def _introduction(connection: socket.socket, descriptors: list[int]) -> bytes:
    text = b""
    while not text.endswith(b"\n"):
        data, more, _, _ = socket.recv_fds(connection, 1 << 16, 1)
        descriptors.extend(more)
        text += data
        if not data or len(text) > MAX_INTRODUCTION:
            raise ValueError("it did not introduce itself")
    return text


def directory_of(url: str, pool: str, name: str) -> Path:
    """The directory of an agent: the same for the same names. It is short, since paths of sockets have to be."""
    known = hashlib.sha256("\0".join([url, pool, name]).encode()).hexdigest()[:8]
    directory = home().absolute() / "agents" / known
    if len(os.fsencode(directory / "socket")) <= MAX_PATH:
        return directory
    return Path(tempfile.gettempdir()) / f"orchestrator-{os.getuid()}-{known}"


def is_taken(url: str, pool: str, name: str) -> bool:
    """Whether an agent of this name runs on this machine."""
    with socket.socket(socket.AF_UNIX) as probe:
        try:
            probe.connect(str(directory_of(url, pool, name) / "socket"))
        except OSError:
            return False
        return True


def _make_private(directory: Path) -> None:
    directory.mkdir(parents=True, exist_ok=True, mode=0o700)
    facts = directory.stat()
    if facts.st_uid != os.getuid() or stat.S_IMODE(facts.st_mode) & 0o077:
        raise PermissionError(f"{directory} may be entered by others than this user; remove it")
