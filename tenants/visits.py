"""How often somebody comes to a door that is open to everybody: counted by their address, a minute at a time."""

from __future__ import annotations

from django.core.cache import cache

from tenants import trace
from tenants.errors import RateLimited


def count_visit(door: str, *, most: int, told: str) -> None:
    """Count a visit of this address.

    Raises:
        RateLimited: It has come more than `most` times within a minute; `told` says of what it was too much.
    """
    key = f"visits:{door}:{trace.address.get()}"
    cache.add(key, 0, 60)
    try:
        visits = cache.incr(key)
    except ValueError:  # The minute ended in this moment.
        return
    if visits > most:
        raise RateLimited(f"{told} Wait a minute.", retry_after=60)
