"""A call of a flow."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterable
from time import perf_counter_ns
from typing import TYPE_CHECKING, Any
from uuid import UUID

from orchestrator.config import is_on
from orchestrator.context import (
    current_flow_run,
    flow_run_here,
    replay_here,
    stores_here,
    tags_here,
    task_run_here,
    transaction_here,
)
from orchestrator.engine import upstream
from orchestrator.engine.failures import is_silent
from orchestrator.engine.lineage import Lineage
from orchestrator.engine.run import Run
from orchestrator.engine.stopping import Stopping
from orchestrator.exceptions import MissingContext, RunSuspended
from orchestrator.logging import capture_prints
from orchestrator.names import run_name
from orchestrator.states import StateType

if TYPE_CHECKING:
    from orchestrator.engine.deadlines import Deadline
    from orchestrator.flows import Flow
    from orchestrator.futures import Future
    from orchestrator.task_runners.base import TaskRunner

LONG_WAIT = 60.0
"""Seconds. A retry that is further away than this is handed back to the server, so that no slot is held for it."""


class Execution:
    """What the claim says of a root run that an agent was given. A flow called by hand has none."""

    def __init__(self, claim: dict[str, Any]) -> None:
        self.claim = claim
        self.run = UUID(claim["run"])
        self.attempt = int(claim["attempt"])
        self.token = str(claim["token"])
        self.run_count = int(claim.get("run_count") or 0)
        self.name = str(claim.get("name") or "")
        self.tags = frozenset(claim.get("tags") or ())
        self.flow = str(claim.get("flow") or "")
        self.deployment = str(claim.get("deployment") or "")
        self.deployment_id = claim.get("deployment_id")
        self.commit = str(claim.get("commit") or "")  # Of the repository that its code came from.
        self.flow_version = str(claim.get("flow_version") or "")
        self.scheduled_at: int | None = claim.get("scheduled_at")  # µs UTC
        self.suspensions = int(claim.get("suspensions") or 0)
        self.job_variables: dict[str, Any] = claim.get("job_variables") or {}
        self.parameters: dict[str, Any] = claim.get("parameters") or {}
        self.secrets: list[str] = claim.get("secrets") or []  # Where parameters name the block of a secret.
        replays = claim.get("replay_root")
        self.replays = UUID(str(replays)) if replays else None
        self.not_replayed: dict[str, list[str]] = claim.get("again") or {}
        self.call: dict[str, Any] | None = claim.get("call")  # What `.delay` said besides.
        self.writer = 0
        self.handed_back = False
        self.lost = False
        self.alone = True  # In a process of its own, to which every thread belongs.
        self.on_start: Callable[[FlowRun], None] | None = None


class FlowRun(Run):
    """One flow run: the root of an execution, or a subflow of one."""

    __slots__ = (
        "_counters",
        "_known_as",
        "_owns_root",
        "_tags_token",
        "_task_token",
        "attempt",
        "deadline",
        "execution",
        "followed",
        "keeps",
        "lineage",
        "parameters",
        "parent",
        "parent_task",
        "place",
        "replays",
        "stopping_state",
        "stores",
        "stores_values",
        "takes_over",
        "waits",
    )

    definition: Flow[..., Any]
    is_alone = False  # True for what a task without a flow brings along.
    takes_subflows = True  # False where states of flow runs can't be told.

    def __init__(
        self,
        flow: Flow[..., Any],
        parameters: dict[str, Any],
        wait_for: Iterable[Any] | None = None,
        execution: Execution | None = None,
    ) -> None:
        super().__init__(flow, (), {})
        parent = None if execution is not None else current_flow_run()
        task_run = task_run_here.get()
        self.parameters = parameters
        self.parent: FlowRun | None = parent
        inside = task_run is not None and task_run.flow_run is parent
        self.caller = task_run if inside else parent
        self.parent_task: UUID | None = task_run.id if task_run is not None and inside else None
        self.root = parent.root if parent is not None else self
        self.execution = execution
        self.tags = flow.tags | tags_here.get()
        self.name = run_name()
        self.lineage = Lineage()
        self.attempt = parent.attempt if parent is not None else 1
        self._counters: dict[str, itertools.count[int]] = {}
        self._known_as: str | None = None  # The name by which the server knows it; none: not at all.
        self.waits = 0  # How many of its calls, and of its subflows', wait for people.
        self.place = ""  # Of its calls that wait, from one attempt to the next.
        self.deadline: Deadline | None = None
        if parent is not None:
            self.place = f"{parent.place}{flow.name}-{FlowRun.count(parent, f'{flow.name}()')}/"
            self.stopping_state = parent.stopping_state
            self.stream = parent.stream
        else:
            self.stopping_state = Stopping(self)
        self.replays: UUID | None = None  # The run whose stored values this root finds again as its own.
        if parent is None:
            self.replays = execution.replays if execution is not None else replay_here.get()
        self.stores_values = stores_here.get()
        if execution is not None:
            self._adopt(execution)
        self._look_upstream(wait_for)
        self.followed: list[Any] = []  # Of the root: the stores in which it looked for the first run of its chain.
        self.stores: dict[Any, Any] = {}  # Of the root: what was found out about where values are stored.
        self.takes_over = execution is not None and (execution.attempt > 1 or execution.replays is not None)
        self.keeps = self._whether_kept(flow.keeps)  # Also for what is called here, unless that says otherwise.
        around = transaction_here.get()  # Its tasks count with that: until then it isn't finished.
        if self.keeps and not (self.is_alone or flow.is_generator or (around is not None and around.is_active())):
            from orchestrator.engine.keeping import Keeping

            self.keeping = Keeping(self)

    @property
    def replay_root(self) -> UUID:
        """The first run of its chain of retries: values are stored under its id."""
        return self.replays or self.id

    @property
    def not_replayed(self) -> dict[str, list[str]]:
        """What is to be executed again, by task or call: of these only the values count that the named runs stored."""
        return self.execution.not_replayed if self.execution is not None else {}

    def _whether_kept(self, said: bool | None) -> bool:
        if said is None:
            return self.parent.keeps if self.parent is not None else is_on("RESULTS_PERSIST")
        return said

    def _adopt(self, execution: Execution) -> None:
        self.id = execution.run
        self.attempt = execution.attempt
        self.name = execution.name or self.name
        self.tags = self.tags | execution.tags
        self.run_count = execution.run_count
        self._known_as = execution.name  # The server made this run: it knows who it is.

    def _look_upstream(self, wait_for: Iterable[Any] | None) -> None:
        if wait_for is None and not upstream.needed():
            return
        found: list[Future[Any]] = []
        upstream.find(self.parameters.values(), found)
        if wait_for is not None:
            self.wait_for = list(wait_for)
            upstream.find(self.wait_for, found)
        self.upstream = found

    def count(self, task_name: str) -> int:
        """The ordinal of the next run of this task here."""
        counter = self._counters.get(task_name)
        if counter is None:
            counter = self._counters.setdefault(task_name, itertools.count())
        return next(counter)

    def task_runner(self) -> TaskRunner:
        """The runner that `.submit` hands tasks to; made when the first one comes."""
        if self.runner is None:
            self.runner = self.definition.task_runner.duplicate()
        return self.runner

    def subflow_runner(self) -> TaskRunner:
        """The threads that `.submit` hands flows to, whatever runs the tasks: a flow needs its parent's journal."""
        if self.flow_runner is None:
            from orchestrator.task_runners.threads import ThreadPoolTaskRunner

            self.flow_runner = ThreadPoolTaskRunner()
        return self.flow_runner

    # The story.

    def enter(self) -> None:
        if self.parent is not None and not self.parent.takes_subflows:
            raise MissingContext(
                f"Flow {self.definition.name!r} can't be called by a task that its runner performs on another machine. "
                "Call it in the flow, or by a task that runs in a thread or in a process of this one."
            )
        if self.definition.log_prints:
            capture_prints()
        self._token = flow_run_here.set(self)
        self._task_token = task_run_here.set(None)
        self._tags_token = tags_here.set(self.tags)
        if self.root is self:
            from orchestrator.journal import attach

            self.stream = attach(self)
            self.stopping_state.arm()

    def leave(self) -> None:
        if self.root is self:
            self.stopping_state.disarm()
            # The file of a lost execution stays, were it empty: it is how the next agent here learns of the end.
            if self.stream is not None and not (self.execution is not None and self.execution.lost):
                self.stream.finish()
        self.upstream = self.wait_for = ()
        try:
            tags_here.reset(self._tags_token)
            task_run_here.reset(self._task_token)
            flow_run_here.reset(self._token)
        except ValueError:
            flow_run_here.set(self.parent)  # A generator that was finished by another thread or task.
        del self._token, self._task_token, self._tags_token

    def prepare(self) -> None:
        flow = self.definition
        if upstream.needed():
            self.parameters = {name: upstream.replace(value) for name, value in self.parameters.items()}
        for value in self.wait_for:
            upstream.replace(value)
        if self.execution is not None and self.execution.secrets and self.root is self:
            from orchestrator.secret_parameters import opened

            self.parameters = opened(self.parameters, self.execution.secrets)
        if flow.should_validate_parameters:
            self.parameters = flow.validate_parameters(self.parameters)
        self.args, self.kwargs = flow.call_arguments(self.parameters)
        if flow.run_name is not None:
            self.name = flow.name_for(self.args, self.kwargs)

    def begin(self) -> None:
        # A retry counts its tasks from nought again, so that their names stay the same.
        self._counters = {}
        super().begin()
        if not self.history:
            self._log_begin()

    def _log_begin(self) -> None:
        which = "" if self.run_count == 1 else f", execution {self.run_count}"
        self.log.info("Flow run %r of flow %r begins%s.", self.name, self.definition.name, which)

    def inputs(self) -> dict[str, Any]:
        return self.parameters

    def flow_run_around(self) -> FlowRun | None:
        return self.parent

    def take_kept(self, found: Any, name: str) -> None:
        self.begin()  # Whoever follows the run sees it run, if shortly.
        super().take_kept(found, name)

    def announce(self) -> None:
        self._report()

    def pause(self, message: str) -> None:
        """Enter PAUSED: somebody in here waits for people. Until it goes on is no time in user code."""
        self._enter_state(StateType.PAUSED, None, message)
        if self.deadline is not None:
            self.deadline.hold()
        self._clock -= perf_counter_ns()
        self._report()

    def go_on(self) -> None:
        """Enter RUNNING again; but not if the execution was told to stop, which is told by its end."""
        self._clock += perf_counter_ns()
        if self.deadline is not None:
            self.deadline.release()
        if self.root.stopping_state.reason is None:
            self._enter_state(StateType.RUNNING, None, None)
            self._report()

    def fail(self, error: BaseException) -> None:
        super().fail(error)
        if isinstance(error, RunSuspended) and self.is_suspendable:
            self.state_type, self.message, self.told = StateType.PAUSED, str(error), None

    @property
    def tries(self) -> int:
        return self.run_count - (self.execution.suspensions if self.execution is not None else 0)

    @property
    def is_suspendable(self) -> bool:
        """True for a root that an agent can start again."""
        return self.root is self and self.execution is not None

    def end(self) -> bool:
        stopping: Stopping = self.root.stopping_state
        if stopping.muted:
            return not stopping.superseded
        if self.execution is not None and (self.execution.handed_back or self._is_lost()):
            return False
        if isinstance(self.error, RunSuspended) and self.is_suspendable:
            from orchestrator.engine.pausing import tell_suspended

            tell_suspended(self, self.error)
            return False
        self._log_end()
        self._report(final=True)
        return True

    def _is_lost(self) -> bool:
        """True when the process was ended from outside: the server decides whether another attempt follows."""
        if self.state_type is not StateType.CRASHED:
            return False
        self.log.error("Execution %d was ended: %s", self.run_count, self.message)
        assert self.execution is not None
        self.execution.lost = True
        return True

    def _log_end(self) -> None:
        name = self.state_name or (self.state_type.capitalize() if self.state_type else "")
        if self.error is None and not self.failed:
            self.log.info("Flow run %r ended %s.", self.name, name)
        elif self.state_type is StateType.CANCELLED:
            self.log.warning("Flow run %r ended %s: %s", self.name, name, self.message)
        elif self.error is None or is_silent(self.error) or getattr(self.error, "_orchestrator_told", False):
            self.log.error("Flow run %r ended %s: %s", self.name, name, self.message)
        else:
            trace = self.told.traceback if self.told else ""
            self.log.error("Flow run %r ended %s: %s\n%s", self.name, name, self.message, trace)

    def hand_back(self, delay: float) -> bool:
        if delay <= LONG_WAIT or self.execution is None:
            return False
        self.log.warning(
            "Execution %d failed: %s. The run is handed back for %.3g s.", self.run_count, self.message, delay
        )
        told, message = self.told, self.message
        self.execution.handed_back = True
        if self.stream is not None:
            from orchestrator.journal.records import RunReport

            report = RunReport(self, at=self.t + int(delay * 1_000_000), told=told, message=message)
            self.stream.put(report)
        return True

    def report_end(self) -> None:
        """Tell the state in which this execution ended, whatever is to come of the run."""
        self._report(final=True)

    def _report(self, final: bool = False) -> None:
        stream = self.stream
        if stream is None:
            return
        from orchestrator.journal.records import RunReport

        known_as, self._known_as = self._known_as, self.name
        stream.put(RunReport(self, introduce=known_as is None, renamed=known_as != self.name, final=final))

    def introduce(self) -> None:
        """Tell the server who this is, before anything else is told of it: what happens ahead of its first state."""
        if self._known_as is None and self.stream is not None:
            from orchestrator.journal.records import introduction

            self._known_as = self.name
            self.stream.put(introduction(self))

    # Being told to stop.

    @property
    def stopping(self) -> Any:
        """An event that is set when the execution is told to stop."""
        return self.root.stopping_state.event

    def check_stop(self) -> None:
        """Raise what stops this execution, if it was told to stop."""
        stopping = self.stopping_state
        if stopping.reason is not None:
            stopping.deliver()

    def reason_for(self, error: BaseException) -> BaseException:
        """What really ended user code: asyncio shows a cancel as its own CancelledError."""
        reason = self.stopping_state.reason
        if reason is not None and type(error).__name__ == "CancelledError":
            return reason
        return error
