"""What the agent asks of whatever executes a run: processes of this machine; others keep to the same words."""

from __future__ import annotations

import threading
from dataclasses import dataclass, field
from typing import Any, Protocol


@dataclass(slots=True, eq=False)
class Claimed:
    """A run that the agent holds. `claim` is the server's word on it, token included.

    Attributes:
        stop: Set when the run is not to be started any more; `words` say why.
        leased_until: The end of the lease, by our monotonic clock.
        replaceable: Whether somebody else would be given the run then. Until the server has said so, it might.
        unreachable: True once the run was told to stop because its lease could not be renewed.
        ended: The state in which the run has ended: all that is left of it are the hooks.
    """

    claim: dict[str, Any]
    directory: str = ""
    stop: threading.Event = field(default_factory=threading.Event)
    words: list[str] = field(default_factory=list)
    leased_until: float = 0.0
    replaceable: bool = True
    unreachable: bool = False
    ended: dict[str, Any] | None = None

    @property
    def run(self) -> str:
        return str(self.claim["run"])

    @property
    def attempt(self) -> int:
        return int(self.claim["attempt"])

    @property
    def token(self) -> str:
        return str(self.claim.get("token") or "")

    @property
    def name(self) -> str:
        return str(self.claim.get("name") or self.run)

    @property
    def lease_seconds(self) -> float:
        return float(self.claim["lease_seconds"])

    @property
    def process(self) -> str:
        """`fresh`, `warm` or `reuse`."""
        return "fresh" if self.ended else str(self.claim.get("process") or "warm")

    @property
    def variables(self) -> dict[str, Any]:
        """The deployment's job variables."""
        return self.claim.get("job_variables") or {}

    @property
    def environment(self) -> dict[str, str]:
        """What its job variables add to the environment."""
        return dict(self.variables.get("env") or {})

    @property
    def lease(self) -> dict[str, Any]:
        """The lease as the API names it."""
        return {"run": self.run, "attempt": self.attempt}


@dataclass(slots=True)
class Ending:
    """How an execution ended: `exit` as `subprocess` counts (negative for signals), and its last output."""

    exit: int | None
    last_lines: list[str]
    why: str = ""  # the agent ended it, and says why


class Execution(Protocol):
    """One run under way, in the process group `pid`."""

    pid: int

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
        """Start one. Raises OSError or an OrchestratorError when it can't."""
        ...

    def start(self) -> None:
        """Prepare for the first run."""
        ...

    def groups(self) -> list[int]:
        """The process groups that it keeps besides those of runs."""
        ...

    def counts(self) -> tuple[int, int]:
        """How many templates and how many spares it keeps."""
        ...

    def tidy(self) -> None:
        """Let go of what was not needed for a while. Called every few seconds."""
        ...

    def close(self) -> None:
        """End whatever is kept for runs to come."""
        ...
