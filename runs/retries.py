"""Retrying a run that has ended: the whole of it, or from failure, so that what was stored is not computed again.

A terminal state is final: a retry is a run of its own, with `retry_of`. One from failure also has `replays_from`, and
looks for the values of the first run of such a chain, which all of them share.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from typing import Any

from orchestrator.concurrency_keys import fill
from orchestrator.ids import as_id
from runs import forms, trigger
from runs.backfills import places
from runs.hidden import check_run
from runs.models import FlowRun
from runs.reads import dependence
from tenants.errors import Conflict, Invalid
from tenants.permissions import Actor

MAX_AGAIN = 200  # tasks that are named
MAX_CHAIN = 100  # runs whose values count for a task that was named
BY_HAND = (
    "It was called by hand, so no agent can start it. Call the flow once more within"
    ' `with orchestrator.results.replaying("{root}"):`.'
)
SNIPPET = """from orchestrator.results import replaying

with replaying("{root}"):
    {flow}(…)"""


def why_not(run: FlowRun) -> str:
    """Why a run can't be retried; nothing, if it can."""
    if not run.is_final:
        return f"The run has not ended ({run.state_name})."
    if not run.is_root:
        return "It was called by another run. Retry that one: what this one has stored is reused there."
    if run.deployment is None:
        return "Its deployment was deleted. Deploy the flow again." if run.pool_id else by_hand(run)
    return ""


def by_hand(run: FlowRun) -> str:
    """What to do for a run that no agent can start again."""
    return BY_HAND.format(root=run.replay_root or run.id)


def snippet(run: FlowRun) -> str:
    """The same, as code."""
    return SNIPPET.format(root=run.replay_root or run.id, flow=run.flow.name.replace("-", "_"))


def retry(
    run: FlowRun,
    *,
    parameters: Mapping[str, Any],
    by: Actor,
    from_failure: bool = True,
    again: Sequence[str] = (),
    idempotency_key: str | None = None,
) -> tuple[FlowRun, bool]:
    """Make the run that retries one; answer it, and whether it is new.

    Args:
        parameters: All of them, as they are to be now.
        from_failure: Whether it reuses the values that were stored.
        again: Names of tasks, or ids of task runs, whose stored values are not to be reused; nor are those of what
            depends on them.

    Raises:
        Conflict: The run has not ended, or nothing is there to start it from.
        Invalid: A parameter is not what it was, or is refused; something that is to run again is not known.
        Forbidden: The deployment's rules don't let this actor run it.
    """
    check_run(run, by, "runs.trigger")
    if reason := why_not(run):
        raise Conflict(reason)
    if wrong := _spoiled(parameters):
        raise Invalid("Some parameters are not what the run had.", fields=wrong)
    asked = trigger.RunRequest(
        deployment=run.deployment, parameters=dict(parameters), tags=run.tags, retry_of=run.id,
        caused_by=run.caused_by, idempotency_key=idempotency_key, call=run.call,
        retries=run.retries if run.call else None, replays_from=run.id if from_failure else None,
        replay_root=(run.replay_root or run.id) if from_failure else None, job_variables=run.job_variables or {},
        again=_again(run, again) if from_failure else {}, **turn(run), **_of_backfill(run),
    )  # fmt: skip
    made, is_new = trigger.create_run(asked, by=by, origin=FlowRun.Origin.RETRY)
    if is_new and run.backfill_id:
        places.replace(run.id, made.id)
    return made, is_new


def _of_backfill(run: FlowRun) -> dict[str, Any]:
    """A run of a backfill is about a past time: so is its retry."""
    return {"backfill_id": run.backfill_id, "scheduled_at": run.scheduled_at} if run.backfill_id else {}


def turn(run: FlowRun) -> dict[str, Any]:
    """Among which others, and before which, a run of a deployment was to start: so is the one that repeats it."""
    return {"work_queue": _queue(run), "priority": run.priority, "concurrency_key": _concurrency_key(run)}


def _queue(run: FlowRun) -> str | None:
    """That of the run, if it was given one that its deployment can still take; else the deployment's."""
    deployment = run.deployment
    if run.queue_id in (None, deployment.queue_id) or run.queue.pool_id != deployment.pool_id:
        return None
    return run.queue.name


def _concurrency_key(run: FlowRun) -> str | None:
    """That of the run, where it was given one; else as the template says, since parameters may be others now."""
    deployment = run.deployment
    own = fill(deployment.concurrency_key, run.parameters, deployment.parameter_schema)
    return None if own == run.concurrency_key else run.concurrency_key


def _spoiled(parameters: Mapping[str, Any]) -> dict[str, str]:
    """Which parameters are not those that the run had, because they were masked, cut or only described."""
    lost = {f"parameters.{forms.CUT}": str(parameters[forms.CUT])} if forms.CUT in parameters else {}
    return lost | forms.spoiled(parameters)


def _again(run: FlowRun, asked: Sequence[str]) -> dict[str, list[str]]:
    """What must not be reused, each with the runs since whose values count: none yet for what is asked for now."""
    before = {name: list(runs)[-MAX_CHAIN:] for name, runs in (run.again or {}).items()}
    return before | {name: [] for name in named(run, asked)}


def named(run: FlowRun, asked: Collection[str]) -> list[str]:
    """The tasks, and the keys of single calls, that are meant, with all tasks and subflows that depend on them.

    Raises:
        Invalid: There are too many, or one is no task of this run.
    """
    wanted = list(dict.fromkeys(text.strip() for text in asked if text.strip()))
    if len(wanted) > MAX_AGAIN:
        raise Invalid("Too many.", fields={"again": f"{MAX_AGAIN} tasks at most. Retry the whole run instead."})
    if not wanted:
        return []
    tasks = dependence.task_names(run)
    names = {text: _names_of(text, tasks) for text in wanted}
    calls = dependence.calls(run, [id for text in wanted if not names[text] and (id := as_id(text))])
    unknown = [text for text in wanted if not names[text] and as_id(text) not in calls]
    if unknown:
        message = f"This run has no task {unknown[0]!r:.210}. Name tasks as the plan does, or give ids of task runs."
        raise Invalid(message, fields={"again": message})
    chosen = {name for found in names.values() for name in found}
    begin = chosen | {task for task, _ in calls.values()}
    keys = {key for _, key in calls.values() if key}
    return sorted(chosen | keys | dependence.depending_on(run, begin))


def _names_of(text: str, tasks: Collection[str]) -> set[str]:
    """The tasks that a person means: by the whole name, or by its last part."""
    return {name for name in tasks if name == text or name.rpartition(".")[2] == text}
