"""Whatever else fsspec has an address for: sftp, smb, hdfs, memory, …"""

from __future__ import annotations

import os
import re
import shutil
from collections.abc import Generator, Iterator
from contextlib import contextmanager
from typing import Any, BinaryIO, cast

from orchestrator.blocks.needs import needed
from orchestrator.blocks.paths import key_below
from orchestrator.exceptions import BlockError
from orchestrator.result_storage.base import Listed, ResultStorage
from orchestrator.result_storage.spool import Spool

_UNFINISHED = ".unfinished"
_PUTS_WHOLE = frozenset({"gcs", "gs", "s3", "s3a", "az", "abfs", "abfss", "adl", "oci", "oss", "obs"})
"""Where an object appears when it is whole; elsewhere a file grows, and is given its name in the end."""


class Address(ResultStorage):
    """Files below an address of fsspec.

    Args:
        url: The address.
        settings: What fsspec is given for this file system.
    """

    def __init__(self, url: str, settings: dict[str, Any] | None = None) -> None:
        scheme = url.partition("://")[0]
        try:
            self._files, root = needed("fsspec.core").url_to_fs(url, **(settings or {}))
        except (ImportError, ValueError) as error:
            raise BlockError(f"{scheme}:// is no storage for results here: {error}") from None
        self._root = root.rstrip("/")
        self._base = re.sub(r"://[^/@]*@", "://", url).rstrip("/")
        self._puts_whole = scheme in _PUTS_WHOLE

    def url(self, path: str) -> str:
        return f"{self._base}/{key_below('', path)}"

    @contextmanager
    def writing(self, path: str) -> Generator[BinaryIO]:
        target = self._at(path)
        with Spool() as spool:
            yield cast("BinaryIO", spool)
            spool.seek(0)
            if self._puts_whole:
                self._copy(spool, target)
                return
            self._files.makedirs(target.rpartition("/")[0], exist_ok=True)
            unfinished = f"{target}.{os.getpid()}-{os.urandom(4).hex()}{_UNFINISHED}"
            self._copy(spool, unfinished)
            self._rename(unfinished, target)

    def _copy(self, spool: Spool, target: str) -> None:
        if spool.is_small:
            self._files.pipe_file(target, spool.content())
            return
        with self._files.open(target, "wb") as file:
            shutil.copyfileobj(spool, file, 1 << 20)

    def _rename(self, unfinished: str, target: str) -> None:
        try:
            self._files.mv(unfinished, target)
        except OSError:
            if not self._files.exists(target):
                raise
            self._files.rm_file(target)  # Some, sftp for one, don't replace what is there.
            self._files.mv(unfinished, target)

    @contextmanager
    def reading(self, path: str) -> Generator[BinaryIO]:
        with self._files.open(self._at(path), "rb") as file:
            yield file

    def delete(self, path: str) -> bool:
        target = self._at(path)
        if not self._files.exists(target):
            return False
        self._files.rm_file(target)
        return True

    def list(self, folder: str = "") -> Iterator[Listed]:
        self._files.invalidate_cache()  # What others have written since it was last asked.
        for found in sorted(self._files.find(self._at(folder))):
            if not found.endswith(_UNFINISHED):
                facts = self._files.info(found)
                yield Listed(found.removeprefix(self._root).lstrip("/"), facts.get("size") or 0, _written(facts))

    def _at(self, path: str) -> str:
        key = key_below("", path)
        return f"{self._root}/{key}" if key else self._root


def _written(facts: dict[str, Any]) -> float:
    """When a file was written: file systems say it by several names."""
    for name in ("mtime", "last_modified", "LastModified", "created"):
        told = facts.get(name)
        if told is not None:
            return float(told) if isinstance(told, int | float) else float(told.timestamp())
    return 0.0
