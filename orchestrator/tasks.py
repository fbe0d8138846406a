"""Tasks: the steps of a flow, each recorded with its states, times, retries and edges."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import TYPE_CHECKING, Any, Concatenate, Generic, Literal, ParamSpec, TypeVar, overload

from orchestrator.context import current_flow_run
from orchestrator.counterparts import missing
from orchestrator.delayable import Delayable
from orchestrator.engine.definition import Definition, refuse
from orchestrator.engine.drivers import drive, drive_async
from orchestrator.engine.hooks import NAMES, gather
from orchestrator.engine.life import live, perform_elsewhere
from orchestrator.engine.retries import Delays, exponential_backoff
from orchestrator.engine.task_run import TaskRun

if TYPE_CHECKING:
    from collections.abc import Coroutine
    from datetime import timedelta
    from pathlib import Path

    from orchestrator.assets import Asset
    from orchestrator.blocks import Block
    from orchestrator.cache_policies import CacheContext, CachePolicy
    from orchestrator.engine.flow_run import Execution, FlowRun
    from orchestrator.flows import Flow
    from orchestrator.futures import Future, FutureList
    from orchestrator.result_storage import ResultStorage
    from orchestrator.serializers import Serializer
    from orchestrator.states import State
    from orchestrator.task_runners.base import TaskRunner
    from orchestrator.transactions import Transaction

__all__ = ["Task", "exponential_backoff", "task"]

P = ParamSpec("P")
R = TypeVar("R", covariant=True)
T = TypeVar("T")
Q = ParamSpec("Q")
H = TypeVar("H", bound=Callable[..., Any])


class Task(Delayable, Definition[P, R], Generic[P, R]):
    """A function made a task by `@task`. Call it as before, or `.submit` it, or `.map` it, or `.delay` it."""

    kind_of_run = "task"
    makes_assets = False

    def __init__(
        self,
        fn: Callable[P, R],
        *,
        name: str | None = None,
        description: str | None = None,
        tags: Iterable[str] | None = None,
        version: str | None = None,
        task_run_name: str | Callable[..., str] | None = None,
        retries: int | None = None,
        retry_delay_seconds: Delays | None = None,
        retry_jitter_factor: float | None = None,
        retry_condition_fn: Callable[..., Any] | None = None,
        retry_on: type[BaseException] | tuple[type[BaseException], ...] = (),
        timeout_seconds: float | None = None,
        log_prints: bool | None = None,
        persist_result: bool | None = None,
        result_storage: Any = None,
        result_serializer: Any = None,
        result_storage_key: str | None = None,
        cache_result_in_memory: bool = True,
        cache_policy: CachePolicy | None = None,
        cache_key_fn: Callable[[CacheContext, dict[str, Any]], str | None] | None = None,
        cache_expiration: timedelta | float | None = None,
        refresh_cache: bool | None = None,
        asset_deps: Iterable[Any] | None = None,
        **others: Any,
    ) -> None:
        hooks = {name: others.pop(name, None) for name in NAMES}
        own = {name: others.pop(name, None) for name in ("on_commit", "on_rollback")}
        refuse("task", others)
        gathered = gather(own)
        self.on_commit_hooks: list[Callable[[Transaction], Any]] = gathered.get("on_commit", [])
        self.on_rollback_hooks: list[Callable[[Transaction], Any]] = gathered.get("on_rollback", [])
        self.result_storage_key = result_storage_key
        self.cache_policy: CachePolicy | None = None
        self.cache_expiration: timedelta | None = None
        self.cache_key_fn, self.refresh_cache = cache_key_fn, refresh_cache
        if any(each is not None for each in (cache_policy, cache_key_fn, cache_expiration, refresh_cache)):
            from orchestrator.engine.cache_options import read

            self.cache_policy, self.cache_expiration = read(
                cache_policy, cache_key_fn, cache_expiration, refresh_cache, persist_result, result_storage_key
            )
        super().__init__(
            fn,
            name=name,
            description=description,
            tags=tags,
            version=version,
            run_name=task_run_name,
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
        if self.is_generator and self.cache_policy is not None:
            raise TypeError(f"{self.name} is a generator: what it yields is handed out and can't be cached.")
        self.asset_deps: tuple[str, ...] = ()
        if asset_deps:
            from orchestrator.assets import keys_of

            self.asset_deps = keys_of(asset_deps)
        self.flow_alone: Flow[..., Any] | None = None  # What a call without a flow is recorded under.
        self.given: dict[str, Any] = {}  # What `with_options` changed.

    def _options_of_results(self) -> tuple[Any, ...]:
        return *super()._options_of_results(), self.result_storage_key, self.cache_policy

    # As a method it is called without its first argument.
    @overload
    def __get__(self, instance: None, owner: type | None = None) -> Task[P, R]: ...
    @overload
    def __get__(self: Task[Concatenate[Any, Q], T], instance: object, owner: type | None = None) -> Task[Q, T]: ...
    def __get__(self, instance: Any, owner: type | None = None) -> Any:
        return super().__get__(instance, owner)

    # A coroutine function is awaited, and `return_state` asks for the state in place of the value.
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
        """Run the task here and now.

        Args:
            return_state: Return the final state instead of the value, and raise nothing.
            wait_for: Futures that must have completed first, though no argument needs them.

        >>> from orchestrator import flow, task
        >>> @task(retries=2)
        ... def add(a: int, b: int) -> int:
        ...     return a + b
        >>> @flow
        ... def sums() -> int:
        ...     return add(add(1, 2), 3)
        >>> sums()
        6
        """
        run = TaskRun(self, args, kwargs, wait_for)
        if self.is_async or self.is_generator:
            return _perform_otherwise(run, return_state)
        drive(live(run))
        if return_state or run.error is not None or run._manual is not None:
            return run.outcome(return_state)
        return run.value

    @overload
    def submit(
        self, *args: Any, return_state: Literal[True], wait_for: Iterable[Any] | None = None, **kwargs: Any
    ) -> State: ...
    @overload
    def submit(
        self: Task[P, Coroutine[Any, Any, T]],
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
        """Hand the task to the flow's task runner and return a future at once.

        Outside of any flow it runs in a thread of this process, which waits for it at its end.

        Args:
            return_state: Wait, and return the final state instead of a future.
            wait_for: Futures that must have completed first, though no argument needs them.

        >>> from orchestrator import flow, task
        >>> @task
        ... def shout(word: str) -> str:
        ...     return word.upper()
        >>> @flow
        ... def shouting() -> list[str]:
        ...     words = [shout.submit(word) for word in ("ready", "set")]
        ...     return [word.result() for word in words]
        >>> shouting()
        ['READY', 'SET']
        """
        self._refuse_generator("submit")
        run = TaskRun(self, args, kwargs, wait_for)
        future = self._runner_here().submit(run, perform_elsewhere)
        if run.transaction is not None and run.transaction.parent is not None:
            run.transaction.parent.wait_for(future)
        return future.final_state() if return_state else future

    @overload
    def map(
        self: Task[P, Coroutine[Any, Any, T]], *args: Any, wait_for: Iterable[Any] | None = None, **kwargs: Any
    ) -> FutureList[T]: ...
    @overload
    def map(self, *args: Any, wait_for: Iterable[Any] | None = None, **kwargs: Any) -> FutureList[R]: ...
    def map(self, *args: Any, wait_for: Iterable[Any] | None = None, **kwargs: Any) -> Any:
        """Submit the task once for each item of the iterables among its arguments.

        Texts and what is not iterable go to every call; wrap an iterable in `unmapped` for the same, and in `flatten`
        to map over the items of its items. Iterables are read as the calls are taken up: once as many as the runner
        likes to hold wait their turn, this waits too.

        Args:
            wait_for: Futures that must have completed first.

        Raises:
            MappingError: No argument is iterable, or they are not of one length.

        >>> from orchestrator import flow, task
        >>> @task
        ... def power(base: int, exponent: int) -> int:
        ...     return base**exponent
        >>> @flow
        ... def powers() -> list[int]:
        ...     return power.map([1, 2, 3], 2).result()
        >>> powers()
        [1, 4, 9]
        """
        from orchestrator.engine.mapping import calls
        from orchestrator.futures import FutureList

        self._refuse_generator("map")
        after = None if wait_for is None else list(wait_for)
        make_room = self._runner_here().make_room
        futures: FutureList[Any] = FutureList()
        for call in calls(args, kwargs):
            make_room()
            # The items have lost whom they came from: an edge says it.
            wait_for = after if not call.sources else [*(after or ()), *call.sources]
            futures.append(self.submit(*call.args, wait_for=wait_for, **call.kwargs))
        return futures

    def on_commit(self, fn: H) -> H:
        """Call `fn(transaction)` when the transaction around a run commits. Use it as a decorator."""
        self.on_commit_hooks.append(fn)
        return fn

    def on_rollback(self, fn: H) -> H:
        """Call `fn(transaction)` when a run has finished and its transaction is rolled back. Use it as a decorator."""
        self.on_rollback_hooks.append(fn)
        return fn

    def _runner_here(self) -> TaskRunner:
        """Where `.submit` runs what is called here."""
        flow_run = current_flow_run()
        if flow_run is not None:
            return flow_run.task_runner()
        from orchestrator.engine import alone

        return alone.runner()

    def with_options(self, **options: Any) -> Task[P, R]:
        """A copy of this task with some options changed. Takes what `@task` takes.

        >>> from orchestrator import task
        >>> @task
        ... def fetch():
        ...     return 1
        >>> fetch.with_options(name="patient", retries=5).retries
        5
        """
        hooks = {name: self.hooks.get(name) for name in NAMES}
        present: dict[str, Any] = {
            "name": self.name,
            "description": self.description,
            "tags": self.tags,
            "version": self.version,
            "task_run_name": self.run_name,
            "retries": self.retries,
            "retry_delay_seconds": self.retry_delay_seconds,
            "retry_jitter_factor": self.retry_jitter_factor,
            "retry_condition_fn": self.retry_condition_fn,
            "retry_on": self.retry_on,
            "timeout_seconds": self.timeout_seconds,
            "log_prints": self.log_prints,
            "persist_result": self.persist_result,
            "result_storage": self.result_storage,
            "result_serializer": self.result_serializer,
            "result_storage_key": self.result_storage_key,
            "cache_result_in_memory": self.cache_result_in_memory,
            "cache_policy": None if self.cache_key_fn is not None else self.cache_policy,
            "cache_key_fn": self.cache_key_fn,
            "cache_expiration": self.cache_expiration,
            "refresh_cache": self.refresh_cache,
            "asset_deps": self.asset_deps,
            "on_commit": self.on_commit_hooks,
            "on_rollback": self.on_rollback_hooks,
        }
        for given, other in (("cache_policy", "cache_key_fn"), ("cache_key_fn", "cache_policy")):
            if options.get(given) is not None:
                present[other] = None
        copy = self._copied_with({**present, **hooks, **options})
        copy.given = {**self.given, **options}
        return copy

    # For agents.

    def run_for(self, execution: Execution) -> TaskRun:
        """The run that an agent was given, not begun yet. Not for user code."""
        from orchestrator.engine.delayed import DelayedRun

        return DelayedRun(self, execution)

    def execute(self, execution: Execution) -> FlowRun:
        """Run the task as the root of an execution that an agent was given. Not for user code."""
        from orchestrator.engine.delayed import execute

        return execute(self, execution)


def _perform_otherwise(run: TaskRun, return_state: bool) -> Any:
    if run.definition.is_generator:
        from orchestrator.engine.generators import items, items_async

        return items_async(run) if run.definition.is_async else items(run)
    return _perform_async(run, return_state)


async def _perform_async(run: TaskRun, return_state: bool = False) -> Any:
    await drive_async(live(run))
    return run.outcome(return_state)


@overload
def task(fn: Callable[P, R], /) -> Task[P, R]: ...
@overload
def task(
    *,
    name: str | None = None,
    description: str | None = None,
    tags: Iterable[str] | None = None,
    version: str | None = None,
    task_run_name: str | Callable[..., str] | None = None,
    retries: int | None = None,
    retry_delay_seconds: Delays | None = None,
    retry_jitter_factor: float | None = None,
    retry_condition_fn: Callable[..., Any] | None = None,
    retry_on: type[BaseException] | tuple[type[BaseException], ...] = (),
    timeout_seconds: float | None = None,
    log_prints: bool | None = None,
    persist_result: bool | None = None,
    result_storage: str | Path | Block | ResultStorage | None = None,
    result_serializer: str | Serializer | None = None,
    result_storage_key: str | None = None,
    cache_result_in_memory: bool = True,
    cache_policy: CachePolicy | None = None,
    cache_key_fn: Callable[[CacheContext, dict[str, Any]], str | None] | None = None,
    cache_expiration: timedelta | float | None = None,
    refresh_cache: bool | None = None,
    asset_deps: Iterable[str | Asset] | None = None,
    on_running: list[Callable[..., Any]] | None = None,
    on_completion: list[Callable[..., Any]] | None = None,
    on_failure: list[Callable[..., Any]] | None = None,
    on_cancellation: list[Callable[..., Any]] | None = None,
    on_crashed: list[Callable[..., Any]] | None = None,
    on_commit: list[Callable[[Transaction], Any]] | None = None,
    on_rollback: list[Callable[[Transaction], Any]] | None = None,
) -> Callable[[Callable[P, R]], Task[P, R]]: ...
def task(fn: Callable[..., Any] | None = None, /, **options: Any) -> Any:
    """Make a function a task.

    Args:
        name: The function's name by default.
        description: Its docstring by default.
        tags: Given to every run of it, besides those of `tags(…)` around the call.
        version: Whatever tells versions apart for you.
        task_run_name: A template over the parameters (`"fetch-{day}"`), or a function without arguments.
        retries: How often to execute again after a failure.
        retry_delay_seconds: Seconds before each retry: a number, a list, or `exponential_backoff(10)`.
        retry_jitter_factor: Make each delay up to this much longer, at random (0.5: up to half as long again).
        retry_condition_fn: `fn(task, task_run, state)`, sync or async, says whether a failure is worth a retry.
        retry_on: Retry after these exceptions only.
        timeout_seconds: End an execution after this long.
        log_prints: Send what it prints to the run's log; by default as the flow does.
        persist_result: Store the value, so that the next attempt finds it and doesn't execute again. By default
            as the flow does, and where another option says how it is stored.
        result_storage: Where: a directory, an address (`s3://…`), a block of a file system or its `type/name`.
        result_serializer: By what: `pickle`, `json`, `compressed/pickle`, `compressed/json`, a `Serializer`.
        result_storage_key: Under which path, a template: `"{flow_run.name}/{parameters[day]}.json"`.
        cache_result_in_memory: False: what was submitted doesn't hold its value, but reads it when it is asked for.
        cache_policy: When two calls are the same, so that the second one takes the value of the first:
            `orchestrator.cache_policies`. By default no two are.
        cache_key_fn: `fn(context, parameters)` makes the key of a call, or None; in place of a policy.
        cache_expiration: For how long a value is used: a timedelta, or seconds; for ever by default.
        refresh_cache: True: compute in any case, and cache that; False: don't, whatever `refresh_cache()` around the
            call and ORCHESTRATOR_REFRESH_CACHE say.
        asset_deps: Assets that it uses, by key or as `orchestrator.assets.Asset`.
        on_running, on_completion, on_failure, on_cancellation, on_crashed: Lists of functions, each called with
            (task, task_run, state).
        on_commit, on_rollback: Lists of functions, each called with the transaction: `orchestrator.transactions`.

    >>> from orchestrator import task
    >>> @task(retries=3, retry_delay_seconds=[1, 5, 25], retry_on=(ConnectionError,))
    ... def fetch(url: str) -> bytes: ...
    >>> fetch.name
    'fetch'
    """
    if fn is None:
        return lambda fn: Task(fn, **options)
    return Task(fn, **options)


def __getattr__(name: str) -> Any:
    if name == "task_input_hash":
        from orchestrator.cache_policies import task_input_hash

        return task_input_hash
    return missing(__name__)(name)
