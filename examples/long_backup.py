"""Copy a directory, file by file, and say how far it is.

What it shows: progress that is seen while it grows (a bar on the run's page; only the newest word is sent, however
often it is told), and a run that can be cancelled in the middle: its hook takes away what is half done.

    python -m examples.long_backup docs /tmp/docs-copy
"""

from __future__ import annotations

import shutil
import sys
from pathlib import Path
from typing import Any

from orchestrator import flow, get_run_logger, task
from orchestrator.artifacts import create_progress_artifact, update_progress_artifact


def take_away(flow: Any, run: Any, state: Any) -> None:
    """Cancelled: half a copy is worse than none."""
    shutil.rmtree(half_of(Path(run.parameters["target"])), ignore_errors=True)


def half_of(target: Path) -> Path:
    """Where the copy grows until it is whole."""
    return target.with_name(f"{target.name}.part")


@task
def files_of(source: Path) -> list[tuple[Path, int]]:
    """The files below a directory, relative to it, and their sizes (bytes)."""
    return [(path.relative_to(source), path.stat().st_size) for path in sorted(source.rglob("*")) if path.is_file()]


@task
def copy_all(source: Path, target: Path, files: list[tuple[Path, int]]) -> int:
    """Copy the files; how many bytes they have."""
    total, done = sum(size for _, size in files) or 1, 0
    bar = create_progress_artifact(progress=0.0, description=f"{len(files)} files")
    for path, size in files:
        (target / path).parent.mkdir(parents=True, exist_ok=True)
        shutil.copy2(source / path, target / path)
        done += size
        update_progress_artifact(bar, progress=100 * done / total)
    return done


@flow(on_cancellation=[take_away], on_crashed=[take_away])
def back_up(source: Path, target: Path) -> int:
    """Copy a directory beside the target, and put it in its place when it is whole; bytes copied.

    Args:
        source: What to copy.
        target: Where it shall be; what was there before is replaced.
    """
    half = half_of(target)
    shutil.rmtree(half, ignore_errors=True)
    half.mkdir(parents=True)
    copied = copy_all(source, half, files_of(source))
    shutil.rmtree(target, ignore_errors=True)
    half.rename(target)
    get_run_logger().info("%d bytes copied to %s", copied, target)
    return copied


if __name__ == "__main__":
    back_up(Path(sys.argv[1]), Path(sys.argv[2]))
