"""What the agent asks of whatever executes a run: a fresh process here; others keep to the same words."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Protocol


@dataclass(slots=True)
class Claimed:
    """A run that the agent holds. `claim` is the server's word on it, token included."""

    claim: dict[str, Any]
    directory: str = ""

    @property
    def run(self) -> str:
        return str(self.claim["run"])

    @property
    def attempt(self) -> int:
        return int(self.claim["attempt"])

    @property
    def name(self) -> str:
        return str(self.claim.get("name") or self.run)

    @property
    def lease(self) -> dict[str, Any]:
        """The lease as the API names it."""
        return {"run": self.run, "attempt": self.attempt}


@dataclass(slots=True)
class Ending:
    """How an execution ended: `exit` as `subprocess` counts (negative for signals), and its last output."""

    exit: int | None
    last_lines: list[str]


class Execution(Protocol):
    """One run under way."""

    def signal(self, word: str) -> None:
        """Tell it to stop (`cancel` or `superseded`), and kill it after the grace."""
        ...

    def terminate(self) -> None:
        """End it as one ends a process: SIGTERM, then kill after the grace."""
        ...

    def kill(self) -> None:
        """End it now, with all processes it started."""
        ...

    def wait(self) -> Ending:
        """Wait for its end."""
        ...


class Launcher(Protocol):
    """Starts executions."""

    def launch(self, claimed: Claimed) -> Execution:
        """Start one. Raises OSError when it can't."""
        ...
