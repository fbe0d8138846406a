"""Facts about the run that this code belongs to, readable from anywhere in it.

Outside of a run every attribute is None (or empty): code that reads them runs in tests too.

>>> from orchestrator import flow, runtime
>>> @flow(name="Facts")
... def facts():
...     return runtime.flow_run.flow_name
>>> facts()
'Facts'
>>> runtime.flow_run.flow_name is None
True
"""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any

from orchestrator.context import current_flow_run, current_task_run

__all__ = ["deployment", "flow_run", "task_run"]


class _Facts:
    """Attributes that are looked up in the present run."""

    def __init__(self, title: str, find: Callable[[], Any], facts: dict[str, Callable[[Any], Any]]) -> None:
        self._title = title
        self._find = find
        self._facts = facts

    def __getattr__(self, name: str) -> Any:
        fact = self.__dict__.get("_facts", {}).get(name)
        if fact is None:
            raise AttributeError(
                f"runtime.{self.__dict__.get('_title')} has no {name!r}. It has: {', '.join(dir(self))}."
            )
        run = self._find()
        if run is None:
            return _EMPTY.get(name)
        return fact(run)

    def __dir__(self) -> list[str]:
        return sorted(self._facts)


_EMPTY: dict[str, Any] = {"run_count": 0}


def _moment(microseconds: int | None) -> datetime | None:
    return None if microseconds is None else datetime.fromtimestamp(microseconds / 1_000_000, UTC)


def _flow_run() -> Any:
    """The present flow run; what a task without a flow brings along is none."""
    run = current_flow_run()
    return None if run is None or run.is_alone else run


def _execution(run: Any) -> Any:
    return run.root.execution


def _deployment_run() -> Any:
    run = current_flow_run()
    return run.root.execution if run is not None else None


def _task_parameters(run: Any) -> dict[str, Any]:
    return run.definition.bind(run.args, run.kwargs)


flow_run = _Facts(
    "flow_run",
    _flow_run,
    {
        "id": lambda run: str(run.id),
        "name": lambda run: run.name,
        "flow_name": lambda run: run.definition.name,
        "flow_version": lambda run: run.definition.version,
        "parameters": lambda run: dict(run.parameters),
        "tags": lambda run: sorted(run.tags),
        "run_count": lambda run: run.run_count,
        "attempt": lambda run: run.attempt,
        "start_time": lambda run: _moment(run.started),
        "scheduled_start_time": lambda run: _execution(run).scheduled_at if _execution(run) else _moment(run.started),
        "root_flow_run_id": lambda run: str(run.root.id),
        "parent_flow_run_id": lambda run: str(run.parent.id) if run.parent is not None else None,
    },
)
task_run = _Facts(
    "task_run",
    current_task_run,
    {
        "id": lambda run: str(run.id),
        "name": lambda run: run.name,
        "task_name": lambda run: run.definition.name,
        "parameters": _task_parameters,
        "tags": lambda run: sorted(run.tags),
        "run_count": lambda run: run.run_count,
        "start_time": lambda run: _moment(run.started),
    },
)
deployment = _Facts(
    "deployment",
    _deployment_run,
    {
        "id": lambda execution: str(execution.deployment_id) if execution.deployment_id else None,
        "name": lambda execution: execution.deployment or None,
        "flow_name": lambda execution: execution.flow or None,
    },
)
