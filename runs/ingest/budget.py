"""How much of this process one organization's journals may take: a bucket of bytes that fills up at a steady rate.

A flood is answered by 429 and the time after which its batch fits; the client keeps its journal in a file until then.
Others find the threads free. Each web process counts for itself: what is to be kept free is that process.
(The algorithm is the token bucket of ATM and IP networks, RFC 2697, in its form that remembers a time only.)
"""

from __future__ import annotations

import math
import threading
import time
from uuid import UUID

from django.conf import settings

from tenants.errors import RateLimited

REMEMBERED = 10_000

_full_at: dict[UUID, float] = {}  # by the monotonic clock: when an organization's bucket is full again
_lock = threading.Lock()


def spend(organization_id: UUID, size: int) -> None:
    """Take `size` bytes from the organization's bucket.

    A batch larger than the bucket passes when it is full.

    Raises:
        RateLimited: The bucket has less. Nothing was taken.
    """
    rate, burst = settings.JOURNAL_BYTES_PER_SECOND, settings.JOURNAL_BURST_BYTES
    if rate <= 0:
        return
    at = time.monotonic()
    with _lock:
        full_at = max(_full_at.get(organization_id, at), at)
        missing = (full_at - at) * rate
        if missing and missing + size > burst:
            raise RateLimited(
                "This organization sends journals faster than its budget. Nothing is lost: it is sent again later.",
                retry_after=math.ceil(min((missing + size - burst) / rate, full_at - at)),
            )
        _full_at[organization_id] = full_at + size / rate
        if len(_full_at) > REMEMBERED:
            _forget_the_full(at)


def _forget_the_full(at: float) -> None:
    for id in [id for id, full_at in _full_at.items() if full_at <= at]:
        del _full_at[id]
