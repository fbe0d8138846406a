"""Workflows as plain Python functions."""

from orchestrator._version import __version__

__all__ = ["__version__"]
