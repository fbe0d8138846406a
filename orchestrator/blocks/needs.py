"""The libraries that blocks use: imported when a method needs them."""

from __future__ import annotations

from importlib import import_module
from typing import Any

from orchestrator.exceptions import BlockError


def needed(module: str, package: str = "orchestrator[blocks]") -> Any:
    """Import a module of a library that may not be there.

    Raises:
        BlockError: It is not installed; the message says how to.
    """
    try:
        return import_module(module)
    except ModuleNotFoundError as error:
        raise BlockError(f"{error.name} is not installed. Run `pip install '{package}'`.") from None
