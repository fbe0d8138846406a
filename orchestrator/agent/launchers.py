"""What the agent asks of whatever executes a run: processes of this machine; plug-ins keep to the same words.

An agent makes the launcher of its pool's type of `Means`, and hands it each run that it has claimed. The launcher
starts an execution and answers at once; the agent waits for its end, passes signals on and tells the server.
"""

from __future__ import annotations

import threading
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Protocol

from orchestrator import job_templates
from orchestrator.exceptions import PoolTypeError

if TYPE_CHECKING:
    from orchestrator.agent.adoption import Adoption
    from orchestrator.agent.log import Log
    from orchestrator.agent.memory import Bounds
    from orchestrator.agent.settings import Settings
    from orchestrator.agent.watch import Watch
    from orchestrator.config import Api

__all__ = ["Claimed", "Ending", "Execution", "Launcher", "Means"]


@dataclass(frozen=True, slots=True)
class Means:
    """What a launcher is made from.

    Attributes:
        api: Where the server is, with the agent's own key; a run gets the token of its claim, never this key.
        settings: The agent's settings: its pool and name, `grace` and `hooks` (seconds), `python`.
        log: For what people should know of the launcher: lines of the agent's own log.
        watch: Calls back when there is something to read.
        adoption: How processes of this machine outlive the agent.
        bounds: Ends processes of this machine that use more memory than they may.
    """

    api: Api
    settings: Settings
    log: Log
    watch: Watch
    adoption: Adoption
    bounds: Bounds


@dataclass(slots=True, eq=False)
class Claimed:
    """A run that the agent holds. `claim` is the server's word on it, token included.

    Attributes:
        directory: Where its code is on this machine, once that is known.
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
    def configuration(self) -> dict[str, Any]:
        """What the pool's base job template made of the job variables: what a launcher obeys."""
        # A server, or an agent before this one, that knows no templates tells the variables alone.
        told = self.claim.get("job_configuration")
        return (self.claim.get("job_variables") or {}) if told is None else told

    @property
    def environment(self) -> dict[str, str]:
        """What the configuration's `env` adds to the environment."""
        return job_templates.environment(self.configuration)

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
    """One run under way, in the process group `pid`; 0 when it has none on this machine."""

    pid: int

    def signal(self, word: str) -> None:
        """Tell it to stop (`cancel`, `superseded` or `unreachable`), and kill it after the grace."""
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
    """Starts executions. Only `launch` has to be written; the rest is for those who keep something between runs.

    All may be called from any thread, and side by side.
    """

    def launch(self, claimed: Claimed) -> Execution:
        """Start one. What it raises is told as the reason why the run could not be started.

        With `claimed.ended` all that is left to do is to call the hooks of a run that has ended.
        """
        ...

    def start(self) -> None:
        """Prepare for the first run. Called once, before anything is claimed."""
        return

    def groups(self) -> list[int]:
        """The process groups that it keeps besides those of runs."""
        return []

    def counts(self) -> tuple[int, int]:
        """How many templates and how many spares it keeps."""
        return 0, 0

    def tidy(self) -> None:
        """Let go of what was not needed for a while. Called every few seconds."""
        return

    def close(self) -> None:
        """End whatever is kept for runs to come. Called at the agent's end; runs may go on."""
        return


class NoLauncher(Launcher):
    """That of an agent which does not know yet what its pool is for."""

    def launch(self, claimed: Claimed) -> Execution:
        """Nothing is claimed before that is known."""
        raise PoolTypeError("This agent is not registered yet.")
