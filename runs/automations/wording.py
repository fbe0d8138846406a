"""What happened, in words: for subjects, texts and the log."""

from __future__ import annotations

from collections import Counter
from typing import Any

from django.utils.timezone import now

from orchestrator.ids import as_id
from runs.inputs import links
from runs.models import Automation, Firing, InputRequest

_WORDS = {
    "flow-run.scheduled": "scheduled", "flow-run.pending": "claimed by an agent", "flow-run.running": "running",
    "flow-run.paused": "paused", "flow-run.cancelling": "told to stop", "flow-run.completed": "completed",
    "flow-run.failed": "failed", "flow-run.crashed": "crashed", "flow-run.cancelled": "cancelled",
    "flow-run.late": "late", "flow-run.awaiting-retry": "waiting for a retry", "flow-run.unreachable": "unreachable",
    "flow-run.waiting": "waiting for people", "flow-run.answered": "answered",
    "agent.gone": "gone", "agent.back": "back", "deployment.created": "new", "deployment.updated": "changed",
    "schedule.refused": "refused a run",
}  # fmt: skip
_IS = frozenset(
    {
        "flow-run.scheduled", "flow-run.pending", "flow-run.running", "flow-run.paused", "flow-run.cancelling",
        "flow-run.cancelled", "flow-run.late", "flow-run.awaiting-retry", "flow-run.unreachable", "flow-run.waiting",
        "flow-run.answered", "agent.gone",
        "agent.back", "deployment.created", "deployment.updated",
    }
)  # fmt: skip


def word(event: str) -> str:
    """An event's word: `failed`, `late`."""
    return _WORDS.get(event, event)


def does(event: str) -> str:
    """An event as what somebody does: `failed`, `is late`."""
    return f"is {word(event)}" if event in _IS else word(event)


def headline(event: str, cause: dict[str, Any]) -> str:
    """One line about one event.

    >>> headline("flow-run.failed", {"run": "quiet-otter", "flow": "etl"})
    'The run quiet-otter of etl failed'
    >>> headline("agent.gone", {"agent": "box"})
    'The agent box is gone'
    """
    if event not in _WORDS and cause.get("resource"):
        return f"{event} of {cause['resource']}"
    if cause.get("run"):
        return f"The run {cause['run']} of {cause.get('flow') or 'a flow'} {does(event)}"
    if cause.get("agent"):
        return f"The agent {cause['agent']} {does(event)}"
    if event.startswith("schedule.") and cause.get("deployment"):
        return f"The schedule of {cause.get('flow')}/{cause['deployment']} was {does(event)}"
    if cause.get("deployment"):
        return f"The deployment {cause.get('flow')}/{cause['deployment']} {does(event)}"
    return f"{event} happened"


def summary(events: Counter[str]) -> str:
    """One line about many events.

    >>> summary(Counter({"flow-run.failed": 1200, "agent.gone": 1}))
    '1,200 runs failed, 1 agent gone'
    """
    return ", ".join(
        f"{number:,} {_noun(event)}{'s' if number > 1 else ''} {word(event)}" for event, number in events.most_common(5)
    )


def _noun(event: str) -> str:
    return {"flow-run": "run"}.get(event.partition(".")[0], event.partition(".")[0])


def nothing() -> dict[str, Any]:
    """The values of no event."""
    names = (
        "event", "at", "run", "flow", "deployment", "state", "message", "agent", "pool", "url", "headline", "resource",
        "payload",
    )  # fmt: skip
    return {**dict.fromkeys(names, ""), "attempt": 0}


def of_firing(firing: Firing, portal: str) -> dict[str, Any]:
    """The values that templates know of a firing."""
    cause = firing.cause
    named = {
        name: cause.get(name) or ""
        for name in ("run", "flow", "deployment", "message", "agent", "pool", "resource", "payload")
    }
    return (
        nothing()
        | named
        | {
            "event": firing.event,
            "at": f"{firing.at:%Y-%m-%d %H:%M:%S} UTC",
            "state": cause.get("name") or "",
            "attempt": cause.get("attempt") or 0,
            "url": _address(firing, portal),
            "headline": headline(firing.event, cause),
        }
    )


def _address(firing: Firing, portal: str) -> str:
    """Where to look: at the form, while it is asked for, by its own link where it has one; else at the run."""
    if firing.event == "flow-run.waiting" and firing.cause.get("input"):
        return _link(firing) or f"{portal}/waiting/{firing.cause['input']}"
    return f"{portal}/runs/{firing.run_id}" if firing.run_id else ""


def _link(firing: Firing) -> str:
    """That of what the run itself asks anyone: other runs may write events with whatever id they like."""
    rows = InputRequest.objects.filter(run_id=firing.run_id, workspace_id=firing.workspace_id)
    asked = rows.filter(id=as_id(str(firing.cause["input"]))).first()
    return links.address(asked) if asked else ""


def example(automation: Automation, portal: str) -> dict[str, Any]:
    """What a test tells: the first event that the automation waits for, of things that are not there."""
    return of_firing(example_firing(automation), portal) | {"url": f"{portal}/"}


def example_firing(automation: Automation) -> Firing:
    """What could fire an automation, of things that are not there."""
    event = automation.trigger["events"][0]
    cause: dict[str, Any] = {"flow": (automation.trigger.get("flows") or ["example"])[0]}
    if event.startswith("flow-run."):
        cause |= {"run": "test-run", "name": word(event).capitalize(), "message": "This is what its message would be."}
    elif event.startswith("agent."):
        cause = {"agent": "test-agent", "pool": (automation.trigger.get("pools") or ["default"])[0]}
    elif event.startswith(("deployment.", "schedule.")):
        cause |= {"deployment": "test"}
    else:
        event = event.replace("*", "test")
        cause = {"resource": "test", "payload": {}}
    return Firing(event=event, at=now(), cause=cause)
