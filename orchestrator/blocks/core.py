"""The base class of blocks, where users of Prefect look for it."""

from orchestrator.blocks.block import Block

__all__ = ["Block"]
