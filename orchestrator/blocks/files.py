"""File systems: a directory of this machine, and whatever fsspec has an address for."""

from __future__ import annotations

import asyncio
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from pydantic import Field, field_validator

from orchestrator.blocks.block import Block
from orchestrator.blocks.fields import SecretDict
from orchestrator.blocks.needs import needed
from orchestrator.blocks.paths import below, check_size, key_below
from orchestrator.exceptions import BlockError

MAX_LISTED = 1_000_000
_LOCAL = ("file", "local")


class _Files:
    """What both have in common: coroutines that do the same in a thread."""

    def read_path(self, path: str) -> bytes:
        """The content of a file.

        Raises:
            FileNotFoundError: There is none.
            BlockError: It is not below the base, or has more than 1 GiB.
        """
        raise NotImplementedError

    def write_path(self, path: str, content: bytes) -> str:
        """Write a file, and the directories that it needs; where it is."""
        raise NotImplementedError

    def list_paths(self, folder: str = "", *, limit: int = 10_000) -> list[str]:
        """The files below a folder, by their paths below the base, `limit` of them at most."""
        if not 0 < limit <= MAX_LISTED:
            raise ValueError(f"limit is 1 to {MAX_LISTED:,}.")
        found: list[str] = []
        for path in self._paths(folder):
            found.append(path)
            if len(found) == limit:
                break
        return found

    def _paths(self, folder: str) -> Iterator[str]:
        raise NotImplementedError

    async def aread_path(self, path: str) -> bytes:
        """`read_path` for coroutines."""
        return await asyncio.to_thread(self.read_path, path)

    async def awrite_path(self, path: str, content: bytes) -> str:
        """`write_path` for coroutines."""
        return await asyncio.to_thread(self.write_path, path, content)

    async def alist_paths(self, folder: str = "", *, limit: int = 10_000) -> list[str]:
        """`list_paths` for coroutines."""
        return await asyncio.to_thread(self.list_paths, folder, limit=limit)


class LocalFileSystem(_Files, Block):
    """A directory of the machine that the flow runs on.

    >>> import tempfile
    >>> with tempfile.TemporaryDirectory() as directory:
    ...     files = LocalFileSystem(basepath=directory)
    ...     path = files.write_path("raw/a.txt", b"hello")
    ...     files.read_path("raw/a.txt"), files.list_paths()
    (b'hello', ['raw/a.txt'])
    """

    _block_type_name = "Local File System"
    _icon = "folder"

    basepath: str = Field("", description="All paths are below it; the working directory by default.")

    def read_path(self, path: str) -> bytes:
        found = self._below(path)
        check_size(found.stat().st_size, str(found))
        return found.read_bytes()

    def write_path(self, path: str, content: bytes) -> str:
        target = self._below(path)
        target.parent.mkdir(parents=True, exist_ok=True)
        target.write_bytes(content)
        return str(target)

    def _paths(self, folder: str) -> Iterator[str]:
        base = self._below("")
        for directory, inner, files in os.walk(self._below(folder)):
            inner.sort()
            for name in sorted(files):
                yield os.path.relpath(os.path.join(directory, name), base)

    def _below(self, path: str) -> Path:
        return below(Path(self.basepath or ".").expanduser(), path)


class RemoteFileSystem(_Files, Block):
    """Any file system that fsspec has an address for: `gs://…`, `az://…`, `sftp://…`, `smb://…`, `https://…`.

    Beyond those that fsspec brings, each needs a package of its own; the error says which.
    """

    _block_type_name = "Remote File System"
    _icon = "folder"

    basepath: str = Field(description="An address such as gs://bucket/folder. All paths are below it.")
    settings: SecretDict = Field(
        default_factory=lambda: SecretDict({}),
        description="What fsspec is given for this file system: keys, hosts, time-outs.",
    )

    @field_validator("basepath")
    @classmethod
    def _is_remote(cls, value: str) -> str:
        scheme, found, _ = value.partition("://")
        if not found or not scheme:
            raise ValueError("It begins with a scheme, such as gs:// or sftp://.")
        if scheme.split("::")[-1] in _LOCAL:
            raise ValueError("Use LocalFileSystem for files of this machine.")
        return value

    def read_path(self, path: str) -> bytes:
        files, found = self._at(path)
        check_size(files.size(found) or 0, found)
        return files.cat_file(found)

    def write_path(self, path: str, content: bytes) -> str:
        files, target = self._at(path)
        files.makedirs(target.rpartition("/")[0], exist_ok=True)
        files.pipe_file(target, content)
        return target

    def _paths(self, folder: str) -> Iterator[str]:
        files, top = self._at(folder)
        root = self._at("")[1].rstrip("/") + "/"
        for directory, _, names in files.walk(top):
            for name in sorted(names):
                yield f"{directory.rstrip('/')}/{name}".removeprefix(root)

    def _at(self, path: str) -> tuple[Any, str]:
        """The file system, and where in it a path is."""
        key = key_below("", path)
        core = needed("fsspec.core")
        try:
            files, root = core.url_to_fs(self.basepath, **self.settings.get_secret_value())
        except ImportError as error:
            raise BlockError(f"{self.basepath.partition('://')[0]}:// needs a package: {error}") from None
        return files, f"{root.rstrip('/')}/{key}" if key else root
