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

import functools
from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any

from orchestrator.context import current_flow_run, current_task_run
from orchestrator.exceptions import OrchestratorError

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
            return _empty(name)
        return fact(run)

    def __dir__(self) -> list[str]:
        return sorted(self._facts)


def _empty(name: str) -> Any:
    """What an attribute is outside of a run."""
    kinds: dict[str, type] = {"run_count": int, "tags": list, "parameters": dict, "job_variables": dict}
    return kinds[name]() if name in kinds else None


def _moment(microseconds: int | None) -> datetime | None:
    return None if microseconds is None else datetime.fromtimestamp(microseconds / 1_000_000, UTC)


def _flow_run() -> Any:
    """The present flow run; what a task without a flow brings along is none."""
    run = current_flow_run()
    return None if run is None or run.is_alone else run


def _of_execution(run: Any, name: str) -> Any:
    """What the claim says, where there was one."""
    return getattr(run.root.execution, name, None)


def _scheduled(run: Any) -> datetime | None:
    return _moment(_of_execution(run, "scheduled_at") or run.started)


def _parent_deployment(run: Any) -> str | None:
    id = _of_execution(run, "deployment_id") if run.parent is not None else None
    return str(id) if id else None


def _api_url(kind: str) -> Callable[[Any], str | None]:
    return lambda run: f"{run.stream.hub.api.url}/{kind}/{run.id}" if _is_told(run) else None


def _ui_url(run: Any) -> str | None:
    """The run's page. Asks the API for the portal's address once; None while that is out of reach."""
    if not _is_told(run):
        return None
    try:
        return f"{_portal(run.stream.hub.api)}runs/{run.id}"
    except OrchestratorError:
        return None


@functools.cache
def _portal(api: Any) -> str:
    from orchestrator.client import Client

    with Client(api, timeout=5.0) as client:
        return str(client.request("GET", "/me")["portal_url"])


def _is_told(run: Any) -> bool:
    return getattr(run.stream, "hub", None) is not None


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
        "scheduled_start_time": _scheduled,
        "root_flow_run_id": lambda run: str(run.root.id),
        "parent_flow_run_id": lambda run: str(run.parent.id) if run.parent is not None else None,
        "parent_deployment_id": _parent_deployment,
        "job_variables": lambda run: dict(_of_execution(run, "job_variables") or {}),
        "api_url": _api_url("flow-runs"),
        "ui_url": _ui_url,
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
        "flow_run_id": lambda run: None if run.flow_run.is_alone else str(run.flow_run.id),
    },
)
deployment = _Facts(
    "deployment",
    _deployment_run,
    {
        "id": lambda execution: str(execution.deployment_id) if execution.deployment_id else None,
        "name": lambda execution: execution.deployment or None,
        "flow_name": lambda execution: execution.flow or None,
        "version": lambda execution: execution.flow_version or None,
        "flow_run_id": lambda execution: str(execution.run),
        "parameters": lambda execution: dict(execution.parameters),
    },
)
