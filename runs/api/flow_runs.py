"""Flow runs: trigger, look, cancel, and read what they told."""

from __future__ import annotations

from typing import Annotated
from uuid import UUID

from django.http import HttpResponse
from msgspec import Meta
from msgspec.structs import asdict
from rest_framework.request import Request

from orchestrator.bodies import RunInput
from runs import debounce, deleting, trigger
from runs.api.deployments import portal_url
from runs.api.shown_runs import (
    FlowRunShown,
    FlowRunTriggered,
    FlowRunWithTasks,
    Lines,
    LineShown,
    TaskRunShown,
    describe,
    describe_task,
)
from runs.deployments import find_deployment
from runs.hidden import check_run, find_run
from runs.models import FlowRun, LogLine, TaskRun
from runs.reads import run_search
from runs.reads.run_page import count_tasks
from runs.reads.run_search import RunsAsked, Text, asked_states
from tenants.api import TenantView
from tenants.declared import Page, PageQuery, Query, operation
from tenants.errors import Conflict, Invalid, LimitReached, NotFound
from tenants.messages import answer

MAX_LINES = 5_000


class LinesAsked(Query):
    """Which log lines."""

    task: Annotated[UUID | None, Meta(description="Of one task run.")] = None

    after: Annotated[int, Meta(ge=-(10**18), le=10**18, description="The number of the last line that is known.")] = 0
    limit: Annotated[int, Meta(ge=1, le=MAX_LINES, description="How many.")] = 1_000


class TasksAsked(PageQuery):
    """Which task runs."""

    state: Annotated[
        list[Text], Meta(max_length=20, description="In one of these types of state; several, or separated by commas.")
    ] = []
    task: Annotated[str, Meta(max_length=500, description="Of the task of this name.")] = ""

    limit: Annotated[int, Meta(ge=1, le=1_000, description="How many.")] = 200


class FlowRuns(TenantView):
    """GET: a page of runs, newest first, filtered as asked. It may be short, even empty, and still have a next one.

    POST: trigger one. `created` is false for one that was there: the key was used, or it gathers triggers.
    """

    verbs = {"GET": "runs.view", "POST": "runs.trigger"}

    @operation(Page[FlowRunShown], refuses=[NotFound])
    def get(self, request: Request, asked: RunsAsked) -> HttpResponse:
        of = find_deployment(self.actor, asked.deployment).id if asked.deployment else None
        items, cursor = run_search.page(asked, deployment=of, by=self.actor)
        portal = portal_url(self.actor)
        return answer(Page([describe(run, portal) for run in items], cursor))

    @operation(FlowRunTriggered, 200, 201, refuses=[NotFound, Conflict, LimitReached])
    def post(self, request: Request, told: RunInput) -> HttpResponse:
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
                concurrency_key=told.concurrency_key,
                work_queue=told.work_queue,
                debounce=debounce.asked_of(
                    deployment, told.debounce, told.debounce_key, told.debounce_max, scheduled_at=told.scheduled_at
                ),
                job_variables=told.job_variables,
                parent_id=self._own_run(told.parent),
                parent_task_id=told.parent_task,
            ),
            by=self.actor,
        )
        if new:
            run.flow = deployment.flow
        shown = asdict(describe(run, portal_url(self.actor)))
        return answer(FlowRunTriggered(**shown, created=new), status=201 if new else 200)

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
        return answer(FlowRunWithTasks(**asdict(describe(run, portal_url(self.actor))), tasks=count_tasks(run)))


class OneFlowRun(FlowRunView):
    """GET: one run.

    DELETE: remove it for good, with its subflows and all that they told and made; it must have ended.
    """

    verbs = {"GET": "runs.view", "DELETE": "runs.delete"}

    @operation(FlowRunWithTasks)
    def get(self, request: Request, id: UUID) -> HttpResponse:
        return self.described()

    @operation(None, 204, refuses=[Conflict])
    def delete(self, request: Request, id: UUID) -> HttpResponse:
        deleting.delete(self.found(), by=self.actor)
        return HttpResponse(status=204)


class Cancel(FlowRunView):
    """POST: ask a run to stop."""

    verbs = {"POST": "runs.cancel"}

    @operation(FlowRunWithTasks, refuses=[Conflict])
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

    @operation(Lines)
    def get(self, request: Request, id: UUID, asked: LinesAsked) -> HttpResponse:
        run = self.found()
        rows = LogLine.objects.of_root(run).filter(line_no__gt=asked.after)
        if not run.is_root:
            rows = rows.filter(run_id=run.id)
        if asked.task:
            rows = rows.filter(task_id=asked.task)
        columns = ("line_no", "t", "level", "logger", "message", "task_id", "attempt", "run_id", "extra")
        lines = list(rows.order_by("line_no").values_list(*columns)[: asked.limit])
        return answer(Lines([LineShown(*line) for line in lines], lines[-1][0] if lines else asked.after))


class TaskRuns(FlowRunView):
    """GET: a page of task runs in the order of their ids, which is about the order in which they were made.

    `state` and `task` choose those in some states, and those of one task.
    """

    @operation(Page[TaskRunShown])
    def get(self, request: Request, id: UUID, asked: TasksAsked) -> HttpResponse:
        rows = TaskRun.objects.of_run(self.found()).order_by("id")
        if states := asked_states(asked.state):
            rows = rows.filter(state_type__in=states)
        if asked.task:
            rows = rows.filter(task=asked.task)
        if asked.cursor:
            try:
                rows = rows.filter(id__gt=UUID(asked.cursor))
            except ValueError as error:
                raise Invalid("This cursor is none of ours.", fields={"cursor": "Take `next`."}) from error
        items = [describe_task(task) for task in rows[: asked.limit]]
        return answer(Page(items, str(items[-1].id) if len(items) == asked.limit else None))


class OneTaskRun(FlowRunView):
    """GET: one task run of a run."""

    @operation(TaskRunShown)
    def get(self, request: Request, id: UUID, task_id: UUID) -> HttpResponse:
        task = TaskRun.objects.of_run(self.found()).filter(id=task_id).first()
        if task is None:
            raise NotFound("There is no such task run here.")
        return answer(describe_task(task))
