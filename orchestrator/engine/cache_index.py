"""What the server says of values that are cached: whether they were invalidated. The storage says all else.

Most values were never invalidated, and most workspaces have no invalidation for days: so the server is asked when the
last one was, once a second at most, and about a single value only if that is older. Where nobody answers, the storage
is trusted alone.
"""

from __future__ import annotations

import os
import threading
import time
from datetime import datetime
from typing import TYPE_CHECKING, Any
from urllib.parse import quote

from orchestrator.client import Client
from orchestrator.config import Api, current_api, workspace_of
from orchestrator.exceptions import ApiError, NotFound

if TYPE_CHECKING:
    from orchestrator.results import Header

LOCAL = "local"
FRESH = 1.0  # seconds
AWAY = 5.0  # seconds for which a server that gave no answer isn't asked again
TIMEOUT = 5.0
SKEW = 5_000_000  # µs that clocks of two machines may differ
MOST = 10_000  # answers that are remembered


class Index:
    """What one process knows of the index of a workspace."""

    def __init__(self, api: Api) -> None:
        self._api = api
        self._client = Client(api, timeout=TIMEOUT)
        self._lock = threading.Lock()
        self._place: str | None = None
        self._last: int | None = None  # µs UTC at which anything was invalidated last
        self._asked_at = -FRESH
        self._usable: dict[tuple[str, int], int | None] = {}  # by key and value: as of which last invalidation

    def place(self) -> str | None:
        """The organization and workspace, `acme/main`; None when they are not known while the server is away."""
        with self._lock:
            is_away = time.monotonic() < self._asked_at  # It gave no answer just now.
            if self._place is None and not is_away and (told := self._ask("/me")) is not None:
                self._place = f"{told['organization']}/{told['workspace']}"
            return self._place or workspace_of(self._api)

    def may_be_used(self, key: str, header: Header) -> bool:
        """False when the value was invalidated since it was made."""
        with self._lock:
            last = self._last_invalidation()
            if last is None or header.created > last + SKEW:
                return True
            known = (key, header.created)
            if known in self._usable and self._usable[known] == last:
                return True
            usable = self._is_usable(key, header)
            if usable:
                if len(self._usable) >= MOST:
                    self._usable.clear()
                self._usable[known] = last
            return usable

    def _last_invalidation(self) -> int | None:
        if time.monotonic() - self._asked_at >= FRESH:
            told = self._ask("/cache-entries/invalidate")
            if told is not None:
                self._last = _micros(told["last"])
            self._asked_at = max(time.monotonic(), self._asked_at)
        return self._last

    def _is_usable(self, key: str, header: Header) -> bool:
        told = self._ask(f"/cache-entries/by-key/{quote(key, safe='')}")
        if told is None or told["invalidated_at"] is None:
            return True
        if header.by and header.by == told["task_run"]:
            return False  # This very value, whatever the clocks say.
        return header.created >= (_micros(told["invalidated_at"]) or 0)

    def _ask(self, path: str) -> Any:
        """An answer; None when there is none: then the storage is trusted."""
        try:
            return self._client.request("GET", path)
        except NotFound:
            return None
        except ApiError:
            self._asked_at = time.monotonic() + AWAY
            return None


_known: tuple[tuple[Api, int], Index] | None = None


def index() -> Index | None:
    """The index of the workspace that this process talks to; None where no API is known."""
    global _known
    api = current_api()
    if api is None:
        return None
    here = (api, os.getpid())  # Connections are not for a child process.
    if _known is None or _known[0] != here:
        _known = (here, Index(api))
    return _known[1]


def _micros(text: str | None) -> int | None:
    return None if text is None else int(datetime.fromisoformat(text).timestamp() * 1_000_000)
