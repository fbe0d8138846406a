"""Running calls at the same time, each in a thread that ends its database connection."""

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any

TIMEOUT_SECONDS = 30.0


def at_once(*calls: Callable[[], Any], timeout: float = TIMEOUT_SECONDS) -> list[Any]:
    """Run the calls side by side; return their results in order, an exception in the place of a failed one's."""
    with ThreadPoolExecutor(max_workers=len(calls)) as pool:
        futures = [pool.submit(_closing, call) for call in calls]
        return [future.exception(timeout) or future.result() for future in futures]


def _closing(call: Callable[[], Any]) -> Any:
    from django.db import connections

    try:
        return call()
    finally:
        connections.close_all()
