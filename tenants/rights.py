"""Whoever remembers what somebody may see hears when rights have changed: sockets that stand open do."""

from __future__ import annotations

from collections.abc import Callable

_hear: list[Callable[[], None]] = []


def hears(function: Callable[[], None]) -> Callable[[], None]:
    """Have a function called after each change of rights, inside the organization's scope and the transaction."""
    _hear.append(function)
    return function


def changed() -> None:
    """Somebody's rights in the current organization are not what they were."""
    for hear in _hear:
        hear()
