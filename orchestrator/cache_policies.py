"""Cache policies: what makes two calls of a task the same, so that the second one takes the value of the first.

    INPUTS           what the task is given
    TASK_SOURCE      the source of its function
    FLOW_PARAMETERS  the parameters of the flow run around it
    RUN_ID           the run: a value is used within it alone, by its next attempts and by retries of it too
    DEFAULT          INPUTS + TASK_SOURCE + RUN_ID
    NO_CACHE         nothing: every call computes

They are added up with `+`, and inputs are left out with `-`. `configure` says how far values go, and what is to happen
when two runs compute one at the same time.

>>> from orchestrator import flow, task
>>> from orchestrator.cache_policies import INPUTS, TASK_SOURCE
>>> @task(cache_policy=INPUTS + TASK_SOURCE - "verbose")
... def price(item: str, verbose: bool = False) -> float:
...     return 1.5
"""

from __future__ import annotations

import copy
from collections.abc import Callable, Generator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Literal, Self

from orchestrator.context import refreshes_cache_here
from orchestrator.counterparts import missing

if TYPE_CHECKING:
    from orchestrator.engine.flow_run import FlowRun
    from orchestrator.engine.task_run import TaskRun
    from orchestrator.tasks import Task
    from orchestrator.transactions import IsolationLevel

__all__ = [
    "DEFAULT",
    "FLOW_PARAMETERS",
    "INPUTS",
    "NO_CACHE",
    "RUN_ID",
    "TASK_SOURCE",
    "CacheContext",
    "CacheKeyFnPolicy",
    "CachePolicy",
    "CompoundCachePolicy",
    "FlowParameters",
    "Inputs",
    "NoCache",
    "RunId",
    "TaskSource",
    "refresh_cache",
    "task_input_hash",
]

Scope = Literal["run", "deployment", "workspace"]
SCOPES = ("run", "deployment", "workspace")


@dataclass(frozen=True, slots=True)
class CacheContext:
    """What a policy is told of the call: the task, its run, and the flow run around it."""

    task: Task[..., Any]
    task_run: TaskRun
    flow_run: FlowRun


@dataclass
class CachePolicy:
    """The base. Subclass it with `compute_key`.

    Attributes:
        scope: How far a value goes: within its run, its deployment, or its workspace.
        isolation_level: Whether a call may compute without the lock of its key, when the server that has it is away.
        lock_manager: What gives locks, with `lock(name, timeout_seconds=…)` and `alock`; the platform's by default.
        wait_seconds: How long a call waits for another one that computes the same.
    """

    scope: Scope | None = field(default=None, kw_only=True)
    isolation_level: IsolationLevel | None = field(default=None, kw_only=True)
    lock_manager: Any = field(default=None, kw_only=True)
    wait_seconds: float | None = field(default=None, kw_only=True)

    def compute_key(
        self, task_ctx: CacheContext, inputs: dict[str, Any], flow_parameters: dict[str, Any], **kwargs: Any
    ) -> str | None:
        """The key of a call; None, if its value is not to be cached.

        Args:
            task_ctx: The call.
            inputs: What the task is given, by name, defaults included.
            flow_parameters: The parameters of the flow run around it.
        """
        raise NotImplementedError

    def configure(
        self,
        *,
        scope: Scope | None = None,
        isolation_level: IsolationLevel | Literal["READ_COMMITTED", "SERIALIZABLE"] | None = None,
        lock_manager: Any = None,
        wait_seconds: float | None = None,
    ) -> Self:
        """The same policy with other settings; what isn't given stays.

        Raises:
            ValueError: A setting is none.

        >>> INPUTS.configure(scope="deployment").scope
        'deployment'
        """
        if scope is not None and scope not in SCOPES:
            raise ValueError(f"scope is one of {', '.join(SCOPES)}, not {scope!r}.")
        if isolation_level is not None:
            from orchestrator.transactions import IsolationLevel

            isolation_level = IsolationLevel(isolation_level)
        given = {
            "scope": scope, "isolation_level": isolation_level, "lock_manager": lock_manager,
            "wait_seconds": wait_seconds,
        }  # fmt: skip
        other = copy.copy(self)
        for name, value in given.items():
            if value is not None:
                setattr(other, name, value)
        return other

    def __add__(self, other: Any) -> CachePolicy:
        if not isinstance(other, CachePolicy):
            return NotImplemented
        if isinstance(other, NoCache):
            return self
        return CompoundCachePolicy([*_parts(self), *_parts(other)], **_agreed(self, other))

    def __sub__(self, name: Any) -> CachePolicy:
        if not isinstance(name, str):
            raise TypeError(f"The name of an input is taken off a policy, not {name!r}.")
        return self

    @classmethod
    def from_cache_key_fn(cls, cache_key_fn: Callable[[CacheContext, dict[str, Any]], str | None]) -> CacheKeyFnPolicy:
        """The policy of a function that makes keys."""
        return CacheKeyFnPolicy(cache_key_fn=cache_key_fn)


_SETTINGS = ("scope", "isolation_level", "lock_manager", "wait_seconds")


def _parts(policy: CachePolicy) -> list[CachePolicy]:
    return policy.policies if isinstance(policy, CompoundCachePolicy) else [policy]


def _agreed(one: CachePolicy, other: CachePolicy) -> dict[str, Any]:
    """The settings of two policies that are added up."""
    agreed: dict[str, Any] = {}
    for name in _SETTINGS:
        first, second = getattr(one, name), getattr(other, name)
        if first is not None and second is not None and first != second:
            raise ValueError(
                f"The policies say different things of {name}: {first!r} and {second!r}. Configure the sum."
            )
        agreed[name] = first if first is not None else second
    return agreed


@dataclass
class CacheKeyFnPolicy(CachePolicy):
    """The key is what a function says, as it says it.

    >>> CacheKeyFnPolicy(lambda context, parameters: f"day-{parameters['day']}").compute_key(None, {"day": 3}, {})
    'day-3'
    """

    cache_key_fn: Callable[[CacheContext, dict[str, Any]], str | None]

    def compute_key(
        self, task_ctx: CacheContext, inputs: dict[str, Any], flow_parameters: dict[str, Any], **kwargs: Any
    ) -> str | None:
        key = self.cache_key_fn(task_ctx, inputs)
        return None if key is None else str(key)


@dataclass
class CompoundCachePolicy(CachePolicy):
    """Several policies: calls are the same by all of them."""

    policies: list[CachePolicy]

    def compute_key(
        self, task_ctx: CacheContext, inputs: dict[str, Any], flow_parameters: dict[str, Any], **kwargs: Any
    ) -> str | None:
        keys = [policy.compute_key(task_ctx, inputs, flow_parameters, **kwargs) for policy in self.policies]
        told = [key for key in keys if key is not None]
        return _digest(*told) if told else None

    def __sub__(self, name: str) -> CachePolicy:
        taken = [policy - name for policy in self.policies]
        return CompoundCachePolicy(taken, **{each: getattr(self, each) for each in _SETTINGS})


@dataclass
class NoCache(CachePolicy):
    """Nothing is cached."""

    def compute_key(
        self, task_ctx: CacheContext, inputs: dict[str, Any], flow_parameters: dict[str, Any], **kwargs: Any
    ) -> str | None:
        return None

    def __add__(self, other: Any) -> CachePolicy:
        return other


@dataclass
class TaskSource(CachePolicy):
    """By the source of the task's function: a mended task computes anew."""

    def compute_key(
        self, task_ctx: CacheContext, inputs: dict[str, Any], flow_parameters: dict[str, Any], **kwargs: Any
    ) -> str | None:
        from inspect import getsource

        fn = task_ctx.task.fn
        fn = getattr(fn, "func", fn)
        try:
            return _digest(getsource(fn))
        except (OSError, TypeError):  # Typed in at a prompt, or made by a program.
            return _digest(fn)


@dataclass
class FlowParameters(CachePolicy):
    """By the parameters of the flow run around the call."""

    def compute_key(
        self, task_ctx: CacheContext, inputs: dict[str, Any], flow_parameters: dict[str, Any], **kwargs: Any
    ) -> str | None:
        return _digest(_task(task_ctx), flow_parameters) if flow_parameters else None


@dataclass
class RunId(CachePolicy):
    """By the flow run. Its next attempts, and runs that retry it, count as the same."""

    def compute_key(
        self, task_ctx: CacheContext, inputs: dict[str, Any], flow_parameters: dict[str, Any], **kwargs: Any
    ) -> str | None:
        from orchestrator.engine.caching import place_of

        return _digest(_task(task_ctx), place_of(task_ctx.flow_run))


@dataclass
class Inputs(CachePolicy):
    """By what the task is given, but for the inputs that were taken off."""

    exclude: list[str] = field(default_factory=list)

    def compute_key(
        self, task_ctx: CacheContext, inputs: dict[str, Any], flow_parameters: dict[str, Any], **kwargs: Any
    ) -> str | None:
        return _digest(_task(task_ctx), {name: value for name, value in inputs.items() if name not in self.exclude})

    def __sub__(self, name: str) -> CachePolicy:
        super().__sub__(name)
        return Inputs([*self.exclude, name], **{each: getattr(self, each) for each in _SETTINGS})


INPUTS = Inputs()
TASK_SOURCE = TaskSource()
FLOW_PARAMETERS = FlowParameters()
RUN_ID = RunId()
NO_CACHE = NoCache()
DEFAULT = INPUTS + TASK_SOURCE + RUN_ID


def task_input_hash(context: CacheContext, arguments: dict[str, Any]) -> str:
    """A `cache_key_fn`: by the task, the code of its function, and what it is given.

    >>> from orchestrator import task
    >>> @task(cache_key_fn=task_input_hash)
    ... def price(item: str) -> float:
    ...     return 1.5
    """
    return _digest(context.task.name, context.task.fn.__code__, arguments)


@contextmanager
def refresh_cache(refresh: bool = True) -> Generator[None]:
    """Have the tasks that are called inside compute anew, and put what they come to in the place of what is cached.

    With `refresh_cache(False)` they use the cache, whatever the setting says. A task's own option comes first.

    >>> from orchestrator import flow
    >>> @flow
    ... def report(): ...
    >>> with refresh_cache():
    ...     report()
    """
    token = refreshes_cache_here.set(refresh)
    try:
        yield
    finally:
        refreshes_cache_here.reset(token)


def _task(context: CacheContext) -> str:
    """Tasks that are given the same don't return the same."""
    from orchestrator.engine.call_keys import task_key

    return task_key(context.task)


def _digest(*values: Any) -> str:
    from orchestrator.hashing import digest

    return digest(*values)


__getattr__ = missing(__name__)
