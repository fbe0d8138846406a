"""Retrying a run: the plan, and the retry itself."""

from __future__ import annotations

from typing import Any

from django.http import HttpResponse
from rest_framework.request import Request

from orchestrator.bodies import RetryInput
from orchestrator.ids import as_id
from runs import retries
from runs.api.deployments import portal_url
from runs.api.flow_runs import FlowRunView, describe
from runs.models import FlowRun
from runs.reads import retry_plan
from tenants.errors import Invalid
from tenants.messages import answer, page_size, read


class Retry(FlowRunView):
    """GET: what a retry from failure would reuse. POST: retry the run."""

    verbs = {"GET": "runs.view", "POST": "runs.trigger"}

    def get(self, request: Request, id: Any) -> HttpResponse:
        run = self.found()
        again = retries.named(run, request.query_params.get("again", "").split(","))
        return answer({**describe_plan(run, retry_plan.plan(run, again=again)), "again": again})

    def post(self, request: Request, id: Any) -> HttpResponse:
        run, told = self.found(), read(request, RetryInput)
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

    def get(self, request: Request, id: Any) -> HttpResponse:
        run, asked = self.found(), request.query_params
        group, cursor = asked.get("group", ""), asked.get("cursor", "")
        if group and group not in retry_plan.GROUPS:
            raise Invalid(f"There is no group {group!r:.100}.", fields={"group": ", ".join(retry_plan.GROUPS)})
        if cursor and as_id(cursor) is None:
            raise Invalid("This cursor is none of ours.", fields={"cursor": "Take `next`."})
        again = retries.named(run, asked.get("again", "").split(","))
        page = {"group": group, "task": asked.get("task", "")[:500], "after": as_id(cursor)}
        found, after = retry_plan.calls(run, again=again, **page, limit=page_size(request, 100))
        return answer({"items": [describe_call(call) for call in found], "next": after})


def describe_plan(run: FlowRun, plan: retry_plan.Plan) -> dict[str, Any]:
    """A plan as the API shows it; `why_not` says why nothing can be retried, where that is so."""
    tasks = [{"task": line.task, "kind": line.kind, **line.groups, "reasons": line.reasons} for line in plan.lines]
    return {
        "run": run.id,
        "why_not": retries.why_not(run) or None,
        **plan.groups,
        "reasons": plan.reasons,
        "tasks": tasks,
    }


def describe_call(call: retry_plan.Call) -> dict[str, Any]:
    """A call as the API shows it."""
    return {
        "id": call.id,
        "flow_run": call.run_id,
        "kind": call.kind,
        "task": call.task,
        "name": call.label or call.task,
        "group": call.group,
        "reason": call.reason,
        "why": call.why,
    }
