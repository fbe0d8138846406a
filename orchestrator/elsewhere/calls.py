"""What goes along with a call: who asks, once for each flow run; then the function, its arguments, and which run it is.

The other process rebuilds from it the flow runs around the call and the task run itself, so that all that user code
finds here (`runtime`, loggers, tags, tasks and flows to call) it finds there.
"""

from __future__ import annotations

import contextlib
from typing import TYPE_CHECKING, Any

from orchestrator import clock, context, masking
from orchestrator.config import current_api, use_api
from orchestrator.context import flow_run_here, tags_here
from orchestrator.elsewhere.pickling import dumps, loads
from orchestrator.engine import call_keys
from orchestrator.engine.definition import Definition
from orchestrator.engine.failures import short
from orchestrator.engine.flow_run import Execution, FlowRun
from orchestrator.engine.task_run import TaskRun
from orchestrator.engine.upstream import ATOMS
from orchestrator.exceptions import NotPicklable
from orchestrator.flows import Flow
from orchestrator.logging import capture_prints
from orchestrator.states import StateType
from orchestrator.tasks import Task

if TYPE_CHECKING:
    from orchestrator.journal.stream import Stream

_OPTIONS = ("version", "log_prints", "persist_result", "result_storage", "result_serializer")
MAX_PARAMETER = 1 << 20
"""Bytes. A larger parameter of a flow is not taken along for `runtime.flow_run.parameters`."""


# Here.


def introduction(flow_run: FlowRun) -> bytes:
    """Who asks: the flow run, those around it, the API and the token of the run, secrets to be masked."""
    chain = [flow_run]
    while chain[0].parent is not None:
        chain.insert(0, chain[0].parent)
    root = chain[0]
    return dumps(
        {
            "flows": [_flow_facts(each) for each in chain],
            "execution": root.execution.claim if root.execution is not None else None,
            "api": current_api(),
            "clock": clock.reading(),
            "secrets": masking.hidden(),
            "adopts": context.adopts_strays(),
            "told": root.stream is not None,
            "token": getattr(root.stream, "token", None),
        }
    )


def _flow_facts(run: FlowRun) -> dict[str, Any]:
    flow = run.definition
    return {
        "id": run.id,
        "name": run.name,
        "flow": flow.name,
        "version": flow.version,
        "log_prints": flow.log_prints,
        "tags": run.tags,
        "attempt": run.attempt,
        "run_count": run.run_count,
        "started": run.started,
        "persist_result": run.keeps,
        "result_storage": run.definition.result_storage,
        "result_serializer": run.definition.result_serializer,
        "replays": run.replays,
        "parameters": {name: data for name, value in run.parameters.items() if (data := _small(value)) is not None},
    }


def _small(value: Any) -> bytes | None:
    with contextlib.suppress(Exception):
        data = dumps(value)
        return data if len(data) <= MAX_PARAMETER else None
    return None


def pack(run: TaskRun) -> bytes:
    """One call.

    Raises:
        NotPicklable: The function, or an argument, can't be sent. The message names it.
    """
    facts = _task_facts(run)
    try:
        return dumps({**facts, "fn": run.definition.fn, "args": run.args, "kwargs": run.kwargs})
    except Exception as error:
        raise _refusal(run, error) from None


def _task_facts(run: TaskRun) -> dict[str, Any]:
    task = run.definition
    return {
        "id": run.id,
        "task": task.name,
        "name": run.name,
        "number": run.number,
        "version": task.version,
        "log_prints": task.log_prints,
        "timeout_seconds": task.timeout_seconds,
        "retries": task.retries,
        "assets": [asset.key for asset in task.assets] if task.makes_assets else None,  # pyright: ignore[reportAttributeAccessIssue]
        "tags": run.tags,
        "run_count": run.run_count,
        "started": run.started,
        "makers": _makers(run),
        "calls": _calls(run),
        "secrets": masking.hidden(),  # Once more: some are learnt after the introduction.
    }


def _calls(run: TaskRun) -> tuple[str, bool] | None:
    """By what the calls that it makes are known again; where nothing is kept, nobody asks for it."""
    if not Definition.any_keeps and not run.flow_run.keeps:
        return None
    calls = call_keys.calls_of(run)
    return calls.key, calls.again


def _makers(run: TaskRun) -> list[tuple[int | str, Any]]:
    """Which task runs made the arguments, as far as that is known: what is called there may be given the same."""
    maker = run.flow_run.lineage.maker
    given: list[tuple[int | str, Any]] = [*enumerate(run.args), *run.kwargs.items()]
    found = [(place, maker(value)) for place, value in given if type(value) not in ATOMS]
    return [(place, made_by) for place, made_by in found if made_by is not None]


def _refusal(run: TaskRun, error: Exception) -> NotPicklable:
    """Name the culprit."""
    named: list[tuple[str, Any]] = [(f"its argument {name!r}", value) for name, value in _by_name(run)]
    for what, value in [*named, ("its function", run.definition.fn)]:
        try:
            dumps(value)
        except Exception as its_own:
            return NotPicklable(f"{run.name} can't be sent to a process, because {what} can't: {short(its_own)}")
    return NotPicklable(f"{run.name} can't be sent to a process: {short(error)}")


def _by_name(run: TaskRun) -> list[tuple[str, Any]]:
    with contextlib.suppress(Exception):
        return list(run.definition.bind(run.args, run.kwargs).items())
    return [*((str(index), value) for index, value in enumerate(run.args)), *run.kwargs.items()]


# There.


class FlowRunElsewhere(FlowRun):
    """A flow run that has its life in another process, for code that is called from it here."""

    __slots__ = ("within",)

    within: str
    """The name of the task run that is performed here: it tells apart what several processes call."""

    def count(self, task_name: str) -> Any:
        return f"{self.within}.{super().count(task_name)}"

    def begin_call(self, name: str, calls: tuple[str, bool] | None) -> None:
        """From now on tasks are called by the task run of this name."""
        self.within = name
        self._counters = {}
        self.calls = call_keys.Calls(*(calls or (name, False)))


class FlowRunFarAway(FlowRunElsewhere):
    """One whose journal this process is another writer of."""

    __slots__ = ()

    takes_subflows = False


def enter(
    told: dict[str, Any], stream: Stream | None, kind: type[FlowRunElsewhere] = FlowRunElsewhere
) -> FlowRunElsewhere:
    """Become a process of the flow run that asks. Returns it."""
    masking.hide(told["secrets"])
    clock.count_as(told["clock"])
    use_api(told["api"])
    run: FlowRunElsewhere | None = None
    for facts in told["flows"]:
        run = _flow_run(kind, facts, run, told["execution"] if run is None else None, stream)
        if facts["log_prints"]:
            capture_prints()
    assert run is not None
    flow_run_here.set(run)
    if told["adopts"]:
        context.adopt_strays(run)
    return run


def _flow_run(
    kind: type[FlowRunElsewhere],
    facts: dict[str, Any],
    parent: FlowRunElsewhere | None,
    claim: dict[str, Any] | None,
    stream: Stream | None,
) -> FlowRunElsewhere:
    options = {name: facts[name] for name in _OPTIONS}
    definition: Flow[..., Any] = Flow(_nothing, name=facts["flow"], **options)
    execution = Execution(claim) if claim is not None else None
    flow_run_here.set(parent)
    run = kind(definition, _readable(facts["parameters"]), execution=execution)
    for name in ("id", "name", "tags", "attempt", "run_count", "started", "replays"):
        setattr(run, name, facts[name])
    run.keeping = None  # The life that keeps its value is not here.
    run.within, run._known_as = "", run.name
    run.state_type = StateType.RUNNING
    run.stream = stream
    return run


def _nothing() -> None:
    """Stands for a flow's function, which is called elsewhere."""


def _readable(parameters: dict[str, bytes]) -> dict[str, Any]:
    found: dict[str, Any] = {}
    for name, data in parameters.items():
        with contextlib.suppress(Exception):
            found[name] = loads(data)
    return found


def unpack(data: bytes, flow_run: FlowRunElsewhere) -> TaskRun:
    """The task run of a call, in the context of its flow run.

    Raises:
        NotPicklable: The function or an argument can't be made again here.
    """
    try:
        told = loads(data)
    except Exception as error:
        raise NotPicklable(f"The call was sent to a process and can't be read there: {short(error)}") from error
    masking.hide(told["secrets"])
    task = _task(told)
    flow_run_here.set(flow_run)
    tags_here.set(told["tags"])
    flow_run.begin_call(told["name"], told["calls"])
    run = TaskRun(task, told["args"], told["kwargs"], None)
    for name in ("id", "name", "number", "tags", "run_count", "started"):
        setattr(run, name, told[name])
    run.calls = flow_run.calls
    run.state_type = StateType.RUNNING
    for place, maker in told["makers"]:
        flow_run.lineage.note(run.args[place] if isinstance(place, int) else run.kwargs[place], maker)
    return run


def _task(told: dict[str, Any]) -> Task[..., Any]:
    options = {name: told[name] for name in ("version", "log_prints", "timeout_seconds", "retries")}
    options["persist_result"] = False  # The other process stores what is returned.
    if told["assets"] is None:
        return Task(told["fn"], name=told["task"], **options)
    from orchestrator.assets import MaterializingTask

    return MaterializingTask(told["fn"], name=told["task"], assets=told["assets"], **options)
