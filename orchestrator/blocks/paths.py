"""Paths below a base: nothing that a flow is given leads out of it."""

from __future__ import annotations

import re
from pathlib import Path
from urllib.parse import unquote

from orchestrator.exceptions import BlockError

MAX_READ = 1 << 30  # bytes that are read into memory at once


def below(base: Path, path: str | Path) -> Path:
    """A path below a local directory, links followed.

    Raises:
        BlockError: It leads out of the directory.
    """
    root = base.resolve()
    found = (root / path).resolve()
    if not found.is_relative_to(root):
        raise _outside(path, str(base))
    return found


def key_below(base: str, path: str) -> str:
    """A key below a prefix, in stores where `/` is a habit.

    Raises:
        BlockError: It leads out of the prefix.

    >>> key_below("raw/2026", "orders/1.csv"), key_below("", "/a//b/./c")
    ('raw/2026/orders/1.csv', 'a/b/c')
    """
    text = str(path)
    if any(".." in re.split(r"[/\\]", each) for each in (text, unquote(text))):
        raise _outside(path, base or "/")
    steps = [step for step in text.split("/") if step not in ("", ".")]
    return "/".join([*filter(None, base.strip("/").split("/")), *steps])


def check_size(size: int, path: str) -> None:
    """Refuse to read into memory what is too large for it.

    Raises:
        BlockError: It is.
    """
    if size > MAX_READ:
        raise BlockError(
            f"{path} has {size:,} bytes; {MAX_READ:,} are read into memory at most. Download it to a file."
        )


def _outside(path: object, base: str) -> BlockError:
    return BlockError(f"The path {str(path)!r:.300} is not below {base!r:.300}.")
