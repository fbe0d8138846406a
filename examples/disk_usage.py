"""What takes the space? A tree of directories, each of them a task that submits its own parts.

What it shows: recursion. Nobody knows the graph before; tasks submit tasks and wait for them, as deep as the tree is,
and a pool of two threads doesn't run dry.

    python -m examples.disk_usage docs
"""

from __future__ import annotations

import sys
from dataclasses import dataclass
from pathlib import Path

from orchestrator import flow, get_run_logger, task
from orchestrator.task_runners import ThreadPoolTaskRunner


@dataclass
class Usage:
    """What a directory holds (bytes), its files and all below it."""

    path: str
    size: int
    files: int
    largest: list[tuple[int, str]]


@task(task_run_name="{folder.name}")
def measure(folder: Path, largest: int) -> Usage:
    """Add up a directory: its own files, and what its parts come to."""
    entries = [entry for entry in folder.iterdir() if not entry.is_symlink()]
    parts = [measure.submit(entry, largest) for entry in entries if entry.is_dir()]
    own = [(entry.stat().st_size, str(entry)) for entry in entries if entry.is_file()]
    below = [part.result() for part in parts]
    biggest = sorted([*own, *(one for part in below for one in part.largest)], reverse=True)[:largest]
    size = sum(size for size, _ in own) + sum(part.size for part in below)
    return Usage(str(folder), size, len(own) + sum(part.files for part in below), biggest)


@flow(task_runner=ThreadPoolTaskRunner(max_workers=2))
def disk_usage(root: Path, largest: int = 5) -> Usage:
    """Measure a directory and all below it.

    Args:
        root: Where to begin.
        largest: How many of the largest files to name.
    """
    usage = measure.submit(root, largest).result()
    log = get_run_logger()
    log.info("%s: %d bytes in %d files", usage.path, usage.size, usage.files)
    for size, path in usage.largest:
        log.info("%12d  %s", size, path)
    return usage


if __name__ == "__main__":
    disk_usage(Path(sys.argv[1] if len(sys.argv) > 1 else "."))
