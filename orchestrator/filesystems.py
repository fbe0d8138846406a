"""Blocks of file systems, where users of Prefect look for them."""

from orchestrator.blocks.files import LocalFileSystem, RemoteFileSystem

__all__ = ["LocalFileSystem", "RemoteFileSystem"]
