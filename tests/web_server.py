"""One web server for all tests of a process: to start one takes longer than most of them."""

from __future__ import annotations

import os
import sys

from orchestrator.server.embedded import ports
from orchestrator.server.embedded.children import Child
from orchestrator.server.embedded.console import Console
from orchestrator.server.embedded.processes import Supervisor

START_SECONDS = 300
OF_NO_SERVER = {"PYTEST_CURRENT_TEST", "DJANGO_ALLOW_ASYNC_UNSAFE"}


class WebServer:
    """It serves this worker's database. What it has in memory belongs to ids and secrets that no other test has.

    It is started for the first test that asks, and again for one that has changed the environment, or after that.
    """

    def __init__(self) -> None:
        self.port = ports.any_free()
        self.url = f"http://127.0.0.1:{self.port}"
        self._supervisor = Supervisor(Console(sys.stderr))
        self._variables: dict[str, str] = {}

    def serve(self) -> str:
        """The address at which a server with the present environment answers."""
        variables = {name: value for name, value in os.environ.items() if name not in OF_NO_SERVER}
        variables |= {"ORCHESTRATOR_DATABASE_LOGIN": "web", "PUBLIC_URL": self.url}
        if variables != self._variables:
            self.stop()
            self._start(variables)
        self._supervisor.wait_until(lambda: ports.accepts("127.0.0.1", self.port), "The web server", START_SECONDS)
        return self.url

    def stop(self) -> None:
        self._supervisor.stop_all()
        self._variables = {}

    def _start(self, variables: dict[str, str]) -> None:
        command = [sys.executable, "-m", "granian", "--interface", "asginl", "--port", str(self.port)]
        command += ["--log-level", "warning", "orchestrator.server.asgi:application"]
        self._supervisor.add(Child("web", command, lambda: variables))
        self._variables = variables
