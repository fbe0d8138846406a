"""Whether a failed execution is followed by another one, and after how long."""

from __future__ import annotations

from collections.abc import Callable, Generator, Sequence
from typing import TYPE_CHECKING, Any

from orchestrator.chance import chance
from orchestrator.engine.effects import Hook

if TYPE_CHECKING:
    from orchestrator.engine.drivers import Effect
    from orchestrator.engine.run import Run

Delays = float | Sequence[float] | Callable[[int], Sequence[float] | float]


def exponential_backoff(backoff_factor: float) -> Callable[[int], list[float]]:
    """Make retry delays that double: `backoff_factor` seconds, twice that, four times that, …

    Args:
        backoff_factor: The first delay in seconds.

    >>> exponential_backoff(10)(3)
    [10.0, 20.0, 40.0]
    """

    def delays(retries: int) -> list[float]:
        return [float(backoff_factor * 2**n) for n in range(retries)]

    return delays


def fixed_delays(delay: Delays | None, retries: int) -> float | list[float]:
    """Turn what a decorator was given into one delay, or a list of them, in seconds."""
    if delay is None:
        return 0.0
    if callable(delay):
        delay = delay(retries)
    if isinstance(delay, int | float):
        return float(delay)
    return [float(each) for each in delay]


def next_delay(run: Run) -> Generator[Effect, Any, float | None]:
    """The seconds until the run's next execution, or None when there is to be none."""
    definition = run.definition
    if run.tries > definition.retries:
        return None
    if (definition.retry_on or definition.retry_condition_fn is not None) and not (yield from _wanted(run)):
        return None
    delays = definition.retry_delays
    if isinstance(delays, list):
        delay = delays[min(run.tries, len(delays)) - 1] if delays else 0.0
    else:
        delay = delays
    if definition.retry_jitter_factor:
        delay = _jittered(delay, definition.retry_jitter_factor)
    return delay


def _wanted(run: Run) -> Generator[Effect, Any, bool]:
    """What `retry_on` and `retry_condition_fn` say about this failure. One that can't tell says no."""
    definition = run.definition
    if definition.retry_on and not isinstance(run.error, definition.retry_on):
        return False
    if definition.retry_condition_fn is None:
        return True
    try:
        return bool((yield Hook(definition.retry_condition_fn, (definition, run, run.state))))
    except Exception:
        run.log.exception("retry_condition_fn failed; there will be no retry.")
        return False


def _jittered(delay: float, factor: float) -> float:
    """Spread delays so that runs which failed together don't come back together: up to `factor` times longer."""
    return delay * (1 + chance.random() * factor)
