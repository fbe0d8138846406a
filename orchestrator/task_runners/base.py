"""What every task runner can do: the point at which others, for clusters or queues, come in.

A flow run takes a `duplicate` of its flow's runner when its first task is submitted, hands it task runs, and closes it
at its end. Who only wants the functions of tasks to be called elsewhere begins with `RemoteTaskRunner`, which leaves
one method to write; who wants something else begins here.
"""

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
        """Take a run, and return `Future(run)` at once.

        Elsewhere, in a copy of the present context (`contextvars.copy_context`), `execute(run)` is called then, which
        never raises what user code raised; after it `settle()` of the future, whatever came of it.
        """
        raise NotImplementedError

    def make_room(self) -> None:
        """Wait until another run may be submitted, so that what waits its turn is bounded. `.map` asks before each."""
        return

    def close(self, end: End = "wait") -> int | None:
        """Wait for everything that was submitted, or bring it to its end.

        Returns how many threads are left behind, if any: they run what can't be interrupted.
        """
        raise NotImplementedError
