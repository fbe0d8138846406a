"""The agent's own log: on its standard error, and kept for the server, which shows it on the agent's page."""

from __future__ import annotations

import contextlib
import logging
import sys
import threading
import time
from collections import deque
from typing import Any

KEPT = 1_000  # lines that the server has not received
AT_ONCE = 100
MAX_MESSAGE = 4_000


class Log:
    """Lines that the server hasn't received yet; the oldest are given up first."""

    def __init__(self) -> None:
        self._lines: deque[dict[str, Any]] = deque(maxlen=KEPT)
        self._lock = threading.Lock()

    def debug(self, text: str) -> None:
        """Tell the server alone."""
        self._keep(logging.DEBUG, text)

    def info(self, text: str) -> None:
        """Tell people too."""
        self._say(logging.INFO, text)

    def warning(self, text: str) -> None:
        """Something is not as it should be, and the agent goes on."""
        self._say(logging.WARNING, text)

    def error(self, text: str) -> None:
        """Something can't go on."""
        self._say(logging.ERROR, text)

    def take(self) -> list[dict[str, Any]]:
        """The oldest lines, for one request. What it does not deliver is given back."""
        with self._lock:
            return [self._lines.popleft() for _ in range(min(AT_ONCE, len(self._lines)))]

    def give_back(self, lines: list[dict[str, Any]]) -> None:
        """These were not delivered."""
        with self._lock:
            room = KEPT - len(self._lines)
            self._lines.extendleft(reversed(lines[len(lines) - room :] if room < len(lines) else lines))

    def __len__(self) -> int:
        return len(self._lines)

    def _say(self, level: int, text: str) -> None:
        self._keep(level, text)
        with contextlib.suppress(OSError, ValueError):
            print(f"agent | {text}", file=sys.stderr, flush=True)

    def _keep(self, level: int, text: str) -> None:
        with self._lock:
            self._lines.append({"t": time.time_ns() // 1_000, "level": level, "message": text[:MAX_MESSAGE]})
