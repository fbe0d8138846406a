"""Flow runs: trigger, look, cancel, and read what they told."""

from __future__ import annotations

from typing import Any
from uuid import UUID

from django.http import HttpResponse
from rest_framework.request import Request

from orchestrator.bodies import RunInput
from orchestrator.states import StateType
from runs import trigger
from runs.api import paging
from runs.api.deployments import portal_url
from runs.deployments import find_deployment
from runs.hidden import check_run, find_run, hidden_deployments
from runs.models import FlowRun, LogLine, TaskRun
from runs.reads.run_page import count_tasks
from tenants.api import TenantView
from tenants.errors import Conflict, Invalid, NotFound
from tenants.messages import answer, identifier, number, page_size, read

MAX_LINES = 5_000


class FlowRuns(TenantView):
    """GET: a page of runs, newest first. POST: trigger one."""

    verbs = {"GET": "runs.view", "POST": "runs.trigger"}

    def get(self, request: Request) -> HttpResponse:
        items, cursor = paging.page(request, self._filtered(request), "created_at")
        portal = portal_url(self.actor)
        return answer({"items": [describe(run, portal) for run in items], "next": cursor})

    def _filtered(self, request: Request) -> Any:
        rows = FlowRun.objects.filter(workspace_id=self.actor.workspace_id).without(hidden_deployments(self.actor))
        rows = rows.select_related("flow", "deployment__flow").defer("history")
        asked = request.query_params
        if states := asked_states(request):
            rows = rows.filter(state_type__in=states)
        if flow := asked.get("flow"):
            rows = rows.filter(flow__name=flow)
        if deployment := asked.get("deployment"):
            rows = rows.filter(deployment_id=find_deployment(self.actor, deployment).id)
        return rows

    def post(self, request: Request) -> HttpResponse:
        told = read(request, RunInput)
        if told.scheduled_at is not None and told.scheduled_at.tzinfo is None:
            raise Invalid("scheduled_at has no zone.", fields={"scheduled_at": "ISO 8601 with a zone."})
        deployment = find_deployment(self.actor, told.deployment)
        run, new = trigger.create_run(
            trigger.RunRequest(
                deployment=deployment,
                parameters=told.parameters,
                name=told.name or "",
                tags=told.tags,
                scheduled_at=told.scheduled_at,
                idempotency_key=told.idempotency_key,
                priority=told.priority,
                work_queue=told.work_queue,
                parent_id=self._own_run(told.parent),
                parent_task_id=told.parent_task,
            ),
            by=self.actor,
        )
        if new:
            run.flow = deployment.flow
        return answer(describe(run, portal_url(self.actor)), status=201 if new else 200)

    def _own_run(self, id: UUID | None) -> UUID | None:
        try:
            return find_run(self.actor, id).id if id is not None else None
        except NotFound:
            raise NotFound("The parent run is not known here.") from None


class FlowRunView(TenantView):
    """The base of what is asked of one run."""

    verbs = {"GET": "runs.view"}

    def found(self) -> FlowRun:
        """The run of the address, in the key's workspace."""
        return find_run(self.actor, self.kwargs["id"])

    def described(self) -> HttpResponse:
        """It, with its task runs counted by state."""
        run = self.found()
        return answer({**describe(run, portal_url(self.actor)), "tasks": count_tasks(run)})


class OneFlowRun(FlowRunView):
    """GET: one run."""

    def get(self, request: Request, id: UUID) -> HttpResponse:
        return self.described()


class Cancel(FlowRunView):
    """POST: ask a run to stop."""

    verbs = {"POST": "runs.cancel"}

    def post(self, request: Request, id: UUID) -> HttpResponse:
        run = self.found()
        check_run(run, self.actor, "runs.cancel")
        if run.is_final:
            raise Conflict(f"The run has ended already ({run.state_name}).")
        trigger.cancel_runs([run.id], by=self.actor)
        return self.described()


class Logs(FlowRunView):
    """GET: log lines after a number, oldest first; `task`: those of one task run.

    `next` is where to go on, also when there are none yet.
    """

    def get(self, request: Request, id: UUID) -> HttpResponse:
        run = self.found()
        after, limit = number(request, "after", 0), page_size(request, 1_000, MAX_LINES)
        rows = LogLine.objects.of_root(run).filter(line_no__gt=after)
        if not run.is_root:
            rows = rows.filter(run_id=run.id)
        if task := identifier(request, "task"):
            rows = rows.filter(task_id=task)
        columns = ("line_no", "t", "level", "logger", "message", "task_id", "attempt", "run_id", "extra")
        lines = list(rows.order_by("line_no").values_list(*columns)[:limit])
        names = ("line", "t", "level", "logger", "message", "task", "attempt", "run", "extra")
        items = [dict(zip(names, line, strict=True)) for line in lines]
        return answer({"items": items, "next": lines[-1][0] if lines else after})


class TaskRuns(FlowRunView):
    """GET: a page of task runs in the order of their ids, which is about the order in which they were made.

    `state` and `task` choose those in some states, and those of one task.
    """

    def get(self, request: Request, id: UUID) -> HttpResponse:
        run, limit = self.found(), page_size(request, 200, 1_000)
        rows = TaskRun.objects.of_run(run).order_by("id")
        if states := asked_states(request):
            rows = rows.filter(state_type__in=states)
        if task := request.query_params.get("task"):
            rows = rows.filter(task=task)
        if cursor := request.query_params.get("cursor"):
            try:
                rows = rows.filter(id__gt=UUID(cursor))
            except ValueError as error:
                raise Invalid("This cursor is none of ours.", fields={"cursor": "Take `next`."}) from error
        items = [describe_task(task) for task in rows[:limit]]
        return answer({"items": items, "next": str(items[-1]["id"]) if len(items) == limit else None})


class OneTaskRun(FlowRunView):
    """GET: one task run of a run."""

    def get(self, request: Request, id: UUID, task_id: UUID) -> HttpResponse:
        task = TaskRun.objects.of_run(self.found()).filter(id=task_id).first()
        if task is None:
            raise NotFound("There is no such task run here.")
        return answer(describe_task(task))


def asked_states(request: Request) -> list[str]:
    """The state types that a list is asked for, separated by commas.

    Raises:
        Invalid: One is none.
    """
    states = [state for state in request.query_params.get("state", "").upper().split(",") if state]
    if unknown := set(states) - set(StateType):
        raise Invalid(f"There is no state {', '.join(sorted(unknown))[:200]}.", fields={"state": "A state type."})
    return states


def describe(run: FlowRun, portal: str) -> dict[str, Any]:
    """A run as the API shows it. Durations are seconds, times are UTC."""
    state = {"type": run.state_type, "name": run.state_name, "message": run.state_message, "timestamp": run.state_at}
    return {
        "id": run.id,
        "name": run.name,
        "flow": run.flow.name,
        "deployment": str(run.deployment) if run.deployment_id else None,
        "deployment_version": run.deployment_version,
        "commit": run.commit,
        "state": state,
        "parameters": run.parameters,
        "tags": run.tags,
        "attempt": run.attempt,
        "run_count": run.run_count,
        "origin": run.origin,
        "created_by": run.created_by,
        "created_at": run.created_at,
        "scheduled_at": run.scheduled_at,
        "due_at": run.due_at,
        "started_at": run.started_at,
        "ended_at": run.ended_at,
        "duration": run.duration / 1_000_000,
        "parent": run.parent_id,
        "root": run.root_id,
        "error": run.error or None,
        "result": run.result,
        "retry_of": run.retry_of,
        "replays_from": run.replays_from,
        "replay_root": run.replay_root,
        "url": f"{portal}/runs/{run.id}",
    }


def describe_task(task: TaskRun) -> dict[str, Any]:
    """A task run as the API shows it."""
    return {
        "id": task.id,
        "task": task.task,
        "name": task.label or task.task,
        "state": {
            "type": task.state_type,
            "name": task.state_name or task.state_type.capitalize(),
            "message": task.message,
        },
        "attempt": task.attempt,
        "run_count": task.run_count,
        "started_at": task.started_at,
        "ended_at": task.ended_at,
        "duration": None if task.duration is None else task.duration / 1_000_000,
        "parents": task.parents or [],
        "tags": task.tags or [],
        "error": task.error,
        "result": task.result,
    }
