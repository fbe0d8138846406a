"""Code in a bucket, or at any other address: copied file by file when anything has changed there."""

from __future__ import annotations

import hashlib
import shutil
from pathlib import Path, PurePosixPath
from typing import TYPE_CHECKING

from orchestrator import copies
from orchestrator.exceptions import BlockError, LoadError

if TYPE_CHECKING:
    from orchestrator.result_storage.base import Listed, ResultStorage

MAX_BYTES = 400 << 20
MAX_FILES = 20_000


def copy_of(storage: ResultStorage, name: str) -> Path:
    """The directory of a copy of all that a storage holds.

    Args:
        name: The storage's address, for people and for the name of the copy.

    Raises:
        LoadError: It can't be read, is empty or too large, or holds a name that leads elsewhere.
    """
    key = hashlib.sha256(name.encode()).hexdigest()[:16]
    try:
        listed = _listed(storage, name)
        copy = copies.place_of(key, _fingerprint(listed))
        if not copy.is_dir():
            with copies.locked(key):
                if not copy.is_dir():
                    _fetch(storage, listed, copy)
    except (OSError, BlockError, NotImplementedError) as error:
        raise LoadError(f"The code at {name} can't be fetched: {error}") from error
    return copies.use(copy)


def _listed(storage: ResultStorage, name: str) -> list[Listed]:
    found: list[Listed] = []
    size = 0
    for each in storage.list():
        found.append(each)
        size += each.size
        if len(found) > MAX_FILES or size > MAX_BYTES:
            raise LoadError(f"What is at {name} has more than {MAX_FILES:,} files or {MAX_BYTES >> 20} MiB.")
    if not found:
        raise LoadError(f"There is nothing at {name}.")
    return sorted(found)


def _fingerprint(listed: list[Listed]) -> str:
    told = "\n".join(f"{each.path}\0{each.size}\0{each.etag or each.written}" for each in listed)
    return hashlib.sha256(told.encode()).hexdigest()[:40]


def _fetch(storage: ResultStorage, listed: list[Listed], copy: Path) -> None:
    with copies.draft() as draft:
        for each in listed:
            path = draft.joinpath(*_parts(each.path))
            path.parent.mkdir(parents=True, exist_ok=True)
            with storage.reading(each.path) as source, path.open("wb") as target:
                shutil.copyfileobj(source, target, 1 << 20)
        copies.keep(draft, copy)


def _parts(path: str) -> tuple[str, ...]:
    parts = PurePosixPath(path.replace("\\", "/")).parts
    if not parts or parts[0] == "/" or ".." in parts:
        raise LoadError(f"A file there has a name that is not taken: {path!r}.")
    return parts
