"""Where submitted tasks run."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from orchestrator.task_runners.base import TaskRunner
    from orchestrator.task_runners.threads import ThreadPoolTaskRunner

__all__ = ["TaskRunner", "ThreadPoolTaskRunner"]


def __getattr__(name: str) -> Any:
    if name == "ThreadPoolTaskRunner":
        from orchestrator.task_runners.threads import ThreadPoolTaskRunner

        return ThreadPoolTaskRunner
    if name == "TaskRunner":
        from orchestrator.task_runners.base import TaskRunner

        return TaskRunner
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
