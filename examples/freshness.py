"""Do nothing when there is nothing to do, and say so.

What it shows: states as values. A task and a flow return the state that they should end in, under a name of their own
(`Skipped`, `Stale`): pages count and colour it by its type, lists can be filtered by the name, and the caller decides
by it without exceptions.

    python -m examples.freshness
"""

from __future__ import annotations

import hashlib
from datetime import UTC, datetime, timedelta
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from orchestrator import State, flow, task
from orchestrator.states import Completed, Failed


@task
def check_age(source: Path, most: timedelta) -> State | timedelta:
    """How old the source is. Too old is a failure that has a name."""
    age = datetime.now(UTC) - datetime.fromtimestamp(source.stat().st_mtime, UTC)
    if age > most:
        return Failed(name="Stale", message=f"{source.name} is {age.days} days old, {most.days} are allowed")
    return age


@task
def fingerprint(source: Path) -> str:
    """The SHA-256 of the source."""
    return hashlib.sha256(source.read_bytes()).hexdigest()


@flow
def refresh(source: Path, target: Path, most_days: int = 7) -> State | Any:
    """Copy the source, in capitals, if it is fresh and has changed.

    Args:
        source: A text.
        target: The copy; what it was made from is noted beside it.
        most_days: Age up to which the source counts as fresh.
    """
    age = check_age(source, timedelta(days=most_days), return_state=True)
    if age.is_failed():
        return age
    note, now = target.with_suffix(".sha256"), fingerprint(source)
    if note.exists() and note.read_text() == now:
        return Completed(name="Skipped", message="the source is what it was")
    target.write_text(source.read_text().upper())
    note.write_text(now)
    return target.stat().st_size


if __name__ == "__main__":
    with TemporaryDirectory() as folder:
        text, copy = Path(folder, "text.txt"), Path(folder, "copy.txt")
        text.write_text("as plain as can be")
        for _ in range(2):
            print(refresh(text, copy, return_state=True))
