"""A file for what is on its way to a store that takes whole objects: in memory while small, else on disk."""

from __future__ import annotations

from tempfile import SpooledTemporaryFile
from typing import Any

SMALL = 8 << 20  # bytes


class Spool(SpooledTemporaryFile[bytes]):
    """A temporary file. What would make it large goes to disk at once, so that it is never in memory twice."""

    def __init__(self) -> None:
        super().__init__(SMALL)
        self._large = False

    def write(self, data: Any) -> int:  # pyright: ignore[reportIncompatibleMethodOverride]
        if not self._large and self.tell() + memoryview(data).nbytes > SMALL:
            self._large = True
            self.rollover()
        return super().write(data)

    @property
    def is_small(self) -> bool:
        """True while it is in memory."""
        return not self._large

    def content(self) -> bytes:
        """All of it."""
        self.seek(0)
        return self.read()
