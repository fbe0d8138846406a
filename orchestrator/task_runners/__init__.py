"""Where submitted tasks run."""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

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


def __getattr__(name: str) -> Any:
    if name not in _HOME:
        from orchestrator.counterparts import missing

        missing(__name__)(name)
    return getattr(import_module(f"{__name__}.{_HOME[name]}"), name)
