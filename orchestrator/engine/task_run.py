"""A call of a task."""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING, Any
from uuid import UUID

from orchestrator.context import current_flow_run, flow_run_here, tags_here, task_run_here, transaction_here
from orchestrator.engine import upstream
from orchestrator.engine.failures import is_silent
from orchestrator.engine.run import Run
from orchestrator.engine.upstream import ATOMS
from orchestrator.logging import capture_prints
from orchestrator.states import StateType

if TYPE_CHECKING:
    from orchestrator.engine.alone import LoneRoot
    from orchestrator.engine.flow_run import Execution, FlowRun
    from orchestrator.engine.keeping import Keeping
    from orchestrator.futures import Future
    from orchestrator.tasks import Task


class TaskRun(Run):
    """One task run. It belongs to the flow run around it, or to one that it brings along."""

    __slots__ = ("alone", "announced", "flow_run", "number", "parent_task", "parents", "replaces")

    definition: Task[..., Any]

    def __init__(
        self,
        task: Task[..., Any],
        args: tuple[Any, ...],
        kwargs: dict[str, Any],
        wait_for: Iterable[Any] | None,
        execution: Execution | None = None,
    ) -> None:
        super().__init__(task, args, kwargs)
        flow_run = current_flow_run() if execution is None else None
        parent = task_run_here.get()
        self.alone: LoneRoot | None = None  # What this run brings along where it has no flow run around it.
        if flow_run is None:
            from orchestrator.engine.alone import LoneRoot

            flow_run = self.alone = LoneRoot(self, execution)
            self.run_count = flow_run.run_count
        self.flow_run: FlowRun = flow_run
        inside = parent is not None and parent.flow_run is flow_run
        self.caller = parent if inside else flow_run
        self.parent_task: UUID | None = parent.id if parent is not None and inside else None
        self.tags = task.tags | tags_here.get()
        self.parents: Iterable[UUID] = ()
        self.announced = False
        self.replaces = False
        self.root = flow_run.root
        self.stream = flow_run.stream
        self.number = flow_run.count(task.name)
        self.name = f"{task.name}-{self.number}"
        self._look_upstream(wait_for)
        around = transaction_here.get()
        if around is not None or task.on_commit_hooks or task.on_rollback_hooks:
            from orchestrator.engine.task_transaction import TaskTransaction

            self.transaction = TaskTransaction(self, around if around is not None and around.is_active() else None)
        keeps = task.keeps
        if flow_run.keeps if keeps is None else keeps:
            self.keeping = self._how_it_is_kept()

    def _how_it_is_kept(self) -> Keeping:
        if self.definition.cache_policy is not None:
            from orchestrator.engine.caching import Caching

            return Caching(self)
        from orchestrator.engine.keeping import Keeping

        return Keeping(self)

    def _look_upstream(self, wait_for: Iterable[Any] | None) -> None:
        """Find the futures in the arguments, and which task runs the arguments come from."""
        parents: dict[UUID, None] = {}
        if wait_for is not None or upstream.needed():
            found: list[Future[Any]] = []
            self.replaces = upstream.find((*self.args, *self.kwargs.values()), found)
            if wait_for is not None:
                self.wait_for = list(wait_for)
                upstream.find(self.wait_for, found)
            self.upstream = found
            for future in found:
                if (maker := future.task_run_id) is not None:
                    parents[maker] = None
        if self.stream is not None:
            values = (*self.args, *self.kwargs.values()) if self.kwargs else self.args
            if values and not ATOMS.issuperset(map(type, values)):
                upstream.trace(values, self.flow_run.lineage, parents)
        if parents:
            self.parents = list(parents)

    def enter(self) -> None:
        if self.definition.log_prints:
            capture_prints()
        if self.alone is not None:
            self.alone.enter()
            self.stream = self.alone.stream
        self._token = task_run_here.set(self)
        if self.transaction is not None:
            transaction_here.set(self.transaction)
        if flow_run_here.get() is None:
            flow_run_here.set(self.flow_run)

    def leave(self) -> None:
        # What the arguments hold may be large, and futures live as long as their list.
        self.args, self.kwargs, self.upstream, self.wait_for = (), {}, (), ()
        if self.transaction is not None:
            transaction_here.set(self.transaction.parent)
        try:
            task_run_here.reset(self._token)
        except ValueError:
            task_run_here.set(None)  # A generator that was finished by another thread or task.
        del self._token
        if self.alone is not None:
            self.alone.leave()

    def prepare(self) -> None:
        if self.replaces:
            self.args = tuple(upstream.replace(value) for value in self.args)
            self.kwargs = {name: upstream.replace(value) for name, value in self.kwargs.items()}
        for value in self.wait_for:
            upstream.replace(value)
        template = self.definition.run_name
        if template is not None:
            self.name = self.definition.name_for(self.args, self.kwargs)

    def inputs(self) -> dict[str, Any]:
        return self.definition.bind(self.args, self.kwargs)

    def flow_run_around(self) -> FlowRun:
        return self.flow_run

    def announce(self) -> None:
        if self.alone is not None:
            self.alone.begin()
        if self.stream is not None:
            self.stream.opened(self)

    def await_value(self, name: str, message: str) -> None:
        """Show that it waits for what another run computes."""
        self._enter_state(StateType.PENDING, name, message)
        self.announced = True
        self.announce()

    def end(self) -> bool:
        if self.stream is not None:
            if self.alone is not None:
                self.alone.introduce()
            self.stream.closed(self)
            if type(self.value) not in ATOMS:
                self.flow_run.lineage.note(self.value, self.id)
        if self.definition.asset_deps or self.flow_run.lineage.assets or self.definition.makes_assets:
            from orchestrator.assets import note

            note(self)
        if self.error is not None and not is_silent(self.error):
            self._tell_failure(self.error)
        return True if self.alone is None else self.alone.end()

    def hand_back(self, delay: float) -> bool:
        return self.alone is not None and self.alone.hand_back(delay)

    def _tell_failure(self, error: BaseException) -> None:
        told = self.told
        self.log.error("Task run failed: %s\n%s", self.message, told.traceback if told else "")
        try:
            error._orchestrator_told = True  # pyright: ignore[reportAttributeAccessIssue]
        except Exception:
            return  # An exception with __slots__: the flow will tell it once more.
