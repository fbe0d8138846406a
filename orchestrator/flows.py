"""Flows: functions whose calls are recorded as runs."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import TYPE_CHECKING, Any, Concatenate, Generic, Literal, ParamSpec, TypeVar, overload

from orchestrator.counterparts import missing
from orchestrator.engine.definition import Definition, refuse
from orchestrator.engine.drivers import drive, drive_async
from orchestrator.engine.flow_run import Execution, FlowRun
from orchestrator.engine.hooks import NAMES
from orchestrator.engine.life import live, perform_elsewhere
from orchestrator.engine.retries import Delays

if TYPE_CHECKING:
    from collections.abc import Coroutine
    from pathlib import Path
    from uuid import UUID

    from orchestrator.deployments import Deployment
    from orchestrator.futures import Future
    from orchestrator.schedules import Schedule
    from orchestrator.states import State
    from orchestrator.task_runners.base import TaskRunner

__all__ = ["Flow", "flow"]

P = ParamSpec("P")
R = TypeVar("R", covariant=True)
T = TypeVar("T")
Q = ParamSpec("Q")


class Flow(Definition[P, R], Generic[P, R]):
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
        return FlowRun(self, {**self._defaults(), **execution.parameters}, execution=execution)

    def execute(self, execution: Execution) -> FlowRun:
        """Run the flow as the root of an execution that an agent was given. Not for user code.

        Async flows get an event loop; generators are run to their end. The returned run tells its final state.
        """
        run = self.run_for(execution)
        from orchestrator.context import adopt_strays

        if execution.alone:
            adopt_strays(run)
        if execution.on_start is not None:
            execution.on_start(run)
        try:
            self._perform_to_the_end(run)
        except BaseException:
            # The run has taken note. What ended the process from outside is known by its state.
            if run.error is None:
                raise
        return run

    def _perform_to_the_end(self, run: FlowRun) -> None:
        outcome = self._perform(run, return_state=True)
        if self.is_async:
            import asyncio

            asyncio.run(_exhaust_async(outcome) if self.is_generator else outcome)
        elif self.is_generator:
            for _ in outcome:
                pass

    def _defaults(self) -> dict[str, Any]:
        parameters = self.signature.parameters.values()
        return {p.name: p.default for p in parameters if p.default is not p.empty}

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
        }
        hooks = {name: self.hooks.get(name) for name in NAMES}
        return self._copied_with({**present, **hooks, **options})

    def to_deployment(
        self,
        name: str,
        *,
        work_pool_name: str = "default",
        work_queue_name: str | None = None,
        parameters: dict[str, Any] | None = None,
        description: str | None = None,
        tags: Iterable[str] | None = None,
        version: str | None = None,
        cron: str | None = None,
        interval: Any = None,
        schedule: Schedule | None = None,
        concurrency_limit: int | None = None,
        crash_retries: int | None = None,
        source: str | Path | None = None,
        process: str = "warm",
        job_variables: dict[str, Any] | None = None,
    ) -> Deployment:
        """Describe a deployment of this flow, for `orchestrator.deploy(*deployments)`. Takes what `deploy` takes."""
        from orchestrator.deployments import describe

        return describe(
            self,
            name,
            work_pool_name=work_pool_name,
            work_queue_name=work_queue_name,
            parameters=parameters,
            description=description,
            tags=tags,
            version=version,
            cron=cron,
            interval=interval,
            schedule=schedule,
            concurrency_limit=concurrency_limit,
            crash_retries=crash_retries,
            source=source,
            process=process,
            job_variables=job_variables,
        )

    def deploy(
        self,
        name: str,
        *,
        work_pool_name: str = "default",
        work_queue_name: str | None = None,
        parameters: dict[str, Any] | None = None,
        description: str | None = None,
        tags: Iterable[str] | None = None,
        version: str | None = None,
        cron: str | None = None,
        interval: Any = None,
        schedule: Schedule | None = None,
        concurrency_limit: int | None = None,
        crash_retries: int | None = None,
        source: str | Path | None = None,
        process: str = "warm",
        job_variables: dict[str, Any] | None = None,
    ) -> UUID:
        """Make this flow known to the server under a name, so that agents can run it.

        The code goes along: the flow's module and those it imported from the same directory tree are packed into a
        bundle, uploaded once. A flow from `__main__` or a notebook is pickled by value instead, which ties it to
        this version of Python.

        Args:
            name: The deployment's name; deploying again under it replaces it.
            work_pool_name: The pool whose agents run it.
            work_queue_name: A queue of that pool.
            parameters: Values that take the place of the function's defaults.
            description: The flow's own by default.
            tags: Given to every run of it.
            version: The flow's own by default.
            cron: Five fields, evaluated in UTC. For another timezone pass `schedule=Cron(…, timezone=…)`.
            interval: Seconds, or a timedelta.
            schedule: A Cron or an Interval from `orchestrator.schedules`.
            concurrency_limit: How many of its runs may be under way at once.
            crash_retries: Attempts after a crash, if more than the flow's `retries`.
            source: A directory on the agents' machines to run from, in place of a bundle.
            process: How an agent comes by the process of a run: `warm` forks it from one that has imported the code,
                `fresh` starts an interpreter, `reuse` has one process take run after run.
            job_variables: In what surroundings it runs: `env`, variables for its environment, and `memory_mib`, how
                much memory its processes may use before they are killed.

        Returns:
            The deployment's id.

        Raises:
            ValueError: There is no such process, or a job variable is not what it should be.
            NotConfigured: No API is known.
            BundleError: The code can't be packed.
            ApiError: The API refused.
        """
        from orchestrator.deployments import deploy

        deployment = self.to_deployment(
            name,
            work_pool_name=work_pool_name,
            work_queue_name=work_queue_name,
            parameters=parameters,
            description=description,
            tags=tags,
            version=version,
            cron=cron,
            interval=interval,
            schedule=schedule,
            concurrency_limit=concurrency_limit,
            crash_retries=crash_retries,
            source=source,
            process=process,
            job_variables=job_variables,
        )
        return deploy(deployment)[0]

    def serve(
        self,
        name: str | None = None,
        *,
        limit: int | None = None,
        pause_on_shutdown: bool = True,
        print_starting_message: bool = True,
        **options: Any,
    ) -> None:
        """Deploy this flow and execute its runs under this process, until told to stop (Ctrl-C, SIGTERM).

        Args:
            name: The deployment's name; the flow's by default.
            limit: Runs at once; 10 by default.
            pause_on_shutdown: Pause the schedule at the end; the next `serve` resumes it.
            print_starting_message: Say where the deployment is to be seen.
            options: What `to_deployment` takes.

        Raises:
            NotConfigured: No API is known.
            ApiError: The API refused.
        """
        from orchestrator.serving import serve

        serve(
            self.to_deployment(name or self.name, **options),
            limit=limit,
            pause_on_shutdown=pause_on_shutdown,
            print_starting_message=print_starting_message,
        )

    @classmethod
    def from_source(cls, source: str | Path, entrypoint: str) -> Flow[..., Any]:
        """A flow whose code is elsewhere, to be called or deployed from here.

        Args:
            source: A directory, or the address of a git repository: `https://…`, `ssh://…`, `git@…`, `file://…` or what
                ends in `.git`, with `@branch`, `@tag` or `@commit` behind it for another one than the default branch.
            entrypoint: `path/in/source.py:name`.

        Raises:
            LoadError: The repository can't be fetched, there is no such file or name, or it is no flow.
        """
        from orchestrator.fetching import fetched
        from orchestrator.loading import load_flow

        return load_flow(entrypoint, fetched(source))


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
