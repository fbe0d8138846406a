"""Secrets that parameters name by a block are read here, in the process of the run, by its own token."""

from __future__ import annotations

from collections.abc import Collection
from typing import Any

from orchestrator.exceptions import ApiError, BlockError


def opened(parameters: dict[str, Any], places: Collection[str]) -> dict[str, Any]:
    """The parameters with the secrets in their places (JSON pointers). What is loaded is masked from then on.

    Raises:
        BlockError: One can't be read by this run.
    """
    return {name: _opened(value, places, _pointer("", name)) for name, value in parameters.items()}


def _opened(value: Any, places: Collection[str], at: str) -> Any:
    """A former execution of the run has opened what is no reference any more."""
    if at in places and isinstance(value, dict):
        return _secret(value["$block"], at[1:].replace("/", "."))
    if isinstance(value, dict):
        return {name: _opened(item, places, _pointer(at, name)) for name, item in value.items()}
    if isinstance(value, list):
        return [_opened(item, places, f"{at}/{index}") for index, item in enumerate(value)]
    return value


def _pointer(at: str, name: str) -> str:
    return f"{at}/{name.replace('~', '~0').replace('/', '~1')}"


def _secret(path: str, parameter: str) -> Any:
    from orchestrator.blocks import Secret

    try:
        return Secret._load(path).get()
    except (ApiError, BlockError) as error:
        what = f"The parameter {parameter} is taken from the block {path}, which this run can't read: {error}"
        raise BlockError(what) from error
