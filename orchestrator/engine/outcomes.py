"""What a function's return value says about the state of its run.

A state returned is the run's state. A future is its task run's state. A collection of nothing but states and futures
ends well when all of them did. Anything else is the value of a completed run.
"""

from __future__ import annotations

from typing import Any

from orchestrator.engine.upstream import ATOMS
from orchestrator.futures import Future
from orchestrator.states import Failed, State, StateType


def futures_in(value: Any) -> list[Future[Any]]:
    """The futures that must be done before the value says anything."""
    if isinstance(value, Future):
        return [value]
    if isinstance(value, list | tuple | set) and value and not ATOMS.issuperset(map(type, value)):
        return [item for item in value if isinstance(item, Future)]
    return []


def judge(value: Any) -> tuple[State | None, Any]:
    """The state that a return value stands for (None: completed), and the value to hand on."""
    if type(value) in ATOMS:
        return None, value
    if isinstance(value, State):
        return _final(value), value.data
    if isinstance(value, Future):
        return value.state, value.state.data
    if isinstance(value, list | tuple | set) and value and all(isinstance(item, State | Future) for item in value):
        states = [item.state if isinstance(item, Future) else item for item in value]
        return _together(states), states
    return None, value


def _final(state: State) -> State:
    if state.is_final():
        return state
    return Failed(message=f"The function returned a state that is not final: {state.name}.")


def _together(states: list[State]) -> State:
    bad = [state for state in states if not state.is_completed()]
    if not bad:
        return State(StateType.COMPLETED, message="All states completed.", data=states)
    kind = StateType.CANCELLED if any(s.is_cancelled() for s in bad) else StateType.FAILED
    message = f"{len(bad)} of {len(states)} states did not complete."
    return State(kind, message=message, data=_first_error(bad))


def _first_error(states: list[State]) -> BaseException | None:
    return next((s.data for s in states if isinstance(s.data, BaseException)), None)
