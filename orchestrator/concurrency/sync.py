"""Limits in sync code. Coroutines have `orchestrator.concurrency.asyncio`."""

from __future__ import annotations

from collections.abc import Generator, Sequence
from contextlib import contextmanager

from orchestrator.concurrency.holding import desk_here, held, new_ask, take
from orchestrator.exceptions import SlotError, SlotTimeout

AcquireConcurrencySlotTimeoutError = SlotTimeout
ConcurrencySlotAcquisitionError = SlotError


@contextmanager
def concurrency(
    names: str | Sequence[str],
    occupy: int = 1,
    timeout_seconds: float | None = None,
    strict: bool = False,
    *,
    raise_on_lease_renewal_failure: bool = False,
) -> Generator[None]:
    """Hold slots of limits while the block runs. Who has waited longest is served first.

    Args:
        names: One limit, or several: the slots of all are taken at once, or none.
        occupy: How many slots of each.
        timeout_seconds: How long to wait for them; None: as long as it takes; 0: not at all.
        strict: With True a limit that does not exist is an error, and so is a server that stays out of reach for a
            minute. Else the block runs without, and the log says so.
        raise_on_lease_renewal_failure: Interrupt the block by SlotLost when its slots are lost on the way.

    Raises:
        SlotTimeout: They were not free in time.
        SlotError: There will never be so many, or (strict) there is no such limit.
        ApiError: The server refused, or (strict) was out of reach.

    >>> from orchestrator.concurrency.sync import concurrency
    >>> with concurrency("database", occupy=1):
    ...     print("one of the few")
    one of the few
    """
    desk = desk_here(strict) if names else None
    if desk is None:
        yield
        return
    ask = new_ask(names, "limit", occupy, timeout_seconds, strict)
    with held(desk, ask, raise_on_lease_renewal_failure):
        yield


def rate_limit(
    names: str | Sequence[str], occupy: int = 1, timeout_seconds: float | None = None, strict: bool = False
) -> None:
    """Wait until it is this code's turn, by limits that give slots back by themselves: so many a second.

    Args:
        names: One limit, or several.
        occupy: How many slots of each.
        timeout_seconds: Don't wait for a turn that is further away than this.
        strict: With True a limit that does not exist is an error, and so is a server that stays out of reach.

    Raises:
        SlotTimeout: It would take too long. It is said at once.
        SlotError: The limit has no rate, or (strict) does not exist.
        ApiError: The server refused, or (strict) was out of reach.

    >>> from orchestrator.concurrency.sync import rate_limit
    >>> for page in range(3):
    ...     rate_limit("partner-api")
    """
    desk = desk_here(strict) if names else None
    if desk is None:
        return
    ask = new_ask(names, "rate", occupy, timeout_seconds, strict)
    try:
        take(desk, ask)
    finally:
        desk.give_back(ask)
