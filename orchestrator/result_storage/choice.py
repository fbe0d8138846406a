"""Which storage is meant: by a path, an address, a block, or by nothing, which is the setting's."""

from __future__ import annotations

import functools
import os
import re
from pathlib import Path
from typing import Any

from orchestrator.config import Api, current_api, home, setting
from orchestrator.result_storage.base import ResultStorage
from orchestrator.result_storage.local import LocalDirectory

_BLOCK = re.compile(r"[a-z0-9-]{1,100}/[a-z0-9-]{1,100}")
_REMEMBERED = 64


def storage_of(given: Any = None) -> ResultStorage:
    """The storage that is meant.

    Args:
        given: A directory (`/shared/results`, `./results`, a Path), an address (`s3://bucket/results`), a block of a
            file system or its name (`s3-bucket/results`), `server` for the API itself, a `ResultStorage`; None for
            ORCHESTRATOR_RESULTS_STORAGE, by default the directory `results` in ORCHESTRATOR_HOME.

    Raises:
        ValueError: It is none.
        BlockError: What it needs is not installed, or there is no such block. A ValueError too.
        ApiError: The block can't be loaded.
    """
    if given is None:
        given = setting("RESULTS_STORAGE") or str(home() / "results")
    if isinstance(given, ResultStorage):
        return given
    if isinstance(given, Path):
        return LocalDirectory(given)
    if not isinstance(given, str):
        return _by_block(given)
    if _BLOCK.fullmatch(given):
        return _by_name(given, current_api())
    return _by_text(given, os.getcwd())


def is_at_hand(given: Any) -> bool:
    """True when the storage can be had without asking the API."""
    given = given or setting("RESULTS_STORAGE")
    return not isinstance(given, str) or _BLOCK.fullmatch(given) is None


@functools.lru_cache(_REMEMBERED)
def _by_text(text: str, directory: str) -> ResultStorage:
    scheme, is_address, rest = text.partition("://")
    if text == "server":
        from orchestrator.result_storage.server import Server

        return Server()
    if scheme == "file":
        return LocalDirectory(rest)
    if is_address:
        return _at_address(text, scheme)
    if text.startswith(("/", "~", ".")):
        return LocalDirectory(os.path.join(directory, os.path.expanduser(text)))
    raise _none(text)


def _at_address(url: str, scheme: str) -> ResultStorage:
    from orchestrator.result_storage.objects import SCHEMES

    if scheme in SCHEMES:
        from orchestrator.result_storage.objects import Bucket

        return Bucket.at(url)
    from orchestrator.result_storage.addresses import Address

    return Address(url)


@functools.lru_cache(_REMEMBERED)
def _by_name(name: str, api: Api | None) -> ResultStorage:
    """By the name of a block, which is loaded once in a process."""
    from orchestrator.blocks import Block

    return _by_block(Block._load(name))  # Not `load`: this may be sync code that an event loop runs.


_blocks: dict[int, tuple[Any, ResultStorage]] = {}


def _by_block(block: Any) -> ResultStorage:
    """By a block itself: its connections are kept, as long as there are few."""
    from orchestrator.result_storage.blocks import storage_of_block

    known = _blocks.get(id(block))
    if known is None or known[0] is not block:
        if len(_blocks) >= _REMEMBERED:
            _blocks.clear()
        known = _blocks[id(block)] = (block, storage_of_block(block))
    return known[1]


def _none(given: Any) -> ValueError:
    return ValueError(
        f"{given!r} is no storage for results. Give a directory (/shared/results, ./results), an address "
        "(s3://bucket/results), the name of a block (s3-bucket/results), or server."
    )
