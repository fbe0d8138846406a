"""Messages through a socket: one byte that says what it is, eight that say how long it is, and that many more."""

from __future__ import annotations

import struct

INTRODUCTION = b"I"  # to the child: who asks
CALL = b"C"  # to the child: one call
STOP = b"S"  # to the child: break off the call
BEGAN = b"B"  # from the child: the call is understood, and the function is called now
TOLD = b"T"  # from the child: lines for the journal, without their numbers
SECRETS = b"H"  # from the child: more that is to be masked
DONE = b"D"  # from the child: what came of the call

_HEAD = struct.Struct(">cQ")


def frame(kind: bytes, payload: bytes = b"") -> bytes:
    """One message."""
    return _HEAD.pack(kind, len(payload)) + payload


class Reader:
    """Takes bytes as they come, and hands out whole messages."""

    def __init__(self) -> None:
        self._buffer = bytearray()

    def feed(self, data: bytes) -> None:
        """Take what was received."""
        self._buffer += data

    def next(self) -> tuple[bytes, bytes] | None:
        """The next message, as soon as all of it is there."""
        if len(self._buffer) < _HEAD.size:
            return None
        kind, length = _HEAD.unpack_from(self._buffer)
        end = _HEAD.size + length
        if len(self._buffer) < end:
            return None
        payload = bytes(memoryview(self._buffer)[_HEAD.size : end])
        del self._buffer[:end]
        return kind, payload
