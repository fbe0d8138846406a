"""Executing what `.delay` queued, under names that people know. `Task.serve` and `orchestrator.serve` do the same."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from orchestrator.serving import serve

if TYPE_CHECKING:
    from orchestrator.tasks import Task

__all__ = ["TaskWorker", "serve"]


class TaskWorker:
    """Executes calls of some tasks in threads of this process.

    Args:
        tasks: The tasks.
        limit: How many calls go on at once; 10 by default.
    """

    def __init__(self, *tasks: Task[..., Any], limit: int | None = 10) -> None:
        self.tasks = tasks
        self.limit = limit

    def start(self) -> None:
        """Execute calls until told to stop (Ctrl-C, SIGTERM).

        Raises:
            NotConfigured: No API is known.
            ApiError: The API refused.
        """
        serve(*self.tasks, limit=self.limit)
