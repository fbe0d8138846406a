"""What a new run of a deployment would be like."""

from __future__ import annotations

from datetime import datetime
from typing import Annotated
from uuid import UUID

import msgspec
from django.http import HttpResponse
from msgspec.structs import asdict
from rest_framework.request import Request

from orchestrator.bodies import EstimateInput
from orchestrator.concurrency_keys import MAX_KEY
from orchestrator.estimates import shown
from runs import trigger
from runs.api.deployments import DeploymentView, portal_url
from runs.api.explaining import CauseShown
from runs.estimates import estimate
from tenants.declared import Query, operation
from tenants.errors import Conflict
from tenants.messages import answer


class EstimateQuery(Query):
    """Where and in which turn the run would wait."""

    work_queue: Annotated[str, msgspec.Meta(max_length=200, description="Another queue of the deployment's pool.")] = ""
    priority: Annotated[int, msgspec.Meta(ge=-32_768, le=32_767, description="Higher goes first in its queue.")] = 0
    concurrency_key: Annotated[str, msgspec.Meta(max_length=MAX_KEY, description="Whose run it would be.")] = ""


class EstimateShown(msgspec.Struct):
    """What a run would be like that is triggered now.

    `median` and `p95` are seconds that the last completed `runs` took, `history` says so. `causes`, `before`,
    `expected_at` and `estimate` are those of its explanation: why it would wait, behind how many, until when.
    """

    deployment: str
    runs: int
    median: float | None
    p95: float | None
    history: str
    causes: list[CauseShown]
    before: int | None
    expected_at: datetime | None
    estimate: str


class Estimate(DeploymentView):
    """GET: how long a run would wait and take. POST: the same, for one with these parameters, which are checked."""

    verbs = {"GET": "deployments.view", "POST": "runs.trigger"}

    @operation(EstimateShown)
    def get(self, request: Request, id: UUID, asked: EstimateQuery) -> HttpResponse:
        wanted = {name: value or None for name, value in asdict(asked).items() if name != "priority"}
        return self._answered(trigger.RunRequest(deployment=self.found(), priority=asked.priority, **wanted))

    @operation(EstimateShown, refuses=[Conflict])
    def post(self, request: Request, id: UUID, told: EstimateInput) -> HttpResponse:
        asked = trigger.RunRequest(deployment=self.found(), **asdict(told))
        trigger.check_request(asked, by=self.actor)
        return self._answered(asked)

    def _answered(self, asked: trigger.RunRequest) -> HttpResponse:
        history, told = estimate(asked, by=self.actor)
        return answer(shown(str(asked.deployment), history, told, portal=portal_url(self.actor)))
