"""A directory of this machine, or one that several machines share."""

from __future__ import annotations

import os
from collections.abc import Generator, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import BinaryIO

from orchestrator.blocks.paths import below
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
        self.base = Path(os.path.abspath(os.path.expanduser(base)))

    def url(self, path: str) -> str:
        return below(self.base, path).as_uri()

    @contextmanager
    def writing(self, path: str) -> Generator[BinaryIO]:
        target = below(self.base, path)
        # A name of its own for each writer: two executions of one call may meet here.
        unfinished = target.parent / f"{target.name[:150]}.{os.getpid()}-{os.urandom(4).hex()}{_UNFINISHED}"
        if not target.parent.is_dir():
            target.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
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
        with open(below(self.base, path), "rb") as file:
            yield file

    def delete(self, path: str) -> bool:
        try:
            os.unlink(below(self.base, path))
        except FileNotFoundError:
            return False
        return True

    def list(self, folder: str = "") -> Iterator[Listed]:
        for directory, inner, names in os.walk(below(self.base, folder)):
            inner.sort()
            for name in sorted(names):
                if name.endswith(_UNFINISHED):
                    continue
                found = os.path.join(directory, name)
                with suppress(FileNotFoundError):
                    facts = os.stat(found)
                    yield Listed(os.path.relpath(found, self.base), facts.st_size, facts.st_mtime)


def _private(path: str, flags: int) -> int:
    return os.open(path, flags, 0o600)
