"""Which run the present code belongs to, and what it inherits.

It is held by context variables: threads of a task runner and asyncio tasks get a copy of their own.
"""

from __future__ import annotations

import sys
from collections.abc import Generator
from contextlib import contextmanager
from contextvars import ContextVar
from typing import TYPE_CHECKING

from orchestrator.counterparts import missing
from orchestrator.exceptions import MissingContext

if TYPE_CHECKING:
    from uuid import UUID

    from orchestrator.engine.flow_run import FlowRun
    from orchestrator.engine.task_run import TaskRun
    from orchestrator.transactions import Transaction

flow_run_here: ContextVar[FlowRun | None] = ContextVar("flow_run_here", default=None)
task_run_here: ContextVar[TaskRun | None] = ContextVar("task_run_here", default=None)
replay_here: ContextVar[UUID | None] = ContextVar("replay_here", default=None)
transaction_here: ContextVar[Transaction | None] = ContextVar("transaction_here", default=None)
refreshes_cache_here: ContextVar[bool | None] = ContextVar("refreshes_cache_here", default=None)
stores_here: ContextVar[bool] = ContextVar("stores_here", default=True)
tags_here: ContextVar[frozenset[str]] = ContextVar("tags_here", default=frozenset())

_adopter: FlowRun | None = None


def adopt_strays(flow_run: FlowRun | None) -> None:
    """Let code without a context (a bare thread) belong to `flow_run`: the one root of a process of an agent."""
    global _adopter
    _adopter = flow_run


def adopts_strays() -> bool:
    """True when code without a context belongs to a run."""
    return _adopter is not None


def current_flow_run() -> FlowRun | None:
    """The innermost flow run around this code, if any."""
    return flow_run_here.get() or _adopter


def current_task_run() -> TaskRun | None:
    """The innermost task run around this code, if any."""
    return task_run_here.get()


def in_event_loop() -> bool:
    """True where an event loop runs this code, so that nothing may block. Not for user code."""
    asyncio = sys.modules.get("asyncio")
    return asyncio is not None and asyncio._get_running_loop() is not None


def require_run() -> FlowRun | TaskRun:
    """The innermost run, of a flow or a task.

    Raises:
        MissingContext: There is none.
    """
    run = current_task_run() or current_flow_run()
    if run is None:
        raise MissingContext
    return run


@contextmanager
def tags(*names: str) -> Generator[frozenset[str]]:
    """Give these tags to every run that starts inside.

    Args:
        names: The tags, 200 characters each at most.

    >>> from orchestrator import flow, runtime, tags
    >>> @flow
    ... def tagged():
    ...     return sorted(runtime.flow_run.tags)
    >>> with tags("nightly", "eu"):
    ...     tagged()
    ['eu', 'nightly']
    """
    inside = tags_here.get() | frozenset(names)
    token = tags_here.set(inside)
    try:
        yield inside
    finally:
        tags_here.reset(token)


__getattr__ = missing(__name__)
