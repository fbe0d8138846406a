"""Records made into lines of the wire format. Runs in the hub's thread, where time is not the user's.

Secrets are masked here, before texts are cut: whatever is written to the journal has passed through.
"""

from __future__ import annotations

import functools
import os
import platform
from collections.abc import Callable
from typing import TYPE_CHECKING, Any
from uuid import UUID

import msgspec

from orchestrator import clock
from orchestrator._version import __version__
from orchestrator.engine.delayed import DelayedRun
from orchestrator.engine.failures import Told
from orchestrator.engine.task_run import TaskRun
from orchestrator.journal.records import ArtifactTold, EventTold, InputAsked, Line, LogLine, RunReport, TaskSnapshot
from orchestrator.masking import MASK, mask, mask_json
from orchestrator.states import StateType
from orchestrator.storable import clean_text, json_value
from orchestrator.wire import (
    MAX_DESCRIPTION,
    MAX_ENTRY,
    MAX_KEY,
    MAX_MESSAGE,
    MAX_NAME,
    MAX_PARAMETERS,
    MAX_PARENTS,
    MAX_RESULT_URL,
    MAX_TAG,
    MAX_TAGS,
    MAX_TRACEBACK,
    About,
    Artifact,
    Dropped,
    Error,
    Event,
    InputRequest,
    Log,
    ResultRef,
    RunState,
    TaskState,
    cut_log,
    encode,
)

if TYPE_CHECKING:
    from orchestrator.results import Stored

_MAX_HISTORY = 200  # former states of one task run; the oldest go first
_MAX_EXTRA = 32 << 10  # bytes


def line_of(record: Any, seq: int, root: UUID) -> bytes:
    """One record as one line, with its end. What can't be written is replaced by a word that something was."""
    if type(record) is Line:
        return record.numbered(seq)
    try:
        line = encode(_MAKERS[type(record)](record, seq))
        if len(line) < MAX_ENTRY:
            return line + b"\n"
        why = "too_large"
    except Exception as error:
        why = mask(f"not encodable: {error!r}")[:200]
    kind = _KINDS.get(type(record), "task.state")
    return dropped_line(seq, seq, root, why, {kind: 1})


def dropped_line(seq: int, last: int, root: UUID, why: str, count: dict[str, int]) -> bytes:
    """The line that stands in for entries which were given up."""
    return encode(Dropped(seq=seq, run=root, t=clock.now(), last=last, why=why, count=count)) + b"\n"


def _run_state(report: RunReport, seq: int) -> RunState:
    return RunState(
        seq=seq,
        run=report.run,
        t=report.t,
        state=report.state.value,
        name=_text(report.name, MAX_NAME),
        message=_text(report.message, MAX_MESSAGE),
        run_count=report.run_count,
        duration=report.duration,
        at=report.at,
        error=_error(report.told),
        about=_about(report.about) if report.about is not None else None,
        label=_text(report.label, MAX_NAME),
        result=_result(report.stored),
        commit=report.commit or None,
    )


def _about(facts: dict[str, Any]) -> About:
    parameters = encode(mask_json(json_value(facts["parameters"])))
    if len(parameters) > MAX_PARAMETERS:
        parameters = encode({"…": f"{len(parameters):,} bytes of parameters are more than are kept"})
    return About(
        flow=_clean(facts["flow"], MAX_NAME),
        name=_clean(facts["name"], MAX_NAME),
        version=_text(facts["version"], MAX_NAME),
        parameters=msgspec.Raw(parameters),
        tags=_tags(facts["tags"]),
        parent=facts["parent"],
        parent_task=facts["parent_task"],
        retries=facts["retries"],
        host=_host(),
        sdk=__version__,
    )


@functools.cache
def _host() -> str:
    return clean_text(platform.node() or os.environ.get("HOSTNAME", ""), 200)


def _task_state(run: TaskRun, seq: int) -> TaskState:
    """The whole life of a task run, told once it is over."""
    assert run.state_type is not None
    return _told_task(run, seq, run.t, run.state_type, run.state_name, run.message, run.run_count, run.history)


def _task_snapshot(taken: TaskSnapshot, seq: int) -> TaskState:
    state = taken.state or StateType.RUNNING
    return _told_task(taken.run, seq, taken.t, state, taken.name, taken.message, taken.run_count, taken.history)


def _told_task(
    run: TaskRun,
    seq: int,
    t: int,
    state: StateType,
    name: str | None,
    message: str | None,
    run_count: int,
    history: list[tuple[int, str, str | None, str | None]],
) -> TaskState:
    final = state in _FINAL
    return TaskState(
        seq=seq,
        run=run.flow_run.id,
        t=t,
        id=run.id,
        task=_clean(run.definition.name, MAX_NAME),
        state=state.value,
        label=_clean(run.name, MAX_NAME),
        name=_text(name, MAX_NAME),
        message=_text(message, MAX_MESSAGE),
        run_count=max(1, run_count),
        started=run.started,
        ended=run.ended if final else None,
        duration=run.duration if final else None,
        parents=list(run.parents)[:MAX_PARENTS] if run.parents else _NONE,
        tags=_tags(sorted(run.tags)) if run.tags else _NONE,
        parent_task=run.parent_task,
        history=[
            (at, kind, _text(of, MAX_NAME), _text(why, MAX_MESSAGE)) for at, kind, of, why in history[-_MAX_HISTORY:]
        ],
        error=_error(run.told) if final else None,
        result=_result(run.stored) if final else None,
    )


_NONE: list[Any] = []
_FINAL = frozenset({StateType.COMPLETED, StateType.FAILED, StateType.CRASHED, StateType.CANCELLED})


def _log(line: LogLine, seq: int) -> Log:
    entry = Log(
        seq=seq,
        run=line.run,
        t=line.t,
        message=cut_log(mask(line.message)),
        level=line.level,
        logger=_clean(line.logger, MAX_NAME),
        task=line.task,
    )
    if line.extra:
        packed = encode(mask_json(json_value(line.extra)))
        if len(packed) <= _MAX_EXTRA:
            entry.extra = msgspec.Raw(packed)
    return entry


def _artifact(told: ArtifactTold, seq: int) -> Artifact:
    return Artifact(
        seq=seq,
        run=told.run,
        t=told.t,
        id=told.id,
        type=told.type,
        key=mask(told.key).replace(MASK, "hidden") if told.key else None,
        data=msgspec.Raw(encode(mask_json(told.data))),
        description=_text(told.description, MAX_DESCRIPTION),
        task=told.task,
    )


def _event(told: EventTold, seq: int) -> Event:
    entry = Event(
        seq=seq,
        run=told.run,
        t=told.t,
        id=told.id,
        event=mask(told.event).replace(MASK, "hidden"),
        resource=mask_json(told.resource),
        related=mask_json(told.related),
    )
    if told.payload is not None:
        entry.payload = msgspec.Raw(encode(mask_json(told.payload)))
    return entry


def _input_request(told: InputAsked, seq: int) -> InputRequest:
    asked = told.asked
    assert asked.key is not None
    entry = InputRequest(
        seq=seq,
        run=told.run,
        t=told.t,
        id=asked.id,
        key=_clean(asked.key, MAX_KEY),
        pause=asked.pause,
        expires=asked.expires,
        title=_clean(asked.title, MAX_NAME),
        description=_clean(asked.description, MAX_DESCRIPTION),
        quorum=asked.quorum,
        roles=asked.roles,
        teams=asked.teams,
        link=asked.link,
    )
    if asked.schema is not None:
        entry.schema = msgspec.Raw(encode(mask_json(asked.schema)))
        entry.initial = msgspec.Raw(encode(mask_json(asked.initial)))
    return entry


def _text(text: str | None, limit: int) -> str | None:
    return None if text is None else clean_text(mask(text), limit)


def _clean(text: str, limit: int) -> str:
    return clean_text(mask(text), limit)


def _tags(tags: list[str]) -> list[str]:
    return [_clean(str(tag), MAX_TAG) for tag in tags[:MAX_TAGS]]


def _error(told: Told | None) -> Error | None:
    if told is None:
        return None
    return Error(
        type=_clean(told.type, MAX_NAME),
        message=_clean(told.message, MAX_MESSAGE),
        traceback=clean_text(mask(told.traceback)[-MAX_TRACEBACK:]),
    )


def _result(stored: Stored | None) -> ResultRef | None:
    if stored is None:
        return None
    return ResultRef(
        url=_clean(stored.url, MAX_RESULT_URL),
        key=_clean(stored.key, MAX_RESULT_URL),
        serializer=_clean(stored.serializer, MAX_NAME),
        size=stored.size,
        expires=stored.expires,
    )


_MAKERS: dict[type, Callable[[Any, int], Any]] = {
    RunReport: _run_state,
    TaskRun: _task_state,
    DelayedRun: _task_state,
    TaskSnapshot: _task_snapshot,
    LogLine: _log,
    ArtifactTold: _artifact,
    EventTold: _event,
    InputAsked: _input_request,
}
_KINDS = {
    RunReport: "run.state",
    LogLine: "log",
    ArtifactTold: "artifact",
    EventTold: "event",
    InputAsked: "input.request",
}
