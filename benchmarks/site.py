"""What is measured at: one product with its server, its database and its executor, running."""

import os
import shutil
import tempfile
from collections.abc import Iterator, Mapping
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path
from typing import Protocol

from benchmarks.clients import Client
from benchmarks.database import Database
from benchmarks.sizes import Sizes

PROGRAMS = Path(__file__).parent / "programs"
CHECKOUT = Path(__file__).parent.parent
LASTING_TEMPORARY = Path("/var/tmp")
"""`/tmp` may be memory, where fsync costs nothing."""


class Site(Protocol):
    """One product, running. The suites in `measure/` know nothing else of it."""

    title: str
    product: str
    """The module that users import."""
    sizes: Sizes
    python: Path
    environment: Mapping[str, str]
    """Of user processes: they are attached to the server."""
    directory: Path
    """Gone afterwards."""
    database: Database
    polls: tuple[str, ...]
    """How often an executor may ask for work: `default` and, for what polls, `fast`."""

    def running(self) -> AbstractContextManager["Site"]:
        """Start it, and stop it after the block."""
        ...

    def pids(self) -> list[int]:
        """The processes whose families are everything that serves."""
        ...

    def executor(self, poll: str) -> AbstractContextManager[None]:
        """Have triggered runs executed for as long as the block runs."""
        ...

    def trigger(self, deployment: str, parameters: Mapping[str, object]) -> str:
        """Ask by the API for a run; its id."""
        ...


def client(site: Site) -> Client:
    """A fresh user process."""
    return Client([site.python, PROGRAMS / "client.py"], site.environment, site.directory / "client.log")


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
