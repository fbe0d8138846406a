"""What every task runner can do."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Literal, Self

from orchestrator.engine.run import Run
from orchestrator.futures import Future

End = Literal["wait", "drop", "stop"]
"""How a runner is closed: `drop` what has not begun, `stop` what has as well, or wait for all of it."""


class TaskRunner:
    """Where `.submit` and `.map` run calls. A flow run uses a duplicate of its own and closes it at its end."""

    def duplicate(self) -> Self:
        """A fresh runner with the same settings."""
        raise NotImplementedError

    def submit(self, run: Run, execute: Callable[[Run], Any]) -> Future[Any]:
        """Take a run; call `execute(run)` elsewhere, in a copy of the present context."""
        raise NotImplementedError

    def make_room(self) -> None:
        """Wait until another run may be submitted, so that what waits its turn is bounded. `.map` asks before each."""
        return

    def close(self, end: End = "wait") -> int | None:
        """Wait for everything that was submitted, or bring it to its end.

        Returns how many threads are left behind, if any: they run what can't be interrupted.
        """
        raise NotImplementedError
