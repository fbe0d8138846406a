"""Functions that users hang on states: on_running, on_completion, on_failure, on_crashed, on_cancellation."""

from __future__ import annotations

from collections.abc import Callable, Generator
from typing import TYPE_CHECKING, Any

from orchestrator.engine.effects import Hook
from orchestrator.states import StateType

if TYPE_CHECKING:
    from orchestrator.engine.drivers import Effect
    from orchestrator.engine.run import Run

NAMES = ("on_running", "on_completion", "on_failure", "on_cancellation", "on_crashed")

_AFTER = {
    StateType.COMPLETED: "on_completion",
    StateType.FAILED: "on_failure",
    StateType.CANCELLED: "on_cancellation",
    StateType.CRASHED: "on_crashed",
}

Hooks = dict[str, list[Callable[..., Any]]]


def running(run: Run) -> Generator[Effect, Any, None]:
    """Call the hooks of a run that begins."""
    return _call(run, "on_running")


def after(run: Run) -> Generator[Effect, Any, None]:
    """Call the hooks of the state in which a run ended. A retry calls none, and what is replayed has called them."""
    if run.state_name == "Replayed":
        return
    yield from _call(run, _name_after(run))


def hang_on(run: Run) -> bool:
    """Say whether any hook hangs on the state in which a run ended."""
    return bool(run.definition.hooks.get(_name_after(run)))


def _name_after(run: Run) -> str:
    return _AFTER.get(run.state_type, "") if run.state_type is not None else ""


def _call(run: Run, name: str) -> Generator[Effect, Any, None]:
    for hook in run.definition.hooks.get(name, ()):
        try:
            yield Hook(hook, (run.definition, run, run.state))
        except Exception:
            # A hook that fails must not change what became of the run.
            run.log.exception("The %s hook %r failed.", name, getattr(hook, "__name__", hook))


def gather(given: dict[str, Any]) -> Hooks:
    """Check the hooks passed to a decorator: lists of callables by name."""
    hooks: Hooks = {}
    for name, functions in given.items():
        if functions is None:
            continue
        if callable(functions) or not all(map(callable, functions)):
            raise TypeError(f"{name} takes a list of functions, each called with (flow or task, run, state).")
        hooks[name] = list(functions)
    return hooks
