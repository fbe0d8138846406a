"""Which storage is meant: by a path, an address, a block, or by nothing, which is the setting's."""

from __future__ import annotations

import functools
import os
import re
from pathlib import Path
from typing import Any

from orchestrator.config import home, setting
from orchestrator.result_storage.base import ResultStorage
from orchestrator.result_storage.local import LocalDirectory

_BLOCK = re.compile(r"[a-z0-9-]{1,100}/[a-z0-9-]{1,100}")


def storage_of(given: Any = None) -> ResultStorage:
    """The storage that is meant.

    Args:
        given: A directory (`/shared/results`, `./results`, a Path), an address (`s3://bucket/results`), a block of a
            file system or its name (`s3-bucket/results`), a `ResultStorage`; None for ORCHESTRATOR_RESULTS_STORAGE,
            by default the directory `results` in ORCHESTRATOR_HOME.

    Raises:
        ValueError: It can't be a storage.
    """
    if given is None:
        given = setting("RESULTS_STORAGE") or str(home() / "results")
    if isinstance(given, ResultStorage):
        return given
    if isinstance(given, Path):
        return LocalDirectory(given)
    if isinstance(given, str):
        return _by_text(given, os.getcwd())
    raise ValueError(f"{given!r} is no storage for results. Give a directory, an address, or a block of a file system.")


def is_at_hand(given: Any) -> bool:
    """True when the storage can be had without asking the API."""
    return not isinstance(given, str) or _BLOCK.fullmatch(given) is None


@functools.lru_cache(64)
def _by_text(text: str, directory: str) -> ResultStorage:
    if text.startswith("file://"):
        return LocalDirectory(text.removeprefix("file://"))
    if text.startswith(("/", "~", ".")):
        return LocalDirectory(os.path.join(directory, os.path.expanduser(text)))
    raise ValueError(
        f"{text!r} is no storage for results. Give a directory (/shared/results, ./results), an address "
        "(s3://bucket/results), or the name of a block (s3-bucket/results)."
    )
