"""Secrets, where users of Prefect look for them."""

from orchestrator.blocks.values import Secret

__all__ = ["Secret"]
