"""Copies of code that is kept elsewhere: each in a directory of this machine that no later one replaces.

Another process may be running what lies there, so a copy is made beside and given its name when it is whole, and goes
when nobody has used it for a long time.
"""

from __future__ import annotations

import contextlib
import fcntl
import os
import shutil
import tempfile
import time
from collections.abc import Generator
from pathlib import Path

from orchestrator.config import home
from orchestrator.exceptions import LoadError

FETCH_SECONDS = 300.0
KEPT_SECONDS = 30 * 86_400.0  # after the last use
IN_USE_SECONDS = 2 * 86_400.0  # after which nobody is taken to run what was fetched
MAX_COPIES = 200


def place_of(key: str, version: str) -> Path:
    """Where the copy is, or would be, of a version of what the key stands for."""
    return home() / "sources" / f"{key}-{version}"


def use(copy: Path) -> Path:
    """Note that a copy is used."""
    with contextlib.suppress(OSError):
        os.utime(copy)
    return copy


@contextlib.contextmanager
def draft() -> Generator[Path]:
    """A place to make a copy in, on the same file system as all of them; removed in the end."""
    sources = home() / "sources"
    sources.mkdir(parents=True, exist_ok=True, mode=0o700)
    _forget_old(sources)
    with tempfile.TemporaryDirectory(dir=sources, prefix=".fetching-", ignore_cleanup_errors=True) as folder:
        yield Path(folder, "code")


def keep(made: Path, copy: Path) -> Path:
    """Give a copy that is whole its name."""
    with contextlib.suppress(OSError):  # Another process has it there already, and may be running it.
        made.rename(copy)
    return copy


def _forget_old(sources: Path) -> None:
    """Remove what nobody has used for a long time, and of too many the oldest that nobody can be running."""
    ages: list[tuple[float, Path]] = []
    for path in sources.iterdir():
        with contextlib.suppress(FileNotFoundError):  # Another process does the same.
            ages.append((time.time() - path.stat().st_mtime, path))
    ages.sort()
    for number, (age, path) in enumerate(ages):
        if age > KEPT_SECONDS or (number >= MAX_COPIES and age > IN_USE_SECONDS):
            shutil.rmtree(path, ignore_errors=True)


@contextlib.contextmanager
def locked(key: str) -> Generator[None]:
    """One process and thread at a time fetches what the key stands for."""
    locks = home() / "locks"
    locks.mkdir(parents=True, exist_ok=True, mode=0o700)
    with (locks / f"{key}.lock").open("a") as file:
        until = time.monotonic() + FETCH_SECONDS
        while True:
            try:
                fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
                break
            except OSError:
                if time.monotonic() > until:
                    raise LoadError("Another process has been fetching the same code for too long.") from None
                time.sleep(0.05)
        yield
