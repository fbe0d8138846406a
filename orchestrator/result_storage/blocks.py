"""Blocks of file systems as storages."""

from __future__ import annotations

import io
from collections.abc import Generator
from contextlib import contextmanager
from typing import Any, BinaryIO

from orchestrator.blocks.aws import S3Bucket
from orchestrator.blocks.block import Block
from orchestrator.blocks.files import LocalFileSystem, RemoteFileSystem
from orchestrator.result_storage.base import ResultStorage
from orchestrator.result_storage.local import LocalDirectory


def storage_of_block(block: Any) -> ResultStorage:
    """The storage that a block describes.

    Raises:
        ValueError: It describes none.
    """
    if isinstance(block, LocalFileSystem):
        return LocalDirectory(block.basepath or ".")
    if isinstance(block, S3Bucket):
        from orchestrator.result_storage.objects import Bucket

        folder = f"{block.bucket_name}/{block.bucket_folder}".rstrip("/")
        return Bucket(block._store(), f"s3://{folder}", block.bucket_folder)
    if isinstance(block, RemoteFileSystem):
        from orchestrator.result_storage.addresses import Address

        return Address(block.basepath, block.settings.get_secret_value())
    if hasattr(block, "read_path") and not isinstance(block, type) and hasattr(block, "write_path"):
        return BlockOfYours(block)
    raise ValueError(
        f"{block!r:.100} is no storage for results. Give a block of a file system: LocalFileSystem, "
        "S3Bucket, RemoteFileSystem, or one of yours with read_path and write_path."
    )


class BlockOfYours(ResultStorage):
    """A block that has `read_path(path)` and `write_path(path, content)`; values are in memory on their way."""

    def __init__(self, block: Any) -> None:
        self._block = block
        reference = block.get_reference() if isinstance(block, Block) else None
        self._base = reference or type(block).__name__

    def url(self, path: str) -> str:
        return f"{self._base}:{path}"

    @contextmanager
    def writing(self, path: str) -> Generator[BinaryIO]:
        buffer = io.BytesIO()
        yield buffer
        self._block.write_path(path, buffer.getvalue())

    @contextmanager
    def reading(self, path: str) -> Generator[BinaryIO]:
        yield io.BytesIO(self._block.read_path(path))
