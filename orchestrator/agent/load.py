"""What an agent uses, its runs included, for the agent's page."""

from __future__ import annotations

import os
import time
from typing import TYPE_CHECKING, Any

from orchestrator.agent import memory

if TYPE_CHECKING:
    from orchestrator.agent.agent import Agent

NOTABLE_CPU = 0.05  # of a core
NOTABLE_MEMORY = 0.05  # of what was told last


class Loads:
    """Measures now and then, and says when it is worth telling.

    Processor time is that of all processes, and of those that they have seen end: so it only grows, whoever ends.
    """

    def __init__(self, every: float) -> None:
        self._every = every
        self._at = 0.0
        self._seconds = 0.0
        self._told: dict[str, Any] = {}

    def news(self, agent: Agent) -> dict[str, Any] | None:
        """The load, if it has changed notably; None else, or when it was measured a moment ago."""
        now = time.monotonic()
        if now - self._at < self._every:
            return None
        used = memory.use_of({*agent.holdings.groups(), *agent.launcher.groups()})
        seconds = sum(os.times()[:4]) + sum(time for _, time in used.values())
        templates, spares = agent.launcher.counts()
        share = max(0.0, seconds - self._seconds) / (now - self._at) if self._at else 0.0
        load = {
            "cpu": round(share, 3),
            "memory": memory.own_bytes(os.getpid()) + sum(size for size, _ in used.values()),
            "templates": templates,
            "spares": spares,
        }
        self._at, self._seconds = now, seconds
        return load if self._is_notable(load) else None

    def told(self, load: dict[str, Any]) -> None:
        """The server knows this one."""
        self._told = load

    def _is_notable(self, load: dict[str, Any]) -> bool:
        told = self._told
        return (
            not told
            or (load["templates"], load["spares"]) != (told["templates"], told["spares"])
            or abs(load["cpu"] - told["cpu"]) >= NOTABLE_CPU
            or abs(load["memory"] - told["memory"]) >= NOTABLE_MEMORY * told["memory"]
        )
