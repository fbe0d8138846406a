"""How long to wait before the server is asked again."""

from __future__ import annotations

from orchestrator.chance import chance
from orchestrator.exceptions import ApiError

SLOWEST = 15.0
LONGEST = 60.0  # whatever the server says


def pause(error: ApiError, failures: int) -> float:
    """Seconds after so many failures in a row: more each time, never the same for two agents."""
    delay = min(SLOWEST, 0.2 * 2 ** min(failures, 8)) * (0.5 + chance.random())
    return max(delay, min(error.retry_after or 0.0, LONGEST))
