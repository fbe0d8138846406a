"""The journal's bytes, read as `orchestrator.reading` does; what is no batch is refused in the API's shape."""

from __future__ import annotations

from orchestrator import reading
from orchestrator.reading import Part
from orchestrator.wire import Batch
from tenants.errors import Invalid, TooLarge

__all__ = ["Part", "read_batch", "unpack"]


def unpack(body: bytes, encoding: str) -> bytes:
    """Undo the content encoding, never past the bound.

    Raises:
        TooLarge: More than 1 MiB packed or 16 MiB unpacked.
        Invalid: The encoding is unknown, or the bytes are not of it.
    """
    try:
        return reading.unpack(body, encoding)
    except reading.BatchTooLarge as error:
        raise TooLarge(str(error)) from error
    except reading.NoBatch as error:
        raise Invalid(str(error)) from error


def read_batch(body: bytes) -> tuple[Batch, list[Part]]:
    """Read a whole batch.

    Raises:
        Invalid: The first line is no batch line, entries come before a stream line, or a stream comes twice.
    """
    try:
        return reading.read_batch(body)
    except reading.NoBatch as error:
        raise Invalid(str(error)) from error
