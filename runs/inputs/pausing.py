"""The wish of somebody outside that a run pauses, or is suspended: its holder does so at its next call of a task."""

from __future__ import annotations

from orchestrator.states import WISHES, By, StateType
from runs.hidden import check_run
from runs.models import FlowRun
from runs.transitions import RunRow, lock_root, move, save
from tenants import audit
from tenants.errors import Conflict
from tenants.permissions import Actor

_NAMES = {word: name for name, word in WISHES.items()}


def pause(run: FlowRun, *, by: Actor, suspend: bool = False) -> None:
    """Ask a run to wait in its process, or with `suspend` to end it until it is resumed. A subflow waits with its root.

    Raises:
        Conflict: It is not running, or it can't be suspended: nobody could start it again.
    """
    check_run(run, by, "runs.pause")
    root = lock_root(run.root_id)
    word = "suspend" if suspend else "pause"
    if suspend and root.is_local:
        raise Conflict("This run was not started by an agent, so no agent could start it again. Pause it instead.")
    if root.state_type == StateType.PAUSED or root.state_name == _NAMES[word]:
        raise Conflict(f"The run is {root.state_name} already.")
    if root.state_type != StateType.RUNNING or root.state_name == "Unreachable":
        raise Conflict(f"Only a run whose code runs can {word}; this one is {root.state_name}.")
    _wish(root, word, by)


def _wish(root: RunRow, word: str, by: Actor) -> None:
    message = f"Asked to {word} by {by.label}: it does so at its next call of a task or a flow."
    move(root, StateType.RUNNING, by=By.SERVER, name=_NAMES[word], message=message)
    save([root])
    action = "run.paused" if word == "pause" else "run.suspended"
    audit.record(by, action, name=root.name, details={"run": str(root.id)})
