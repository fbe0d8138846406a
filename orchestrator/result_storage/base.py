"""What every storage of results can do: the point at which others come in."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import AbstractContextManager
from typing import BinaryIO, NamedTuple


class Listed(NamedTuple):
    """One stored object: its path below the storage, its bytes, when it was written (seconds of the epoch), and a mark
    that its content has, where the storage gives one.
    """

    path: str
    size: int
    written: float
    etag: str = ""


class ResultStorage:
    """Objects of bytes by their path. Subclass it for a storage of your own."""

    def url(self, path: str) -> str:
        """An address that tells people where an object is. Without passwords."""
        raise NotImplementedError

    def writing(self, path: str) -> AbstractContextManager[BinaryIO]:
        """A file to write an object into. It can be sought in and truncated.

        The object is there, whole, when the block has ended; if that raised, the object is as it was before.
        """
        raise NotImplementedError

    def reading(self, path: str) -> AbstractContextManager[BinaryIO]:
        """A file to read an object from.

        Raises:
            FileNotFoundError: There is none.
        """
        raise NotImplementedError

    def delete(self, path: str) -> bool:
        """Delete an object; False when there was none."""
        raise NotImplementedError(f"{type(self).__name__} can't delete what it stores.")

    def list(self, folder: str = "") -> Iterator[Listed]:
        """The objects below a folder."""
        raise NotImplementedError(f"{type(self).__name__} can't list what it stores.")
