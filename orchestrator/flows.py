"""Flows: functions whose calls are recorded as runs."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from functools import partial
from typing import TYPE_CHECKING, Any, Concatenate, Generic, Literal, ParamSpec, TypeVar, overload

from orchestrator.counterparts import missing
from orchestrator.deployable import Deployable
from orchestrator.engine.definition import Definition, refuse
from orchestrator.engine.drivers import drive, drive_async
from orchestrator.engine.flow_run import Execution, FlowRun
from orchestrator.engine.hooks import NAMES
from orchestrator.engine.life import live, perform_as_root, perform_elsewhere
from orchestrator.engine.retries import Delays

if TYPE_CHECKING:
    from collections.abc import Coroutine
    from pathlib import Path

    from orchestrator.blocks import Block
    from orchestrator.futures import Future
    from orchestrator.result_storage import ResultStorage
    from orchestrator.serializers import Serializer
    from orchestrator.states import State
    from orchestrator.task_runners.base import TaskRunner

__all__ = ["Flow", "flow"]

P = ParamSpec("P")
R = TypeVar("R", covariant=True)
T = TypeVar("T")
Q = ParamSpec("Q")


class Flow(Deployable, Definition[P, R], Generic[P, R]):
    """A function made a flow by `@flow`. Call it as before; `.deploy` it to run elsewhere."""

    kind_of_run = "flow"

    def __init__(
        self,
        fn: Callable[P, R],
        *,
        name: str | None = None,
        description: str | None = None,
        tags: Iterable[str] | None = None,
        version: str | None = None,
        flow_run_name: str | Callable[..., str] | None = None,
        retries: int | None = None,
        retry_delay_seconds: Delays | None = None,
        retry_jitter_factor: float | None = None,
        retry_condition_fn: Callable[..., Any] | None = None,
        retry_on: type[BaseException] | tuple[type[BaseException], ...] = (),
        task_runner: TaskRunner | None = None,
        timeout_seconds: float | None = None,
        validate_parameters: bool = True,
        log_prints: bool | None = None,
        persist_result: bool | None = None,
        result_storage: Any = None,
        result_serializer: Any = None,
        cache_result_in_memory: bool = True,
        **others: Any,
    ) -> None:
        hooks = {name: others.pop(name, None) for name in NAMES}
        refuse("flow", others)
        super().__init__(
            fn,
            name=name,
            description=description,
            tags=tags,
            version=version,
            run_name=flow_run_name,
            retries=retries,
            retry_delay_seconds=retry_delay_seconds,
            retry_jitter_factor=retry_jitter_factor,
            retry_condition_fn=retry_condition_fn,
            retry_on=retry_on,
            timeout_seconds=timeout_seconds,
            log_prints=log_prints,
            persist_result=persist_result,
            result_storage=result_storage,
            result_serializer=result_serializer,
            cache_result_in_memory=cache_result_in_memory,
            hooks=hooks,
        )
        self._task_runner = task_runner
        self.should_validate_parameters = validate_parameters

    @property
    def task_runner(self) -> TaskRunner:
        """Where `.submit` and `.map` run tasks inside this flow; threads by default."""
        if self._task_runner is None:
            from orchestrator.task_runners.threads import ThreadPoolTaskRunner

            self._task_runner = ThreadPoolTaskRunner()
        return self._task_runner

    # As a method it is called without its first argument.
    @overload
    def __get__(self, instance: None, owner: type | None = None) -> Flow[P, R]: ...
    @overload
    def __get__(self: Flow[Concatenate[Any, Q], T], instance: object, owner: type | None = None) -> Flow[Q, T]: ...
    def __get__(self, instance: Any, owner: type | None = None) -> Any:
        return super().__get__(instance, owner)

    @overload
    def __call__(self, *args: P.args, **kwargs: P.kwargs) -> R: ...
    @overload
    def __call__(
        self, *args: Any, return_state: Literal[True], wait_for: Iterable[Any] | None = None, **kwargs: Any
    ) -> State: ...
    @overload
    def __call__(self, *args: Any, wait_for: Iterable[Any] | None, **kwargs: Any) -> R: ...
    def __call__(
        self, *args: Any, return_state: bool = False, wait_for: Iterable[Any] | None = None, **kwargs: Any
    ) -> Any:
        """Run the flow here and now. Inside another flow or task it becomes a subflow with a page of its own.

        Args:
            return_state: Return the final state instead of the value, and raise nothing.
            wait_for: Futures that must have completed first, though no argument needs them.

        Raises:
            ParameterBindError: The arguments don't fit the signature.
            ParameterTypeError: A value can't be made what its annotation says.

        >>> from orchestrator import flow
        >>> @flow
        ... def greet(name: str = "world") -> str:
        ...     return f"hello {name}"
        >>> greet()
        'hello world'
        >>> greet("Ada", return_state=True).is_completed()
        True
        """
        run = FlowRun(self, self.bind(args, kwargs), wait_for)
        return self._perform(run, return_state)

    def _perform(self, run: FlowRun, return_state: bool) -> Any:
        if self.is_generator:
            from orchestrator.engine.generators import items, items_async

            return items_async(run) if self.is_async else items(run)
        if self.is_async:
            return _perform_async(run, return_state)
        drive(live(run))
        return run.outcome(return_state)

    @overload
    def submit(
        self, *args: Any, return_state: Literal[True], wait_for: Iterable[Any] | None = None, **kwargs: Any
    ) -> State: ...
    @overload
    def submit(
        self: Flow[P, Coroutine[Any, Any, T]],
        *args: Any,
        return_state: Literal[False] = False,
        wait_for: Iterable[Any] | None = None,
        **kwargs: Any,
    ) -> Future[T]: ...
    @overload
    def submit(
        self, *args: Any, return_state: Literal[False] = False, wait_for: Iterable[Any] | None = None, **kwargs: Any
    ) -> Future[R]: ...
    def submit(
        self, *args: Any, return_state: bool = False, wait_for: Iterable[Any] | None = None, **kwargs: Any
    ) -> Any:
        """Run the flow in a thread and return a future at once.

        Inside a flow it is a subflow, which runs beside others and beside tasks; the flow around it waits for it at
        its end. Outside of any flow the process does.

        Args:
            return_state: Wait, and return the final state instead of a future.
            wait_for: Futures that must have completed first, though no argument needs them.

        Raises:
            ParameterBindError: The arguments don't fit the signature.

        >>> from orchestrator import flow
        >>> @flow
        ... def load(part: int) -> int:
        ...     return part * 10
        >>> @flow
        ... def load_all() -> list[int]:
        ...     parts = [load.submit(part) for part in (1, 2)]
        ...     return [part.result() for part in parts]
        >>> load_all()
        [10, 20]
        """
        self._refuse_generator("submit")
        run = FlowRun(self, self.bind(args, kwargs), wait_for)
        if run.parent is not None:
            runner = run.parent.subflow_runner()
        else:
            from orchestrator.engine import alone

            runner = alone.runner()
        future = runner.submit(run, perform_elsewhere)
        return future.final_state() if return_state else future

    def run_for(self, execution: Execution) -> FlowRun:
        """The run that an agent was given, not begun yet. Not for user code."""
        return FlowRun(self, {**self.defaults(), **execution.parameters}, execution=execution)

    def execute(self, execution: Execution) -> FlowRun:
        """Run the flow as the root of an execution that an agent was given. Not for user code.

        Async flows get an event loop; generators are run to their end. The returned run tells its final state.
        """
        run = self.run_for(execution)
        return perform_as_root(run, partial(self._perform_to_the_end, run))

    def _perform_to_the_end(self, run: FlowRun) -> None:
        outcome = self._perform(run, return_state=True)
        if self.is_async:
            import asyncio

            asyncio.run(_exhaust_async(outcome) if self.is_generator else outcome)
        elif self.is_generator:
            for _ in outcome:
                pass

    def validate_parameters(self, parameters: dict[str, Any]) -> dict[str, Any]:
        """Coerce parameters to the types in the signature, and return them.

        Raises:
            ParameterTypeError: A value can't be made what its annotation says.

        >>> from orchestrator import flow
        >>> @flow
        ... def add(a: int, b: int): ...
        >>> add.validate_parameters({"a": "1", "b": 2})
        {'a': 1, 'b': 2}
        """
        from orchestrator.parameters import coerce

        return coerce(self.fn, parameters, self.signature)

    def with_options(self, **options: Any) -> Flow[P, R]:
        """A copy of this flow with some options changed. Takes what `@flow` takes.

        >>> from orchestrator import flow
        >>> @flow
        ... def report(): ...
        >>> report.with_options(name="nightly report").name
        'nightly report'
        """
        present: dict[str, Any] = {
            "name": self.name,
            "description": self.description,
            "tags": self.tags,
            "version": self.version,
            "flow_run_name": self.run_name,
            "retries": self.retries,
            "retry_delay_seconds": self.retry_delay_seconds,
            "retry_jitter_factor": self.retry_jitter_factor,
            "retry_condition_fn": self.retry_condition_fn,
            "retry_on": self.retry_on,
            "task_runner": self._task_runner,
            "timeout_seconds": self.timeout_seconds,
            "validate_parameters": self.should_validate_parameters,
            "log_prints": self.log_prints,
            "persist_result": self.persist_result,
            "result_storage": self.result_storage,
            "result_serializer": self.result_serializer,
            "cache_result_in_memory": self.cache_result_in_memory,
        }
        hooks = {name: self.hooks.get(name) for name in NAMES}
        return self._copied_with({**present, **hooks, **options})


async def _perform_async(run: FlowRun, return_state: bool) -> Any:
    await drive_async(live(run))
    return run.outcome(return_state)


async def _exhaust_async(items: Any) -> None:
    async for _ in items:
        pass


@overload
def flow(fn: Callable[P, R], /) -> Flow[P, R]: ...
@overload
def flow(
    *,
    name: str | None = None,
    description: str | None = None,
    tags: Iterable[str] | None = None,
    version: str | None = None,
    flow_run_name: str | Callable[..., str] | None = None,
    retries: int | None = None,
    retry_delay_seconds: Delays | None = None,
    retry_jitter_factor: float | None = None,
    retry_condition_fn: Callable[..., Any] | None = None,
    retry_on: type[BaseException] | tuple[type[BaseException], ...] = (),
    task_runner: TaskRunner | None = None,
    timeout_seconds: float | None = None,
    validate_parameters: bool = True,
    log_prints: bool | None = None,
    persist_result: bool | None = None,
    result_storage: str | Path | Block | ResultStorage | None = None,
    result_serializer: str | Serializer | None = None,
    cache_result_in_memory: bool = True,
    on_running: list[Callable[..., Any]] | None = None,
    on_completion: list[Callable[..., Any]] | None = None,
    on_failure: list[Callable[..., Any]] | None = None,
    on_cancellation: list[Callable[..., Any]] | None = None,
    on_crashed: list[Callable[..., Any]] | None = None,
) -> Callable[[Callable[P, R]], Flow[P, R]]: ...
def flow(fn: Callable[..., Any] | None = None, /, **options: Any) -> Any:
    """Make a function a flow.

    Args:
        name: The function's name by default.
        description: Its docstring by default.
        tags: Given to every run of it, besides those of `tags(…)` around the call.
        version: Whatever tells versions apart for you.
        flow_run_name: A template over the parameters (`"load-{day}"`), or a function without arguments.
        retries: How often to execute again after a failure.
        retry_delay_seconds: Seconds before each retry: a number, a list, or `exponential_backoff(10)`.
        retry_jitter_factor: Make each delay up to this much longer, at random.
        retry_condition_fn: `fn(flow, flow_run, state)`, sync or async, says whether a failure is worth a retry.
        retry_on: Retry after these exceptions only.
        task_runner: Where `.submit` and `.map` run tasks; `ThreadPoolTaskRunner()` by default.
        timeout_seconds: End an execution after this long.
        validate_parameters: Coerce arguments to the types in the signature.
        log_prints: Send what it prints to the run's log.
        persist_result: Store the value, so that the next attempt finds it and doesn't execute again. By default
            where an option says how it is stored, and as the flow around it does; tasks follow it.
        result_storage: Where: a directory, an address (`s3://…`), a block of a file system or its `type/name`.
        result_serializer: By what: `pickle`, `json`, `compressed/pickle`, `compressed/json`, a `Serializer`.
        cache_result_in_memory: False: what was submitted doesn't hold its value, but reads it when it is asked for.
        on_running, on_completion, on_failure, on_cancellation, on_crashed: Lists of functions, each called with
            (flow, flow_run, state).

    >>> from orchestrator import flow
    >>> @flow(name="Adder", retries=1)
    ... def add(a: int, b: int = 1) -> int:
    ...     return a + b
    >>> add(2)
    3
    """
    if fn is None:
        return lambda fn: Flow(fn, **options)
    return Flow(fn, **options)


flow.from_source = Flow.from_source  # pyright: ignore[reportFunctionMemberAccess]  (as people write it)

__getattr__ = missing(__name__)
