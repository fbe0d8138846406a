"""What a flow and a task have in common before they are called: the function, and how it shall be run."""

from __future__ import annotations

import functools
import inspect
from collections.abc import Callable, Iterable
from typing import TYPE_CHECKING, Any, Generic, ParamSpec, Self, TypeVar, cast

from orchestrator.engine.hooks import NAMES, Hooks, gather
from orchestrator.engine.retries import Delays, fixed_delays
from orchestrator.exceptions import ParameterBindError

if TYPE_CHECKING:
    from orchestrator.runner.storage import CodeSource

P = ParamSpec("P")
R = TypeVar("R", covariant=True)
H = TypeVar("H", bound=Callable[..., Any])


def refuse(what: str, options: Iterable[str]) -> None:
    """Raise for options that nobody takes: they are refused, never ignored.

    Raises:
        TypeError: Always, if there are any.
    """
    for option in options:
        raise TypeError(f"@{what} takes no option {option!r}.")


class Definition(Generic[P, R]):
    """A function with the settings of its runs."""

    kind_of_run = "run"
    any_keeps = False  # True once any in this process keeps the values of its runs.
    should_validate_parameters = True

    def __init__(
        self,
        fn: Callable[P, Any],
        *,
        name: str | None,
        description: str | None,
        tags: Iterable[str] | None,
        version: str | None,
        run_name: str | Callable[..., str] | None,
        retries: int | None,
        retry_delay_seconds: Delays | None,
        retry_jitter_factor: float | None,
        retry_condition_fn: Callable[..., Any] | None,
        retry_on: type[BaseException] | tuple[type[BaseException], ...],
        timeout_seconds: float | None,
        log_prints: bool | None,
        persist_result: bool | None,
        result_storage: Any,
        result_serializer: Any,
        cache_result_in_memory: bool,
        hooks: dict[str, Any],
    ) -> None:
        fn, self._wrapper = _plain_function(fn)
        if not callable(fn):
            raise TypeError(f"@{self.kind_of_run} decorates a function, not {type(fn).__name__}. Options go by name.")
        functools.update_wrapper(cast(Any, self), fn)
        self.fn = fn
        self.taken_from: tuple[CodeSource, str] | None = None  # and the entrypoint in it: by `from_source`
        self.name = name or getattr(fn, "__name__", type(fn).__name__).replace("<lambda>", "lambda")
        self.description = description if description is not None else inspect.getdoc(fn)
        self.tags = frozenset(_checked_tags(tags))
        self.version = version
        self.run_name = run_name
        self.retries = _whole("retries", retries)
        self.retry_delay_seconds = retry_delay_seconds
        self.retry_delays = fixed_delays(retry_delay_seconds, self.retries)
        self.retry_jitter_factor = retry_jitter_factor
        if retry_condition_fn is not None and not callable(retry_condition_fn):
            raise TypeError(
                f"retry_condition_fn is a function of ({self.kind_of_run}, run, state): is it worth a retry?"
            )
        self.retry_condition_fn = retry_condition_fn
        self.retry_on = retry_on if isinstance(retry_on, tuple) else (retry_on,)
        self.timeout_seconds = float(timeout_seconds) if timeout_seconds else None
        self.log_prints = log_prints
        self.persist_result = persist_result
        self.result_storage = result_storage
        self.result_serializer = result_serializer
        self.cache_result_in_memory = cache_result_in_memory is not False
        self.hooks: Hooks = gather(hooks)
        self.is_async = inspect.iscoroutinefunction(fn) or inspect.isasyncgenfunction(fn)
        self.is_generator = inspect.isgeneratorfunction(fn) or inspect.isasyncgenfunction(fn)
        self._refuse_what_generators_cannot()
        self.keeps = self._whether_kept()  # None: as the flow around it does.
        if self.keeps:
            Definition.any_keeps = True
        self._signature: inspect.Signature | None = None

    def _refuse_what_generators_cannot(self) -> None:
        if self.is_generator and (self.retries or self.timeout_seconds):
            raise TypeError(
                f"{self.name} is a generator: it takes neither retries nor timeout_seconds, since what was handed out "
                "can't be taken back."
            )

    def _whether_kept(self) -> bool | None:
        if self.is_generator and self.kind_of_run == "task":
            if self.persist_result:
                raise TypeError(
                    f"{self.name} is a generator: what it yields is handed out and not kept, so persist_result=True "
                    "has no meaning. Persist the tasks that take its items, or return a list."
                )
            return False
        if self.persist_result is None and any(each is not None for each in self._options_of_results()):
            return True
        return self.persist_result

    def _options_of_results(self) -> tuple[Any, ...]:
        """The options that mean that values are to be kept."""
        return self.result_storage, self.result_serializer

    def _refuse_generator(self, how: str) -> None:
        if self.is_generator:
            raise TypeError(f"{self.name} is a generator: its items have nowhere to go from .{how}(). Call it instead.")

    @property
    def has_hooks(self) -> bool:
        """True when any hook hangs on this."""
        return bool(self.hooks)

    @property
    def signature(self) -> inspect.Signature:
        """The function's signature; read once."""
        if self._signature is None:
            self._signature = inspect.signature(self.fn)
        return self._signature

    def bind(self, args: tuple[Any, ...], kwargs: dict[str, Any]) -> dict[str, Any]:
        """The parameters by name, defaults included.

        Raises:
            ParameterBindError: They don't fit the signature.
        """
        try:
            bound = self.signature.bind(*args, **kwargs)
        except TypeError as error:
            raise ParameterBindError(f"{self.name}{self.signature}: {error}.") from None
        bound.apply_defaults()
        return dict(bound.arguments)

    def defaults(self) -> dict[str, Any]:
        """The parameters that need not be given. Not for user code."""
        parameters = self.signature.parameters.values()
        return {p.name: p.default for p in parameters if p.default is not p.empty}

    def call_arguments(self, parameters: dict[str, Any]) -> tuple[tuple[Any, ...], dict[str, Any]]:
        """Turn parameters by name into what the function is called with."""
        args: list[Any] = []
        kwargs: dict[str, Any] = {}
        for name, parameter in self.signature.parameters.items():
            if name not in parameters:
                continue
            value = parameters[name]
            if parameter.kind is parameter.POSITIONAL_ONLY or parameter.kind is parameter.POSITIONAL_OR_KEYWORD:
                args.append(value)
            elif parameter.kind is parameter.VAR_POSITIONAL:
                args.extend(value)
            elif parameter.kind is parameter.VAR_KEYWORD:
                kwargs.update(value)
            else:
                kwargs[name] = value
        return tuple(args), kwargs

    def name_for(self, args: tuple[Any, ...], kwargs: dict[str, Any]) -> str:
        """The name of a run, from the template or the function that was given for it."""
        template = self.run_name
        if callable(template):
            return str(self._called_for_name(template, args, kwargs))
        assert template is not None
        try:
            return template.format(**self.bind(args, kwargs))
        except (KeyError, IndexError, AttributeError) as error:
            raise ParameterBindError(f"The run name {template!r} of {self.name} names no parameter: {error}.") from None

    def _called_for_name(self, make: Callable[..., Any], args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
        """What a function says; one that takes `parameters` is given them."""
        try:
            takes = "parameters" in inspect.signature(make).parameters
        except (TypeError, ValueError):
            takes = False
        return make(parameters=self.bind(args, kwargs)) if takes else make()

    def _hook_decorator(self, name: str, fn: H) -> H:
        self.hooks.setdefault(name, []).append(fn)
        return fn

    def on_running(self, fn: H) -> H:
        """Call `fn(definition, run, state)` when a run begins. Use it as a decorator."""
        return self._hook_decorator("on_running", fn)

    def on_completion(self, fn: H) -> H:
        """Call `fn(definition, run, state)` when a run has completed. Use it as a decorator."""
        return self._hook_decorator("on_completion", fn)

    def on_failure(self, fn: H) -> H:
        """Call `fn(definition, run, state)` when a run has failed, after its last retry. Use it as a decorator."""
        return self._hook_decorator("on_failure", fn)

    def on_cancellation(self, fn: H) -> H:
        """Call `fn(definition, run, state)` when a run was cancelled. Use it as a decorator."""
        return self._hook_decorator("on_cancellation", fn)

    def on_crashed(self, fn: H) -> H:
        """Call `fn(definition, run, state)` when a run has crashed; its process may be gone. Use it as a decorator."""
        return self._hook_decorator("on_crashed", fn)

    # Methods: a decorated function in a class is called with the instance, as any function is.

    def __get__(self, instance: Any, owner: type | None = None) -> Any:
        if self._wrapper is classmethod:
            instance = owner
        if instance is None or self._wrapper is staticmethod:
            return self
        return self._bound_to(instance)

    def _bound_to(self, instance: Any) -> Self:
        import copy

        bound = copy.copy(self)
        bound.fn = functools.partial(self.fn, instance)
        bound._signature = None
        return bound

    def _copied_with(self, options: dict[str, Any]) -> Self:
        """Another one of the same function. In a class it is bound as this one is."""
        other = type(self)(self.fn, **options)
        other._wrapper = self._wrapper
        other.taken_from = self.taken_from
        return other

    def __repr__(self) -> str:
        return f"<{type(self).__name__} {self.name!r}>"


def _plain_function(fn: Any) -> tuple[Any, type | None]:
    if isinstance(fn, staticmethod | classmethod):
        return fn.__func__, type(fn)
    return fn, None


def _whole(name: str, value: Any) -> int:
    value = 0 if value is None else value
    if not isinstance(value, int) or value < 0:
        raise TypeError(f"{name} is a number of times, 0 or more, not {value!r}.")
    return value


def _checked_tags(tags: Iterable[str] | None) -> Iterable[str]:
    if isinstance(tags, str):
        raise TypeError(f"tags is a list of texts, not one text. Write tags=[{tags!r}].")
    return tags or ()


__all__ = ["NAMES", "Definition", "refuse"]
