"""Ids that sort by the time at which they were made: UUID version 7 (RFC 9562, section 5.7)."""

import os
import time
from uuid import UUID

_VERSION = 0x7 << 76
_VARIANT = 0x2 << 62


def uuid7() -> UUID:
    """Make an id: 48 bits of milliseconds UTC, 12 bits of the rest of the millisecond, 62 random bits.

    The time inside is a hint for index locality. Nobody may read it back as a fact: ids are made by any client.

    >>> uuid7().version
    7
    """
    milliseconds, rest = divmod(time.time_ns(), 1_000_000)
    fraction = (rest << 12) // 1_000_000
    random = int.from_bytes(os.urandom(8), "big") & 0x3FFF_FFFF_FFFF_FFFF
    return UUID(int=(milliseconds & 0xFFFF_FFFF_FFFF) << 80 | _VERSION | fraction << 64 | _VARIANT | random)


def as_id(text: str) -> UUID | None:
    """The id that a text is, if it is one.

    >>> as_id("0196e8a2-0000-7000-8000-000000000000").version, as_id("none")
    (7, None)
    """
    try:
        return UUID(text)
    except ValueError:
        return None
