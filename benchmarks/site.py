"""What is measured at: one product with its server, its database and its executor, running."""

import os
import shutil
import tempfile
from collections.abc import Iterator, Mapping
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path
from typing import Protocol

from benchmarks.clients import Client
from benchmarks.sizes import Sizes

PROGRAMS = Path(__file__).parent / "programs"
CHECKOUT = Path(__file__).parent.parent
LASTING_TEMPORARY = Path("/var/tmp")
"""`/tmp` may be memory, where fsync costs nothing."""


class Records(Protocol):
    """What a product has recorded, asked of its store."""

    def wait_recorded(self, run: str, count: int, timeout: float) -> None:
        """Wait until all tasks of a run are recorded."""
        ...

    def wait_completed(self, run: str, timeout: float) -> float:
        """Wait until a run has completed; when that was, in seconds since 1970."""
        ...

    def scheduled(self, begin: float, end: float) -> list[tuple[str, float, float]]:
        """Runs that schedules made for times between two moments: whose, for when, made when."""
        ...

    def copy_run(self, run: str, count: int) -> None:
        """Add so many runs like this one, a second apart, back from it."""
        ...


class Site(Protocol):
    """One product, running. Most suites in `measure/` know nothing else of it."""

    title: str
    product: str
    imports: str
    """What a user's module begins with."""
    client_program: str = "client.py"
    lacks: frozenset[str] = frozenset()
    """Suites that measure what it has no concept of."""
    sizes: Sizes
    python: Path
    environment: Mapping[str, str]
    """Of user processes: they are attached to the server."""
    directory: Path
    """Gone afterwards."""
    database: Records
    ways: tuple[str, ...]
    """How triggered runs are executed: its default first, then what else is told apart."""
    swift: str
    """The way that leaves waiting out."""
    pool: str
    """Where its executor looks for runs."""

    def running(self) -> AbstractContextManager["Site"]:
        """Start it, and stop it after the block."""
        ...

    def pids(self) -> list[int]:
        """The processes whose families are everything that serves."""
        ...

    def executor(self, way: str) -> AbstractContextManager[int]:
        """Have triggered runs executed for as long as the block runs; the executor's first process."""
        ...

    def trigger(self, deployment: str, parameters: Mapping[str, object]) -> str:
        """Ask for a run; its id."""
        ...

    def serving(self) -> list[int]:
        """As `pids`, without any executor."""
        ...

    def limited(self, limit: int) -> AbstractContextManager[str]:
        """An executor of so many runs at once, for as long as the block runs; the pool that it works for."""
        ...

    def idle_pool(self) -> str:
        """A pool that no executor works for."""
        ...

    def list_runs(self, count: int, state: str = "") -> int:
        """Ask the API for the newest runs, of a state; how many came."""
        ...


def client(site: Site, programs: Path = PROGRAMS) -> Client:
    """A fresh user process."""
    return Client([site.python, programs / site.client_program], site.environment, site.directory / "client.log")


@contextmanager
def temporary_directory() -> Iterator[Path]:
    """A directory on a disk, which the database's own user can reach."""
    parent = LASTING_TEMPORARY if LASTING_TEMPORARY.is_dir() else None
    path = Path(tempfile.mkdtemp(prefix="orchestrator-benchmark-", dir=parent))
    try:
        os.chmod(path, 0o711)
        yield path
    finally:
        shutil.rmtree(path, ignore_errors=True)
