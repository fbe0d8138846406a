"""Where submitted tasks run."""

from __future__ import annotations

from typing import TYPE_CHECKING

from orchestrator import lazy

if TYPE_CHECKING:
    from orchestrator.task_runners.base import TaskRunner
    from orchestrator.task_runners.processes import ProcessPoolTaskRunner
    from orchestrator.task_runners.remote import RemoteTaskRunner
    from orchestrator.task_runners.threads import ConcurrentTaskRunner, ThreadPoolTaskRunner

__all__ = ["ConcurrentTaskRunner", "ProcessPoolTaskRunner", "RemoteTaskRunner", "TaskRunner", "ThreadPoolTaskRunner"]

_HOME = {
    "ConcurrentTaskRunner": "threads",
    "ProcessPoolTaskRunner": "processes",
    "RemoteTaskRunner": "remote",
    "TaskRunner": "base",
    "ThreadPoolTaskRunner": "threads",
}

__getattr__ = lazy(__name__, _HOME)
