"""Where an embedded stack keeps its data, and the lock that one running stack holds on it."""

import fcntl
import hashlib
import json
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from orchestrator.server.embedded import StackError, unprivileged

SYSTEM_STATE_DIR = Path("/var/lib/orchestrator")
STACK_FILE = "stack.json"
LOCK_FILE = "up.lock"


def default(checkout: Path) -> Path:
    """`.data` in the checkout; for root a folder of the system's state where `nobody` can't reach the checkout."""
    if unprivileged.account() is None or unprivileged.reachable(checkout):
        return checkout / ".data"
    digest = hashlib.sha256(os.fsencode(checkout)).hexdigest()[:10]
    return SYSTEM_STATE_DIR / f"{checkout.name}-{digest}"


def prepare(directory: Path) -> None:
    """Make the directory for its owner alone; under root the servers' user may pass through it, and read nothing."""
    under_root = unprivileged.account() is not None
    if under_root and not unprivileged.reachable(directory.parent):
        raise StackError(
            f"The database runs as user {unprivileged.NAME}, who can't reach {directory}. "
            f"Choose a directory below {SYSTEM_STATE_DIR} by --data-dir, or start as an ordinary user."
        )
    if directory.exists() and directory.stat().st_uid != os.geteuid():
        raise StackError(
            f"{directory} belongs to {directory.owner()}. Start as that user, or choose another --data-dir."
        )
    missing = [each for each in directory.parents if not each.exists()]
    directory.mkdir(parents=True, exist_ok=True)
    for each in missing:
        each.chmod(0o755 if under_root else 0o700)
    directory.chmod(0o711 if under_root else 0o700)


@contextmanager
def lock(directory: Path) -> Iterator[None]:
    """Hold the directory for as long as the block runs. The system lets go of it when the process dies."""
    with (directory / LOCK_FILE).open("w") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            url = read_stack(directory).get("PUBLIC_URL", "an address that isn't known yet")
            raise StackError(
                f"A stack of {directory} runs already: {url}. Stop it, or choose another --data-dir."
            ) from None
        yield


def read_stack(directory: Path) -> dict[str, Any]:
    """What the last start wrote; empty before the first one, or when the file was cut off."""
    try:
        return json.loads((directory / STACK_FILE).read_text(encoding="utf-8"))
    except (FileNotFoundError, json.JSONDecodeError):
        return {}


def write_stack(directory: Path, content: dict[str, Any]) -> None:
    """Replace the file at once, readable by its owner alone."""
    write_private(directory / STACK_FILE, json.dumps(content, indent=2) + "\n")


def write_private(path: Path, text: str, owner: unprivileged.Account | None = None) -> None:
    """Write a file that only its owner may read: whole or not at all."""
    beside = path.with_name(f".{path.name}.{os.getpid()}")
    descriptor = os.open(beside, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
    with os.fdopen(descriptor, "w", encoding="utf-8") as file:
        file.write(text)
        file.flush()
        os.fsync(file.fileno())
    unprivileged.own(beside, owner)
    beside.replace(path)


def prepare_for_server(directory: Path) -> unprivileged.Account | None:
    """Make a directory that belongs to the user of the servers alone; return that user."""
    owner = unprivileged.account()
    directory.mkdir(exist_ok=True)
    directory.chmod(0o700)
    unprivileged.own(directory, owner)
    return owner
