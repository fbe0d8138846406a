"""What user threads append to the journal: taken now, made into entries later by the hub's thread."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from orchestrator import clock
from orchestrator.states import StateType

if TYPE_CHECKING:
    from uuid import UUID

    from orchestrator.engine.failures import Told
    from orchestrator.engine.flow_run import FlowRun
    from orchestrator.engine.pausing import Asked
    from orchestrator.engine.run import Run
    from orchestrator.engine.task_run import TaskRun


class RunReport:
    """A flow run entered a state. One that is `urgent` waits for no company, as the beginning of a task without a flow
    may: its end comes soon, as a rule.
    """

    __slots__ = (
        "about", "at", "commit", "duration", "label", "message", "name", "run", "run_count", "state", "stored", "t",
        "told", "urgent",
    )  # fmt: skip

    def __init__(
        self,
        run: FlowRun,
        *,
        introduce: bool = False,
        renamed: bool = False,
        final: bool = False,
        at: int | None = None,
        told: Told | None = None,
        message: str | None = None,
    ) -> None:
        self.urgent = final or at is not None or not run.is_alone
        self.run = run.id
        self.t = run.t
        self.state = StateType.SCHEDULED if at is not None else run.state_type or StateType.PENDING
        self.name = run.state_name if at is None else "AwaitingRetry"
        self.message = run.message if at is None else message
        self.run_count = max(1, run.run_count)
        self.duration = run.duration if final or at is not None else None
        self.at = at
        self.told = run.told if at is None else told
        self.stored = run.stored if final else None
        self.about = _about(run) if introduce else None
        self.label = run.name if renamed and not introduce else None
        self.commit = run.execution.commit if run.execution is not None else ""


def introduction(run: FlowRun) -> RunReport:
    """Who a run is, told ahead of its first state."""
    told = RunReport(run, introduce=True)
    told.t, told.state = clock.now(), StateType.PENDING
    told.name = told.message = told.told = None
    return told


def _about(run: FlowRun) -> dict[str, Any]:
    from orchestrator.parameters import snapshot

    return {
        "flow": run.definition.name,
        "name": run.name,
        "version": run.definition.version,
        "parameters": snapshot(run.parameters),
        "tags": sorted(run.tags),
        "parent": run.parent.id if run.parent is not None else None,
        "parent_task": run.parent_task,
        "retries": run.definition.retries,
    }


class TaskSnapshot:
    """A task run that is not at its end, as it is now."""

    __slots__ = ("history", "message", "name", "run", "run_count", "state", "t")

    def __init__(self, run: TaskRun) -> None:
        self.run = run
        self.state, self.name, self.message = run.state_type, run.state_name, run.message
        self.t, self.run_count, self.history = run.t, run.run_count, list(run.history)


def _place(run: Run) -> tuple[UUID, UUID | None]:
    """The ids of the flow run, and of the task run if it is one's. It is known to the server from now on."""
    flow_run: Any = getattr(run, "flow_run", run)
    flow_run.introduce()
    return flow_run.id, None if flow_run is run else run.id


class LogLine:
    """A line for a run's log."""

    __slots__ = ("extra", "level", "logger", "message", "run", "t", "task")

    def __init__(self, run: Run, t: int, level: int, logger: str, message: str, extra: dict[str, Any] | None) -> None:
        self.run, self.task = _place(run)
        self.t = t
        self.level = level
        self.logger = logger
        self.message = message
        self.extra = extra


class Line:
    """An entry that a child process has made. All it lacks is its number."""

    __slots__ = ("text",)

    def __init__(self, text: bytes) -> None:
        self.text = text

    def numbered(self, seq: int) -> bytes:
        """The line with its number; one that stands for a dropped entry says it twice."""
        text = self.text.replace(b'"seq":0', b'"seq":%d' % seq, 1)
        if text.startswith(b'{"kind":"dropped"'):
            text = text.replace(b'"last":0', b'"last":%d' % seq, 1)
        return text


class ArtifactTold:
    """An artifact, or a new value of one that tells of progress. `data` is JSON already, and nobody else's."""

    __slots__ = ("data", "description", "id", "key", "run", "t", "task", "type")

    def __init__(
        self, run: Run, *, id: UUID, type: str, data: Any, key: str | None, description: str | None, t: int
    ) -> None:
        self.run, self.task = _place(run)
        self.id = id
        self.type = type
        self.key = key
        self.data = data
        self.description = description
        self.t = t


class EventTold:
    """Something happened. All in it is JSON already, and nobody else's."""

    __slots__ = ("event", "id", "payload", "related", "resource", "run", "t")

    def __init__(
        self, run: Run, *, id: UUID, event: str, resource: dict[str, str], related: list[dict[str, str]], payload: Any,
        t: int,
    ) -> None:  # fmt: skip
        self.run, _ = _place(run)
        self.id = id
        self.event = event
        self.resource = resource
        self.related = related
        self.payload = payload
        self.t = t


class InputAsked:
    """A run waits for people; what it asks is JSON already."""

    __slots__ = ("asked", "run", "t")

    def __init__(self, run: Run, asked: Asked, t: int) -> None:
        self.run, _ = _place(run)
        self.asked = asked
        self.t = t


class Resumed:
    """All that was told so far says that the execution has gone on after so many pauses. Nothing is written of it: it
    is noted when the server has received all that.
    """

    __slots__ = ("number",)

    def __init__(self, number: int) -> None:
        self.number = number


class Finish:
    """The execution is over: once all is acked, its file may go."""

    __slots__ = ()
