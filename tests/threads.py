"""Running calls at the same time, each in a thread that ends its database connection."""

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any

TIMEOUT_SECONDS = 120.0


def at_once(*calls: Callable[[], Any], timeout: float = TIMEOUT_SECONDS) -> list[Any]:
    """Run the calls side by side; return their results in order, an exception in the place of a failed one's."""
    with ThreadPoolExecutor(max_workers=len(calls)) as pool:
        futures = [pool.submit(closing, call) for call in calls]
        return [future.exception(timeout) or future.result() for future in futures]


def closing(call: Callable[..., Any], *values: Any) -> Any:
    """Call it, and end the connections that it made."""
    from django.db import connections

    try:
        return call(*values)
    finally:
        connections.close_all()
