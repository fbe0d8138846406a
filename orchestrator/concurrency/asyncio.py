"""Limits in coroutines. Sync code has `orchestrator.concurrency.sync`, where the arguments are described."""

from __future__ import annotations

from collections.abc import AsyncGenerator, Sequence
from contextlib import asynccontextmanager

from orchestrator.concurrency.holding import desk_here, held_async, new_ask, take_async
from orchestrator.exceptions import SlotError, SlotTimeout

AcquireConcurrencySlotTimeoutError = SlotTimeout
ConcurrencySlotAcquisitionError = SlotError


@asynccontextmanager
async def concurrency(
    names: str | Sequence[str],
    occupy: int = 1,
    timeout_seconds: float | None = None,
    strict: bool = False,
    *,
    raise_on_lease_renewal_failure: bool = False,
) -> AsyncGenerator[None]:
    """Hold slots of limits while the block runs: `async with concurrency("database"):`.

    Raises:
        SlotTimeout: They were not free in time.
        SlotError: There will never be so many, or (strict) there is no such limit.
        ApiError: The server refused, or (strict) was out of reach.
    """
    desk = desk_here(strict) if names else None
    if desk is None:
        yield
        return
    ask = new_ask(names, "limit", occupy, timeout_seconds, strict)
    async with held_async(desk, ask, raise_on_lease_renewal_failure):
        yield


async def rate_limit(
    names: str | Sequence[str], occupy: int = 1, timeout_seconds: float | None = None, strict: bool = False
) -> None:
    """Wait until it is this code's turn: `await rate_limit("partner-api")`.

    Raises:
        SlotTimeout: It would take too long. It is said at once.
        SlotError: The limit has no rate, or (strict) does not exist.
        ApiError: The server refused, or (strict) was out of reach.
    """
    desk = desk_here(strict) if names else None
    if desk is None:
        return
    ask = new_ask(names, "rate", occupy, timeout_seconds, strict)
    try:
        await take_async(desk, ask)
    finally:
        desk.give_back(ask)
