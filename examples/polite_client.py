"""Ask an API that allows so many requests a second, from many threads, and from many machines if there are.

What it shows: limits that the code only names. `partner-api` says how often it may be asked, `partner-api-open` how
many requests may be under way; they are set where the API's contract is known, not in the code:

    orchestrator limit set partner-api 5 --rate 50
    orchestrator limit set partner-api-open 3

    python -m examples.polite_client
"""

from __future__ import annotations

import threading

import httpx

from examples.local_services import Answer, serving
from orchestrator import flow, task, unmapped
from orchestrator.concurrency.sync import concurrency, rate_limit

ORDERS = 40


class Partner:
    """`GET /orders/N`. It remembers how many requests were under way at once, and notes who asked for what."""

    def __init__(self) -> None:
        self.asked: list[int] = []
        self.most = self._open = 0
        self._lock = threading.Lock()

    def __call__(self, method: str, path: str, body: bytes) -> Answer:
        with self._lock:
            self._open += 1
            self.most = max(self.most, self._open)
            self.asked.append(number := int(path.rpartition("/")[2]))
        with self._lock:
            self._open -= 1
        return 200, {}, {"order": number, "total": 10 * number}


@task(task_run_name="order-{number}")
def total_of(base: str, number: int) -> int:
    """What one order comes to. A turn is waited for outside of the slot: nobody waits with one in hand."""
    rate_limit("partner-api")
    with concurrency("partner-api-open"):
        return httpx.get(f"{base}/orders/{number}", timeout=10).raise_for_status().json()["total"]


@flow
def revenue(base: str, orders: int = ORDERS) -> int:
    """What all orders come to."""
    return sum(total_of.map(unmapped(base), range(orders)).result())


if __name__ == "__main__":
    with serving(Partner()) as address:
        print(f"All orders: {revenue(address)}")
