"""Which runs a bulk operation hits. The same conditions count them beforehand and choose them when it works."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass
from datetime import datetime
from functools import reduce
from operator import or_
from typing import Any
from uuid import UUID

from django.db.models import Case, Exists, F, OuterRef, Q, QuerySet, Value, When
from django.db.models.functions import Coalesce

from orchestrator.bulk import words_of, wrong_in_filter
from orchestrator.states import ALIVE, WISHES, StateType
from runs.deployments import find_deployment
from runs.models import BulkOperation, Deployment, FlowRun, InputRequest, WorkPool
from runs.reads import run_search
from tenants.errors import Invalid
from tenants.messages import read_words
from tenants.permissions import Actor
from tenants.restrictions.rules import is_bound

Kind = BulkOperation.Kind
CANCEL, RETRY = Kind.CANCEL, Kind.RETRY
DELETE, PAUSE, RESUME = Kind.DELETE, Kind.PAUSE, Kind.RESUME
VERBS = {
    CANCEL: "runs.cancel", RETRY: "runs.trigger", DELETE: "runs.delete", PAUSE: "runs.pause", RESUME: "runs.answer",
}  # fmt: skip
COUNTED = 10_000  # of those that are left out
Filter = dict[str, Any]


@dataclass(frozen=True, slots=True)
class Choice:
    """What is to be done to which runs, by whom."""

    kind: str
    asked: run_search.RunsAsked
    deployment: UUID | None
    before: datetime
    by: Actor
    reasons: dict[str, Q | Exists]
    """The conditions under which a run is left out; the first one that is true is the reason that is told."""

    def _rows(self) -> QuerySet[FlowRun]:
        return run_search.chosen(self.asked, deployment=self.deployment, by=self.by).filter(created_at__lt=self.before)

    def hit(self) -> QuerySet[FlowRun]:
        """The runs that it hits as they are now: whole executions, since subflows go with their roots."""
        return self._rows().exclude(self._one_of_them())

    def left_out(self) -> dict[str, int]:
        """How many of the others there are for which reason, of a bounded number of them."""
        cases = [When(condition, then=Value(reason)) for reason, condition in self.reasons.items()]
        others = self._rows().filter(self._one_of_them()).annotate(reason=Case(*cases))
        return dict(Counter(others.values_list("reason", flat=True)[:COUNTED]))

    def _one_of_them(self) -> Q:
        return reduce(or_, (Q(condition) for condition in self.reasons.values()))


def read(kind: str, filter: Filter, *, before: datetime, by: Actor) -> Choice:
    """What a filter means.

    Raises:
        Invalid: It can't be read; `fields` says where.
        NotFound: It names a deployment that is not there.
    """
    asked = _read(filter)
    deployment = find_deployment(by, asked.deployment).id if asked.deployment else None
    return Choice(kind, asked, deployment, before, by, _reasons(kind, by))


def again(operation: BulkOperation, *, by: Actor) -> Choice:
    """What the filter of an operation means, whatever its deployment is called by now."""
    asked = _read(operation.filter)
    reasons = _reasons(operation.kind, by)
    return Choice(operation.kind, asked, operation.deployment_id, operation.before, by, reasons)


def _read(filter: Filter) -> run_search.RunsAsked:
    if wrong := wrong_in_filter(filter):
        raise Invalid("The filter can't be taken.", fields=wrong)
    try:
        asked = read_words({name: words_of(told) for name, told in filter.items()}, run_search.RunsAsked)
        run_search.asked_states(asked.state)
        run_search.asked_ids(asked.id)
    except Invalid as error:
        fields = {f"filter.{name}": what for name, what in (error.fields or {}).items()}
        raise Invalid(error.message, fields=fields) from error
    return asked


def _reasons(kind: str, by: Actor) -> dict[str, Q | Exists]:
    reasons: dict[str, Q | Exists] = {"called": ~Q(root_id=F("id")), **_OF_KIND[Kind(kind)]()}
    if closed := _closed(kind, by):
        reasons["restricted"] = Q(deployment__isnull=False, deployment_id__in=closed)
    return reasons


ENDED = ~Q(state_type__in=sorted(ALIVE))
PAUSED = Q(state_type=StateType.PAUSED)


def _not_cancelled() -> dict[str, Q | Exists]:
    return {"ended": ENDED, "cancelling": Q(state_type=StateType.CANCELLING)}


def _not_retried() -> dict[str, Q | Exists]:
    retries = FlowRun.objects.filter(organization=OuterRef("organization_id"), retry_of=OuterRef("id"))
    return {"not_ended": ~ENDED, "by_hand": Q(deployment=None), "retried": Exists(retries)}


def _not_deleted() -> dict[str, Q | Exists]:
    chain = Coalesce(OuterRef("replay_root"), OuterRef("id"))
    reusing = FlowRun.objects.filter(organization=OuterRef("organization_id"), replay_root=chain)
    return {"not_ended": ~ENDED, "reused": Exists(reusing.filter(state_type__in=sorted(ALIVE)))}


def _not_paused() -> dict[str, Q | Exists]:
    runs = Q(state_type=StateType.RUNNING) & ~Q(state_name="Unreachable")
    return {"ended": ENDED, "paused": PAUSED, "pausing": runs & Q(state_name__in=sorted(WISHES)), "not_running": ~runs}


def _not_resumed() -> dict[str, Q | Exists]:
    """What asks for nothing goes on by a word; an answer is for each of the others."""
    asked = InputRequest.objects.filter(organization=OuterRef("organization_id"), root_id=OuterRef("id"))
    named = Q(schema__isnull=False) | Q(quorum__gt=0) | ~Q(roles=[]) | ~Q(teams=[])
    return {"ended": ENDED, "not_paused": ~PAUSED, "asks": Exists(asked.filter(named, state="waiting"))}


_OF_KIND = {
    CANCEL: _not_cancelled, RETRY: _not_retried, DELETE: _not_deleted, PAUSE: _not_paused, RESUME: _not_resumed,
}  # fmt: skip


def _closed(kind: str, by: Actor) -> list[UUID]:
    """The deployments whose rules, or whose pools' rules, don't let the actor do this."""
    if not is_bound(by):
        return []
    verb = VERBS[kind]
    restricted = Deployment.objects.filter(workspace_id=by.workspace_id, restricted=True)
    closed = Q(id__in=restricted.exclude(id__in=restricted.allowing(by, verb).values("id")).values("id"))
    if verb in WorkPool.LEVELS:
        pools = WorkPool.objects.filter(workspace_id=by.workspace_id, restricted=True)
        closed |= Q(pool__in=pools.exclude(id__in=pools.allowing(by, verb).values("id")).values("id"))
    return list(Deployment.objects.filter(closed, workspace_id=by.workspace_id).values_list("id", flat=True))
