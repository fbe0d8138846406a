"""Workflows as plain Python functions.

Nothing is imported until it is asked for: `from orchestrator import flow, task` is light.
"""

from __future__ import annotations

import sys
from importlib import import_module
from typing import TYPE_CHECKING, Any

from orchestrator._version import __version__

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from orchestrator import runtime
    from orchestrator.annotations import allow_failure, flatten, quote, unmapped
    from orchestrator.context import tags
    from orchestrator.deployments import Deployment, deploy, run_deployment
    from orchestrator.engine.retries import exponential_backoff
    from orchestrator.flow_runs import (
        apause_flow_run,
        aresume_flow_run,
        asuspend_flow_run,
        await_approval,
        pause_flow_run,
        resume_flow_run,
        suspend_flow_run,
        wait_for_approval,
    )
    from orchestrator.flows import Flow, flow
    from orchestrator.logging import get_run_logger
    from orchestrator.serving import serve
    from orchestrator.states import State
    from orchestrator.tasks import Task, task
    from orchestrator.transactions import Transaction
    from orchestrator.variables import Variable

__all__ = [
    "Deployment",
    "Flow",
    "State",
    "Task",
    "Transaction",
    "Variable",
    "__version__",
    "allow_failure",
    "apause_flow_run",
    "aresume_flow_run",
    "asuspend_flow_run",
    "await_approval",
    "deploy",
    "exponential_backoff",
    "flatten",
    "flow",
    "get_run_logger",
    "pause_flow_run",
    "quote",
    "resume_flow_run",
    "run_deployment",
    "runtime",
    "serve",
    "suspend_flow_run",
    "tags",
    "task",
    "unmapped",
    "wait_for_approval",
]

_HOME = {
    "Deployment": "deployments",
    "Flow": "flows",
    "State": "states",
    "Task": "tasks",
    "Transaction": "transactions",
    "Variable": "variables",
    "allow_failure": "annotations",
    "apause_flow_run": "flow_runs",
    "aresume_flow_run": "flow_runs",
    "asuspend_flow_run": "flow_runs",
    "await_approval": "flow_runs",
    "deploy": "deployments",
    "exponential_backoff": "engine.retries",
    "flatten": "annotations",
    "flow": "flows",
    "get_run_logger": "logging",
    "pause_flow_run": "flow_runs",
    "quote": "annotations",
    "resume_flow_run": "flow_runs",
    "run_deployment": "deployments",
    "runtime": "",
    "serve": "serving",
    "suspend_flow_run": "flow_runs",
    "tags": "context",
    "task": "tasks",
    "unmapped": "annotations",
    "wait_for_approval": "flow_runs",
}


def lazy(package: str, homes: Mapping[str, str]) -> Callable[[str], Any]:
    """Make the `__getattr__` of a package whose names are imported when they are asked for, and kept.

    Args:
        package: Its `__name__`.
        homes: By name the module within it; an empty text where the name is a module itself.
    """

    def __getattr__(name: str) -> Any:
        if name not in homes:
            from orchestrator.counterparts import missing

            missing(package)(name)
        home = import_module(f"{package}.{homes[name] or name}")
        value = getattr(home, name) if homes[name] else home
        setattr(sys.modules[package], name, value)
        return value

    return __getattr__


__getattr__ = lazy(__name__, _HOME)


def __dir__() -> list[str]:
    return sorted(__all__)


class _Elsewhere:
    """Asked last for a module: who looks for one that people know from Prefect is told what to use instead."""

    @staticmethod
    def find_spec(name: str, path: object = None, target: object = None) -> None:
        if name.startswith(f"{__name__}."):
            from orchestrator.counterparts import refuse_module

            refuse_module(name)


sys.meta_path.append(_Elsewhere)  # pyright: ignore[reportArgumentType]
