"""Retrying a run: the plan, and the retry itself."""

from __future__ import annotations

from typing import Annotated, Literal
from uuid import UUID

import msgspec
from django.http import HttpResponse
from rest_framework.request import Request

from orchestrator.bodies import RetryInput
from orchestrator.ids import as_id
from runs import retries
from runs.api.deployments import portal_url
from runs.api.flow_runs import FlowRunView
from runs.api.shown_runs import FlowRunShown, describe
from runs.models import FlowRun
from runs.reads import retry_plan
from tenants.declared import Page, PageQuery, Query, operation
from tenants.errors import Conflict, Invalid, LimitReached
from tenants.messages import answer

Again = Annotated[str, msgspec.Meta(max_length=4_000, description="Tasks that run again, separated by commas.")]


class PlanQuery(Query):
    """What is to run again although it is stored."""

    again: Again = ""


class CallsAsked(PageQuery):
    """Which calls."""

    limit: Annotated[int, msgspec.Meta(ge=1, le=200, description="How many.")] = 100
    group: Annotated[Literal["", "reused", "runs", "waits"], msgspec.Meta(description="Of one group.")] = ""
    task: Annotated[str, msgspec.Meta(max_length=500, description="Of one task.")] = ""
    again: Again = ""


class PlanLine(msgspec.Struct):
    """How many calls of a task or a subflow would be reused, run again, or were never begun, and for which reasons."""

    task: str
    kind: str
    reused: int
    runs: int
    waits: int
    reasons: dict[str, int]


class PlanShown(msgspec.Struct):
    """What a retry from failure would reuse; `why_not` says why nothing can be retried, where that is so."""

    run: UUID
    why_not: str | None
    reused: int
    runs: int
    waits: int
    reasons: dict[str, int]
    tasks: list[PlanLine]
    again: list[str]


class CallShown(msgspec.Struct):
    """A call, and what would become of it."""

    id: UUID
    flow_run: UUID
    kind: str
    task: str
    name: str
    group: str
    reason: str
    why: str


class Retry(FlowRunView):
    """GET: what a retry from failure would reuse. POST: retry the run."""

    verbs = {"GET": "runs.view", "POST": "runs.trigger"}

    @operation(PlanShown)
    def get(self, request: Request, id: UUID, asked: PlanQuery) -> HttpResponse:
        run = self.found()
        again = retries.named(run, asked.again.split(","))
        return answer(describe_plan(run, retry_plan.plan(run, again=again), again))

    @operation(FlowRunShown, 200, 201, refuses=[Conflict, LimitReached])
    def post(self, request: Request, id: UUID, told: RetryInput) -> HttpResponse:
        run = self.found()
        new, is_new = retries.retry(
            run,
            parameters={**run.parameters, **told.parameters},
            by=self.actor,
            from_failure=told.from_failure,
            again=told.again,
            idempotency_key=told.idempotency_key,
        )
        new.flow = run.flow
        return answer(describe(new, portal_url(self.actor)), status=201 if is_new else 200)


class Calls(FlowRunView):
    """GET: the plan call by call, in the order in which they were made; of one `group` or `task` where asked."""

    @operation(Page[CallShown])
    def get(self, request: Request, id: UUID, asked: CallsAsked) -> HttpResponse:
        run = self.found()
        if asked.cursor and as_id(asked.cursor) is None:
            raise Invalid("This cursor is none of ours.", fields={"cursor": "Take `next`."})
        again = retries.named(run, asked.again.split(","))
        wanted = {"group": asked.group, "task": asked.task, "after": as_id(asked.cursor)}
        found, after = retry_plan.calls(run, again=again, **wanted, limit=asked.limit)
        return answer(Page([describe_call(call) for call in found], str(after) if after else None))


def describe_plan(run: FlowRun, plan: retry_plan.Plan, again: list[str]) -> PlanShown:
    """A plan as the API shows it."""
    return PlanShown(
        run=run.id,
        why_not=retries.why_not(run) or None,
        **plan.groups,
        reasons=plan.reasons,
        tasks=[PlanLine(task=line.task, kind=line.kind, **line.groups, reasons=line.reasons) for line in plan.lines],
        again=again,
    )


def describe_call(call: retry_plan.Call) -> CallShown:
    """A call as the API shows it."""
    return CallShown(
        id=call.id,
        flow_run=call.run_id,
        kind=call.kind,
        task=call.task,
        name=call.label or call.task,
        group=call.group,
        reason=call.reason,
        why=call.why,
    )
