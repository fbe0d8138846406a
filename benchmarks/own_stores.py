"""The embedded stores for a rival, when none were given: the same servers with the same settings as ours."""

import subprocess
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from benchmarks.processes import end_rest, family
from orchestrator.server.embedded import data_directory, ports
from orchestrator.server.embedded.children import Child
from orchestrator.server.embedded.console import Console
from orchestrator.server.embedded.postgres import Postgres
from orchestrator.server.embedded.valkey import Valkey

START_SECONDS = 60
STOP_SECONDS = 30
PASSWORD = "benchmark"


@contextmanager
def postgres(directory: Path) -> Iterator[str]:
    """PostgreSQL, fsync included; the superuser's address."""
    data_dir = directory / "data"
    data_directory.prepare(data_dir)
    server = Postgres(data_dir, ports.any_free(), durable=True)
    server.initialize()
    with _running(server.child(), server.ready, directory):
        yield server.admin_url


@contextmanager
def valkey(directory: Path) -> Iterator[str]:
    """Valkey, with all that it was told on the disk within a second."""
    data_dir = directory / "data"
    data_directory.prepare(data_dir)
    server = Valkey(data_dir, ports.any_free(), PASSWORD, durable=True)
    with _running(server.child(), server.ready, directory):
        yield server.url()


@contextmanager
def _running(child: Child, ready: Callable[[], bool], directory: Path) -> Iterator[None]:
    with (directory / f"{child.name}.log").open("w") as log:
        child.start(Console(log))
        assert child.process is not None
        try:
            deadline = time.monotonic() + START_SECONDS
            while not ready():
                if time.monotonic() > deadline:
                    raise TimeoutError(f"{child.name} didn't start.")
                time.sleep(0.05)
            yield
        finally:
            below = family(child.process.pid)
            child.ask_to_stop()
            with suppress(subprocess.TimeoutExpired):
                child.process.wait(STOP_SECONDS)
            end_rest(below)
