"""Background tasks: calls that were queued by `.delay`, seen from any process.

>>> from orchestrator import task, testing
>>> @task
... def double(number: int) -> int:
...     return 2 * number
>>> with testing.server() as server:
...     future = double.delay(21)
...     _ = server.work()
...     future.result()
42
"""

from __future__ import annotations

import threading
from collections.abc import Callable
from datetime import datetime
from typing import TYPE_CHECKING, Any, Generic, TypeVar
from uuid import UUID

from orchestrator.client import shared
from orchestrator.config import Api, require_api
from orchestrator.futures import Future
from orchestrator.states import Pending, State, StateType

if TYPE_CHECKING:
    import logging

    from orchestrator.exceptions import ApiError
    from orchestrator.tasks import Task

__all__ = ["BackgroundFuture", "get_background_task"]

R = TypeVar("R")


def get_background_task(run_id: str | UUID, *, result_storage: Any = None) -> BackgroundFuture[Any]:
    """The future of a call that was queued, by this process or another one, now or long ago.

    Args:
        run_id: What `future.run_id` was.
        result_storage: Where the task keeps its values, if that isn't where ORCHESTRATOR_RESULTS_STORAGE says.

    Raises:
        NotConfigured: No API is known.
        NotFound: There is no such run.
    """
    future: BackgroundFuture[Any] = BackgroundFuture(run_id, result_storage=result_storage)
    future.refresh()
    return future


class _Definition:
    kind_of_run = "task"


class _Elsewhere:
    """What a future asks of its run, for one that another process executes: what the server told of it last."""

    definition = _Definition()

    def __init__(self, id: UUID, name: str) -> None:
        self.id = id
        self.name = name
        self.state: State = Pending()
        self.error: dict[str, str] | None = None
        self.result: dict[str, Any] | None = None

    @property
    def state_type(self) -> StateType:
        """The type of the state that is known."""
        return self.state.type

    @property
    def log(self) -> logging.Logger:
        """Where a done callback that fails is told of."""
        from orchestrator.logging import get_logger

        return get_logger("background")

    def told(self, run: dict[str, Any]) -> None:
        """The server says what has become of it."""
        told = run["state"]
        stamp = told.get("timestamp")
        at = {"timestamp": datetime.fromisoformat(stamp)} if stamp else {}
        kind = StateType(told["type"])
        self.state = State(kind, told.get("name") or "", told.get("message") or None, **at)
        self.name, self.error, self.result = run.get("name") or self.name, run.get("error"), run.get("result")
        if self.error and kind is not StateType.COMPLETED:
            self.state.data = _error_of(kind, self.error)


def _error_of(kind: StateType, told: dict[str, str]) -> BaseException:
    from orchestrator.exceptions import CancelledRun, CrashedRun, FailedRun

    kinds = {StateType.CRASHED: CrashedRun, StateType.CANCELLED: CancelledRun}
    name, message = told.get("type") or "", told.get("message") or ""
    error = kinds.get(kind, FailedRun)(f"{name}: {message}" if message else name)
    if told.get("traceback"):
        error.add_note(told["traceback"])
    return error


class BackgroundFuture(Future[R], Generic[R]):
    """What `.delay()` returns: the value of a run that another process executes.

    Everything of `Future` is here too: hand it to `wait` and `as_completed` among others.

    Args:
        run_id: The run's id.
        task: The task, where it is known: it says where its values are.
        result_storage: Where they are, if neither the task nor ORCHESTRATOR_RESULTS_STORAGE says so.
    """

    __slots__ = ("_api", "_lost", "_storage", "_task")

    def __init__(
        self,
        run_id: str | UUID,
        *,
        name: str = "",
        api: Api | None = None,
        task: Task[..., R] | None = None,
        result_storage: Any = None,
    ) -> None:
        id = run_id if isinstance(run_id, UUID) else UUID(str(run_id))
        super().__init__(_Elsewhere(id, name or str(id)))  # pyright: ignore[reportArgumentType]
        self._api = api or require_api()
        self._task = task
        self._storage = result_storage
        self._lost: ApiError | None = None

    @property
    def run_id(self) -> str:
        """The id of the run, by which any process finds it again: `get_background_task(run_id)`."""
        return str(self._run.id)

    @property
    def task_run_id(self) -> UUID | None:
        """None: its task run is made where it is executed."""
        return None

    @property
    def flow_run_id(self) -> UUID | None:
        """The id of the run, as pages and the API know it."""
        return self._run.id

    @property
    def state(self) -> State:
        """The run's present state, asked of the server unless it is final."""
        if not self._done:
            self.refresh()
        return self._run.state

    def done(self) -> bool:
        """True when the run has ended. Asks the server, unless that is known."""
        return self._done or self.state.is_final()

    def refresh(self) -> None:
        """Ask the server what has become of the run.

        Raises:
            NotFound: There is no such run.
        """
        self._hear(shared(self._api).get(f"/flow-runs/{self.run_id}"))

    def cancel(self) -> None:
        """Ask the run to stop; one that has not begun never will.

        Raises:
            Conflict: It has ended already.
        """
        self._hear(shared(self._api).post(f"/flow-runs/{self.run_id}/cancel"))

    def _hear(self, told: dict[str, Any]) -> None:
        elsewhere: Any = self._run
        with _hearing:
            if self._done:
                return
            elsewhere.told(told)
            over = elsewhere.state.is_final()
        if over:
            self.settle()

    def settle(self) -> None:
        """Tell everybody that the run has ended. Not for user code."""
        with _hearing:
            if self._done:
                return
            self._done = True
        super().settle()

    def give_up(self, error: ApiError) -> None:
        """Nobody will hear of the run's end: it is gone, or may not be asked about. Not for user code."""
        with _hearing:
            self._lost = self._lost or error
        self.settle()

    def wait(self, timeout: float | None = None) -> None:
        """Wait until the run has ended, or `timeout` seconds have passed. Look at `state` to know which."""
        if not self._done:
            self._expect()
            self._wait(timeout)

    def add_done_callback(self, fn: Callable[[Future[R]], Any]) -> None:
        """Call `fn(future)` when the run has ended; at once if it has already."""
        super().add_done_callback(fn)
        if not self._done:
            self._expect()

    def _expect(self) -> None:
        from orchestrator.awaiting import watcher_of

        watcher_of(self._api).expect(self)

    def _result_now(self, timeout: float | None, raise_on_failure: bool) -> R:
        if self._lost is not None:
            raise self._lost
        if self._done:
            self._find_value()
        return super()._result_now(timeout, raise_on_failure)

    async def result_async(self, timeout: float | None = None, raise_on_failure: bool = True) -> R:
        """Return the value as `result` does, without blocking the event loop."""
        import asyncio

        await self.wait_async(timeout)
        return await asyncio.to_thread(self._result_now, timeout, raise_on_failure)

    def _find_value(self) -> None:
        """Let the state lead to the value, which is read when it is asked for."""
        from orchestrator import references
        from orchestrator.exceptions import MissingResult

        elsewhere: Any = self._run
        state: State = elsewhere.state
        if not state.is_completed() or state.data is not None:
            return
        if elsewhere.result is None:
            raise MissingResult(
                f"Nobody stored the value of {self.run_id}: its task says persist_result=False, or its log says why."
            )
        state.data = references.value_at(references.store_of(self._task, self._storage), elsewhere.result)

    async def aresult(self, timeout: float | None = None, raise_on_failure: bool = True) -> R:
        """Return the value as `result` does, without blocking the event loop."""
        return await self.result_async(timeout, raise_on_failure)

    def __reduce__(self) -> Any:
        return BackgroundFuture, (self.run_id,)

    def __repr__(self) -> str:
        return f"<BackgroundFuture {self.run_id}: {self._run.state.name}>"


_hearing = threading.Lock()
