"""Let a flow run wait for people: in its process, or without one; and let it go on, from anywhere.

In sync code these functions return what they say; in a coroutine they are awaited. Each has a twin that awaits in any
case: `apause_flow_run`, `asuspend_flow_run`, `aresume_flow_run`.
"""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING, Any
from uuid import UUID

from orchestrator.client import Client, in_context
from orchestrator.context import current_flow_run, current_task_run
from orchestrator.counterparts import missing
from orchestrator.exceptions import Conflict, MissingContext, NotConfigured, NotPaused, PauseRefused

if TYPE_CHECKING:
    from orchestrator.engine.flow_run import FlowRun
    from orchestrator.engine.pausing import Asked

HOUR = 3600.0  # seconds


def pause_flow_run(
    *,
    timeout: float | None = HOUR,
    key: str | None = None,
    title: str = "",
    description: str = "",
    poll_interval: float | None = None,
) -> Any:
    """Wait, in this process, until somebody resumes the run: by its page, the API, the command line, or code.

    The run is PAUSED meanwhile, with the flows around it. It keeps its place at its agent and in limits; tasks that
    were submitted go on. That time counts neither as run time nor against the flow's `timeout_seconds`. In the next
    execution of the run, after a retry or a crash, a pause that somebody has ended is passed at once.

    Args:
        timeout: Seconds after which FlowPauseTimeout is raised; None for no end.
        key: Names this pause within the flow; by default pauses are counted. Give one where their order varies.
        title, description: What people read; the description is markdown.
        poll_interval: Not needed, and without effect: an answer comes at once.

    Raises:
        FlowPauseTimeout: Nobody has resumed the run in time. Uncaught, the run ends FAILED as PauseTimedOut.
        PauseRefused: Called in a task, or by a flow of a process that can't tell the server.
        NotConfigured: No API is known, so nobody could resume it.
    """
    return _wait(_asked(timeout=timeout, key=key, title=title, description=description))


def suspend_flow_run(
    flow_run_id: UUID | str | None = None,
    *,
    timeout: float | None = HOUR,
    key: str | None = None,
    title: str = "",
    description: str = "",
) -> Any:
    """End the process of this run until somebody resumes it: then the next attempt comes here and goes on.

    A suspended run holds no process, no lease and no slot. The next attempt begins at the flow's beginning; tasks whose
    results were persisted are not executed again. Tasks that run now come to their end first.

    Args:
        flow_run_id: Of another run, which is asked to do so at its next call of a task or a flow.
        timeout: Seconds after which the run ends FAILED as PauseTimedOut; None for no end.
        key: Names this pause within the flow; by default pauses are counted. Give one where their order varies.
        title, description: What people read; the description is markdown.

    Raises:
        PauseRefused: The run was not started by an agent, so no agent could start it again; or called in a task.
        NotConfigured: No API is known, so nobody could resume it.
    """
    if flow_run_id is not None:
        return in_context(_post, flow_run_id, "suspend", None)
    asked = _asked(timeout=timeout, key=key, title=title, description=description)
    asked.pause = "suspend"
    return _wait(asked)


def resume_flow_run(flow_run_id: UUID | str, run_input: Any = None, *, key: str | None = None) -> Any:
    """Let a run go on that is paused or suspended.

    Args:
        run_input: What it waits for: a dictionary, a model, or a plain value.
        key: Which of several things it waits for is meant.

    Raises:
        NotPaused: It does not wait.
        Invalid: The input does not fit; `fields` says where.
        ApiError: The API refused, or could not be reached.
    """
    body = {"key": key} if key is not None else {}
    return in_context(_post, flow_run_id, "resume", {**body, **_value(run_input)})


async def apause_flow_run(**options: Any) -> Any:
    """`pause_flow_run` for code that awaits."""
    return await pause_flow_run(**options)


async def asuspend_flow_run(flow_run_id: UUID | str | None = None, **options: Any) -> Any:
    """`suspend_flow_run` for code that awaits."""
    return await suspend_flow_run(flow_run_id, **options)


async def aresume_flow_run(flow_run_id: UUID | str, run_input: Any = None, *, key: str | None = None) -> Any:
    """`resume_flow_run` for code that awaits."""
    return await resume_flow_run(flow_run_id, run_input, key=key)


def _asked(**options: Any) -> Asked:
    from orchestrator.engine.pausing import Asked

    return Asked(**options)


def _wait(asked: Asked) -> Any:
    from orchestrator.engine import pausing

    run = _pausable()
    asyncio = sys.modules.get("asyncio")
    if asyncio is not None and asyncio._get_running_loop() is not None:
        return _only_wait(pausing.ask_async(run, asked))
    pausing.ask(run, asked)
    return None


async def _only_wait(answer: Any) -> None:
    await answer


def _pausable() -> FlowRun:
    run, task = current_flow_run(), current_task_run()
    if task is not None:
        raise PauseRefused(
            f"{task.name!r} is a task: what runs beside it would go on. Pause in the flow, before or after its tasks."
        )
    if run is None:
        raise MissingContext("There is no flow run here to pause. Call this from inside a flow.")
    if run.stream is None:
        raise NotConfigured(
            "Nobody could resume this run: no API is known. Run `orchestrator login`, or set ORCHESTRATOR_API_URL and "
            "ORCHESTRATOR_API_KEY."
        )
    return run


def _value(run_input: Any) -> dict[str, Any]:
    """A plain value is that of the one field of its form."""
    from orchestrator.wire import json_value

    if run_input is None:
        return {}
    told = json_value(run_input)
    return {"value": told if isinstance(told, dict) else {"value": told}}


def _post(flow_run_id: UUID | str, verb: str, body: Any) -> None:
    with Client() as client:
        try:
            client.post(f"/flow-runs/{flow_run_id}/{verb}", body)
        except Conflict as error:
            raise (NotPaused(str(error)) if verb == "resume" else PauseRefused(str(error))) from None


__getattr__ = missing(__name__)
