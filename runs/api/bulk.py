"""Doing something to many runs at once, and how far it has come."""

from __future__ import annotations

from datetime import datetime
from typing import Any
from uuid import UUID

import msgspec
from django.http import HttpResponse
from rest_framework.request import Request

from orchestrator.bodies import BulkInput, BulkRetryInput
from orchestrator.bulk import described
from runs.api import paging
from runs.api.deployments import portal_url
from runs.api.shown_runs import FlowRunShown, describe
from runs.bulk import choosing, operations
from runs.models import BulkOperation
from tenants.api import TenantView
from tenants.declared import Page, PageQuery, operation
from tenants.errors import Conflict, NotFound
from tenants.messages import answer


class LeftOut(msgspec.Struct):
    """How many runs there are to which nothing is done, for one reason."""

    reason: str
    why: str
    runs: int


class BulkOperationShown(msgspec.Struct):
    """A bulk operation. `count` and `left_out` are as they were when it was asked for; `done` runs were hit so far, and
    `refused` are those that had changed when their turn came. Runs made after `before` are not hit.
    """

    id: UUID
    kind: str
    state: str
    message: str
    filter: dict[str, Any]
    from_failure: bool
    created_by: str
    created_at: datetime
    before: datetime
    begins_at: datetime
    started_at: datetime | None
    ended_at: datetime | None
    count: int
    left_out: list[LeftOut]
    done: int
    refused: list[LeftOut]


class BulkAnswer(msgspec.Struct):
    """What fits the filter: how many runs are hit, the newest of them, why others are left out. `operation` is what was
    begun; null: nothing was, it was only looked at.
    """

    kind: str
    count: int
    first: list[FlowRunShown]
    left_out: list[LeftOut]
    operation: BulkOperationShown | None


class _Begin(TenantView):
    kind: str

    def begun(self, told: BulkInput, *, from_failure: bool = True) -> HttpResponse:
        """The answer to who asks for an operation, or for a look at what it would hit."""
        made = None
        if told.dry_run:
            seen = operations.preview(self.kind, told.filter, by=self.actor)
        else:
            made, seen = operations.begin(
                self.kind, told.filter, by=self.actor, delay=told.delay, from_failure=from_failure
            )
        first = [describe(run, portal_url(self.actor)) for run in seen.first]
        left_out = msgspec.convert(described(seen.left_out), list[LeftOut])
        shown = describe_operation(made) if made else None
        return answer(BulkAnswer(self.kind, seen.count, first, left_out, shown), status=201 if made else 200)


class CancelMany(_Begin):
    """POST: ask all runs to stop that fit a filter, or only look which these are."""

    verbs = {"POST": "runs.cancel"}
    kind = choosing.CANCEL

    @operation(BulkAnswer, 200, 201, refuses=[NotFound, Conflict])
    def post(self, request: Request, told: BulkInput) -> HttpResponse:
        return self.begun(told)


class RetryMany(_Begin):
    """POST: retry all runs that fit a filter and have ended, or only look which these are."""

    verbs = {"POST": "runs.trigger"}
    kind = choosing.RETRY

    @operation(BulkAnswer, 200, 201, refuses=[NotFound, Conflict])
    def post(self, request: Request, told: BulkRetryInput) -> HttpResponse:
        return self.begun(told, from_failure=told.from_failure)


class DeleteMany(_Begin):
    """POST: delete all runs that fit a filter and have ended, or only look which these are."""

    verbs = {"POST": "runs.delete"}
    kind = choosing.DELETE

    @operation(BulkAnswer, 200, 201, refuses=[NotFound, Conflict])
    def post(self, request: Request, told: BulkInput) -> HttpResponse:
        return self.begun(told)


class PauseMany(_Begin):
    """POST: ask all runs to wait that fit a filter and whose code runs, or only look which these are."""

    verbs = {"POST": "runs.pause"}
    kind = choosing.PAUSE

    @operation(BulkAnswer, 200, 201, refuses=[NotFound, Conflict])
    def post(self, request: Request, told: BulkInput) -> HttpResponse:
        return self.begun(told)


class ResumeMany(_Begin):
    """POST: let all runs go on that fit a filter, wait, and ask for nothing; or only look which these are."""

    verbs = {"POST": "runs.answer"}
    kind = choosing.RESUME

    @operation(BulkAnswer, 200, 201, refuses=[NotFound, Conflict])
    def post(self, request: Request, told: BulkInput) -> HttpResponse:
        return self.begun(told)


class BulkOperations(TenantView):
    """GET: a page of bulk operations, newest first. They are kept for 90 days."""

    verbs = {"GET": "runs.view"}

    @operation(Page[BulkOperationShown])
    def get(self, request: Request, asked: PageQuery) -> HttpResponse:
        items, cursor = paging.page(asked, operations.seen_by(self.actor), "created_at")
        return answer(Page([describe_operation(each) for each in items], cursor))


class OneBulkOperation(TenantView):
    """GET: one, and how far it has come."""

    verbs = {"GET": "runs.view"}

    @operation(BulkOperationShown)
    def get(self, request: Request, id: UUID) -> HttpResponse:
        return answer(describe_operation(operations.find(id, by=self.actor)))


class CancelBulkOperation(TenantView):
    """POST: undo one that has not begun, or stop one; what is done stays done."""

    verbs = {"POST": "runs.cancel"}

    @operation(BulkOperationShown, refuses=[Conflict])
    def post(self, request: Request, id: UUID) -> HttpResponse:
        found = operations.find(id, by=self.actor)
        return answer(describe_operation(operations.cancel(found, by=self.actor)))


def describe_operation(made: BulkOperation) -> BulkOperationShown:
    """A bulk operation as the API shows it."""
    counts = {name: msgspec.convert(described(getattr(made, name)), list[LeftOut]) for name in ("left_out", "refused")}
    told = {name: getattr(made, name) for name in BulkOperationShown.__struct_fields__ if name not in counts}
    return BulkOperationShown(**told, **counts)
