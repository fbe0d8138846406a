"""`manage.py up` in a directory of its own, as a person runs it: to be used from outside, killed, and started again."""

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

import psutil

from orchestrator.server import environment
from orchestrator.server.embedded import data_directory, ports
from orchestrator.server.embedded.console import Console
from orchestrator.server.embedded.processes import Supervisor
from orchestrator.server.embedded.stack import ADDRESS_NAMES, Stack
from tests.stack import restore

START_SECONDS = 300
STOP_SECONDS = 120
WORDS = {
    "postgres": "bin/postgres",
    "valkey": "valkey-server",
    "web": "granian",
    "work": "work@%h",
    "ticks": "ticks@%h",
    "agent": "orchestrator.cli",
}


class WholeStack:
    """One data directory, started by `running()`; the variables given hold for everything in it."""

    def __init__(self, directory: Path, **variables: str) -> None:
        self.data_dir = directory / "whole"
        self.log = directory / "up.log"
        self.variables = variables
        self.port = ports.any_free()
        self.process: subprocess.Popen[bytes] | None = None

    def filled(self, dump: Path) -> "WholeStack":
        """Make the database of the new directory from what was migrated before; its first start finds it."""
        data_directory.prepare(self.data_dir)
        with self.log.open("w") as log, data_directory.lock(self.data_dir):
            supervisor = Supervisor(Console(log))
            stack = Stack(self.data_dir, supervisor, {}, durable=False)
            try:
                stack.start_stores()
                stack.publish("")
                restore(dump, self.data_dir, stack.postgres.admin_url)
            finally:
                supervisor.stop_all()
        return self

    @contextmanager
    def running(self, *options: str) -> Iterator["WholeStack"]:
        """Start, wait until the web server answers, stop in the end; nothing survives."""
        self.start(*options)
        try:
            yield self
        finally:
            self.stop()

    def start(self, *options: str) -> None:
        with self.log.open("wb") as output:
            self.process = subprocess.Popen(
                self.command("up", "--port", str(self.port), *options),
                cwd=environment.BASE_DIR,
                env=self.environment(),
                stdout=output,
                stderr=subprocess.STDOUT,
                start_new_session=True,
            )
        deadline = time.monotonic() + START_SECONDS
        while "Orchestrator runs: " not in self.lines():
            assert self.process.poll() is None, self.lines()
            assert time.monotonic() < deadline, self.lines()
            time.sleep(0.05)

    def stop(self, number: signal.Signals = signal.SIGTERM) -> int:
        """Ask to stop and wait; the exit code."""
        assert self.process is not None
        self.process.send_signal(number)
        return self.process.wait(STOP_SECONDS)

    def kill_all(self) -> None:
        """Kill -9 of everything at once, as when the machine loses power."""
        assert self.process is not None
        whole = psutil.Process(self.process.pid)
        for each in [whole, *whole.children(recursive=True)]:
            with suppress(psutil.NoSuchProcess):
                each.kill()
        self.process.wait(STOP_SECONDS)

    def child(self, name: str) -> psutil.Process:
        """The child of that name, as the supervisor started it last."""
        assert self.process is not None
        for child in psutil.Process(self.process.pid).children():
            with suppress(psutil.Error):
                if any(WORDS[name] in word for word in child.cmdline()):
                    return child
        raise LookupError(f"{name} doesn't run:\n{self.lines()}")

    def manage(self, *arguments: str, check: bool = True) -> subprocess.CompletedProcess[str]:
        """Run a management command against this stack."""
        return subprocess.run(
            self.command(*arguments),
            cwd=environment.BASE_DIR,
            env=self.environment(),
            capture_output=True,
            text=True,
            timeout=START_SECONDS,
            check=check,
        )

    def bootstrap(self, *options: str) -> dict[str, Any]:
        """Make a person with organization, workspace and key; the agent starts with it."""
        names = ["--email", "alice@example.com", "--organization", "Acme", "--workspace", "Main"]
        return json.loads(self.manage("bootstrap", *names, *options, "--json").stdout)

    @property
    def addresses(self) -> dict[str, Any]:
        """What `stack.json` says: URLs of the portal, the database and Valkey."""
        return data_directory.read_stack(self.data_dir)

    @property
    def url(self) -> str:
        return self.addresses["PUBLIC_URL"]

    def lines(self) -> str:
        """Everything that `up` wrote since its last start."""
        return self.log.read_text(errors="replace")

    def command(self, *arguments: str) -> list[str]:
        return [sys.executable, "manage.py", *arguments, "--data-dir", str(self.data_dir)]

    def environment(self) -> dict[str, str]:
        """Without the addresses of the tests' own stack, which everything here would use instead."""
        ours = {*ADDRESS_NAMES, "ORCHESTRATOR_DATA_DIR", "ORCHESTRATOR_DATABASE_LOGIN"}
        return {name: value for name, value in os.environ.items() if name not in ours} | self.variables
