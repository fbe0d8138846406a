"""A directory of this machine, or one that several machines share."""

from __future__ import annotations

import os
from collections.abc import Generator, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import BinaryIO
from urllib.parse import quote

from orchestrator.blocks.paths import key_below
from orchestrator.result_storage.base import Listed, ResultStorage

_UNFINISHED = ".unfinished"


class LocalDirectory(ResultStorage):
    """Objects as files.

    Args:
        base: The directory; made when the first object is written, for this user alone.

    >>> import tempfile
    >>> with tempfile.TemporaryDirectory() as directory:
    ...     storage = LocalDirectory(directory)
    ...     with storage.writing("a/b") as file:
    ...         written = file.write(b"hello")
    ...     with storage.reading("a/b") as file:
    ...         file.read(), [each.path for each in storage.list()]
    (b'hello', ['a/b'])
    """

    def __init__(self, base: str | Path) -> None:
        self._base = os.path.abspath(os.path.expanduser(base))

    @property
    def base(self) -> Path:
        """The directory."""
        return Path(self._base)

    def url(self, path: str) -> str:
        return f"file://{quote(self._at(path))}"

    @contextmanager
    def writing(self, path: str) -> Generator[BinaryIO]:
        target = self._at(path)
        directory, name = os.path.split(target)
        # A name of its own for each writer: two executions of one call may meet here.
        unfinished = f"{directory}/{name[:150]}.{os.getpid()}-{os.urandom(4).hex()}{_UNFINISHED}"
        if not os.path.isdir(directory):
            os.makedirs(directory, mode=0o700, exist_ok=True)
        try:
            with open(unfinished, "x+b", opener=_private) as file:
                yield file
            os.replace(unfinished, target)
        except BaseException:
            with suppress(OSError):
                os.unlink(unfinished)
            raise

    @contextmanager
    def reading(self, path: str) -> Generator[BinaryIO]:
        with open(self._at(path), "rb") as file:
            yield file

    def delete(self, path: str) -> bool:
        try:
            os.unlink(self._at(path))
        except FileNotFoundError:
            return False
        return True

    def list(self, folder: str = "") -> Iterator[Listed]:
        for directory, inner, names in os.walk(self._at(folder)):
            inner.sort()
            for name in sorted(names):
                if name.endswith(_UNFINISHED):
                    continue
                found = os.path.join(directory, name)
                with suppress(FileNotFoundError):
                    facts = os.stat(found)
                    yield Listed(os.path.relpath(found, self._base), facts.st_size, facts.st_mtime)

    def _at(self, path: str) -> str:
        key = key_below("", path)
        return f"{self._base}/{key}" if key else self._base


def _private(path: str, flags: int) -> int:
    return os.open(path, flags, 0o600)
