"""Let a flow run wait for people: in its process, or without one; and let it go on, from anywhere.

In sync code these functions return what they say; in a coroutine they are awaited. Each has a twin that awaits in any
case: `apause_flow_run`, `asuspend_flow_run`, `aresume_flow_run`.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal
from uuid import UUID

from orchestrator.client import Client, in_context
from orchestrator.context import current_flow_run, current_task_run, in_event_loop
from orchestrator.counterparts import missing
from orchestrator.exceptions import Conflict, InputRefused, MissingContext, NotConfigured, NotPaused, PauseRefused

if TYPE_CHECKING:
    from orchestrator.engine.flow_run import FlowRun
    from orchestrator.engine.pausing import Asked

HOUR = 3600.0  # seconds
MAX_TIMES = 10  # that a place asks again
MAX_QUORUM = 100  # people
Link = Literal["login", "anyone"]


def pause_flow_run(
    wait_for_input: Any = None,
    timeout: float | None = HOUR,
    poll_interval: float | None = None,
    key: str | None = None,
    *,
    title: str = "",
    description: str = "",
    link: Link = "login",
) -> Any:
    """Wait, in this process, until somebody resumes the run: by its page, the API, the command line, or code.

    The run is PAUSED meanwhile, with the flows around it. It keeps its place at its agent and in limits; tasks that
    were submitted go on. That time counts neither as run time nor against the flow's `timeout_seconds`. In the next
    execution of the run, after a retry or a crash, a pause that somebody has ended is passed at once.

    Args:
        wait_for_input: What is asked for: a RunInput, another model of pydantic's, or a plain type. It is returned.
        timeout: Seconds after which FlowPauseTimeout is raised; None for no end.
        key: Names this pause within the flow; by default pauses are counted. Give one where their order varies.
        title, description: What people read; the description is markdown.
        link: "anyone" for a form that who has its link answers without an account; else people log in.
        poll_interval: Not needed, and without effect: an answer comes at once.

    Raises:
        FlowPauseTimeout: Nobody has resumed the run in time. Uncaught, the run ends FAILED as PauseTimedOut.
        PauseRefused: Called in a task, or by a flow of a process that can't tell the server.
        NotConfigured: No API is known, so nobody could resume it.
        ValueError: There is no such link.
    """
    words = {"title": title, "description": description, "link": link}
    return _wait(wait_for_input, timeout=timeout, key=key, **words)


def suspend_flow_run(
    wait_for_input: Any = None,
    flow_run_id: UUID | str | None = None,
    timeout: float | None = HOUR,
    key: str | None = None,
    *,
    title: str = "",
    description: str = "",
    link: Link = "login",
) -> Any:
    """End the process of this run until somebody resumes it: then the next attempt comes here and goes on.

    A suspended run holds no process, no lease and no slot. The next attempt begins at the flow's beginning; tasks whose
    results were persisted are not executed again. Tasks that run now come to their end first.

    Args:
        wait_for_input: What is asked for, as in `pause_flow_run`; the next attempt returns it.
        flow_run_id: Of another run, which is asked to do so at its next call of a task or a flow.
        timeout: Seconds after which the run ends FAILED as PauseTimedOut; None for no end.
        key: Names this pause within the flow; by default pauses are counted. Give one where their order varies.
        title, description: What people read; the description is markdown.
        link: As in `pause_flow_run`.

    Raises:
        PauseRefused: The run was not started by an agent, so no agent could start it again; or called in a task.
        NotConfigured: No API is known, so nobody could resume it.
        ValueError: There is no such link.
    """
    if flow_run_id is not None:
        return in_context(_post, flow_run_id, "suspend", None)
    words = {"title": title, "description": description, "link": link}
    return _wait(wait_for_input, pause="suspend", timeout=timeout, key=key, **words)


@dataclass(frozen=True)
class Approval:
    """What an approval came to: who approved, with which words, and what was put into the form, if there was one."""

    by: list[str]
    comments: list[str]
    input: Any = None


def wait_for_approval(
    title: str,
    *,
    description: str = "",
    quorum: int = 1,
    roles: Iterable[str] = (),
    teams: Iterable[str] = (),
    timeout: float | None = 24 * HOUR,
    key: str | None = None,
    suspend: bool = False,
    wait_for_input: Any = None,
) -> Any:
    """Wait until enough people have approved; an `Approval` tells who.

    Only people approve, each once: in the portal, or by a personal API key. One who rejects ends the wait.

    Args:
        title, description: What is to be decided; the description is markdown.
        quorum: How many have to approve.
        roles, teams: Whose approval counts, by name: any role in the workspace, any team. All who may answer, if none.
        timeout: Seconds; None for no end.
        key: Names this place within the flow, as in `pause_flow_run`.
        suspend: Hold no process meanwhile, as `suspend_flow_run`.
        wait_for_input: What the last one to approve is asked for besides.

    Raises:
        ApprovalRejected: Somebody said no. Uncaught, the run ends FAILED as Rejected.
        FlowPauseTimeout: Not enough have approved in time.
        ValueError: The quorum is none.
    """
    if not 1 <= quorum <= MAX_QUORUM:
        raise ValueError(f"quorum is a number from 1 to {MAX_QUORUM}.")
    words = {"title": title, "description": description, "timeout": timeout, "key": key}
    who = {"quorum": quorum, "roles": list(roles), "teams": list(teams)}
    return _wait(wait_for_input, pause="suspend" if suspend else "pause", **words, **who)


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


async def apause_flow_run(wait_for_input: Any = None, **options: Any) -> Any:
    """`pause_flow_run` for code that awaits."""
    return await pause_flow_run(wait_for_input, **options)


async def asuspend_flow_run(wait_for_input: Any = None, **options: Any) -> Any:
    """`suspend_flow_run` for code that awaits."""
    return await suspend_flow_run(wait_for_input, **options)


async def await_approval(title: str, **options: Any) -> Any:
    """`wait_for_approval` for code that awaits."""
    return await wait_for_approval(title, **options)


async def aresume_flow_run(flow_run_id: UUID | str, run_input: Any = None, *, key: str | None = None) -> Any:
    """`resume_flow_run` for code that awaits."""
    return await resume_flow_run(flow_run_id, run_input, key=key)


def _wait(wait_for_input: Any, *, pause: str = "pause", **options: Any) -> Any:
    """Ask, and ask again where the type refuses what the form could not: a place of its own each time."""
    if options.get("link", "login") not in ("login", "anyone"):
        raise ValueError('link is "login" or "anyone".')
    run = _pausable()
    if in_event_loop():
        return _wait_async(run, wait_for_input, pause, options)
    from orchestrator.engine import pausing

    asking = _Asking(wait_for_input, pause, options)
    while True:
        done, value = asking.take(pausing.ask(run, asking.next()))
        if done:
            return value


async def _wait_async(run: FlowRun, wait_for_input: Any, pause: str, options: dict[str, Any]) -> Any:
    from orchestrator.engine import pausing

    asking = _Asking(wait_for_input, pause, options)
    while True:
        done, value = asking.take(await pausing.ask_async(run, asking.next()))
        if done:
            return value


class _Asking:
    """One place in a flow: what it asks, as often as the answers do not fit."""

    def __init__(self, wait_for_input: Any, pause: str, options: dict[str, Any]) -> None:
        self._form = None
        if wait_for_input is not None:
            from orchestrator.input import Form

            self._form = Form(wait_for_input)
            options = {**options, "schema": self._form.schema, "initial": self._form.initial}
            options["description"] = options.get("description") or self._form.description
        self._pause, self._options, self._times = pause, options, 0
        self._refused: InputRefused | None = None

    def next(self) -> Asked:
        """What to ask now."""
        from orchestrator.engine.pausing import Asked

        options = self._options
        if self._refused is not None:
            told = f"What was answered can't be taken: {self._refused}"
            options = {**options, "description": f"{told}\n\n{options['description']}".strip()}
            options["key"] = f"{self._key}~{self._times + 1}"
        asked = self._asked = Asked(**options)
        asked.pause = self._pause
        return asked

    @property
    def _key(self) -> str:
        """The place itself, which the engine has named after the first time."""
        return str(self._asked.own_key).partition("~")[0]

    def take(self, told: dict[str, Any] | None) -> tuple[bool, Any]:
        """Whether it is an answer, and its value."""
        self._times += 1
        told = told or {}
        try:
            value = self._form.read(told.get("value")) if self._form is not None else None
        except InputRefused as error:
            if self._times >= MAX_TIMES:
                raise
            self._refused = error
            return False, None
        if not self._options.get("quorum"):
            return True, value
        given = [each for each in told["answers"] if each["verdict"] == "approve"]
        return True, Approval([each["actor"] for each in given], [each["comment"] for each in given], value)


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
    from orchestrator.storable import json_value

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
