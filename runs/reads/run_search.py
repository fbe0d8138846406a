"""The runs that the API is asked for, however many there are: an index finds them, or a bounded number is looked at."""

from __future__ import annotations

from typing import Annotated, Any, Literal
from uuid import UUID

from django.db.models import F, Q, QuerySet
from msgspec import Meta

from orchestrator.bulk import MAX_IDS
from orchestrator.ids import as_id
from orchestrator.states import StateType
from runs.hidden import hidden_deployments
from runs.models import Flow, FlowRun
from tenants import cursors
from tenants.declared import PageQuery
from tenants.errors import Invalid
from tenants.messages import Moment
from tenants.permissions import Actor

LOOKED_AT = 50_000  # runs for a page; what follows is looked at for the next one
TIMES = {"expected": "scheduled_at", "started": "started_at", "ended": "ended_at"}

Text = Annotated[str, Meta(max_length=1_000)]


class RunsAsked(PageQuery):
    """Which runs. Where several things are asked for, all of them have to be so."""

    id: Annotated[
        list[Annotated[str, Meta(max_length=40_000)]],
        Meta(max_length=MAX_IDS, description="Only these, 1,000 at most; several, or separated by commas."),
    ] = []
    state: Annotated[
        list[Text], Meta(max_length=20, description="In one of these types of state; several, or separated by commas.")
    ] = []
    flow: Annotated[str, Meta(max_length=500, description="Of the flow of this name.")] = ""
    deployment: Annotated[str, Meta(max_length=1_001, description="Of a deployment: its id, or `flow/name`.")] = ""
    deployment_version: Annotated[
        Annotated[int, Meta(ge=1, le=2**31 - 1)] | None, Meta(description="Made from this version of its deployment.")
    ] = None
    version: Annotated[str, Meta(max_length=200, description="With this label of a version.")] = ""
    name: Annotated[str, Meta(max_length=500, description="A text in their names.")] = ""
    text: Annotated[str, Meta(max_length=500, description="A text in their names, or in that of their flow.")] = ""
    tag: Annotated[
        list[Text], Meta(max_length=20, description="With all of these tags; several, or separated by commas.")
    ] = []
    origin: Annotated[
        Literal["", "local", "subflow", "api", "form", "schedule", "retry", "background", "backfill"],
        Meta(description="Triggered in this way."),
    ] = ""
    created_by: Annotated[str, Meta(max_length=254, description="Triggered by this person, key or run.")] = ""
    backfill: Annotated[UUID | None, Meta(description="Made by this backfill, or retrying such a run.")] = None
    parent: Annotated[UUID | None, Meta(description="Called or triggered by this run.")] = None
    root: Annotated[UUID | None, Meta(description="Executed by this run: it, and its subflows.")] = None
    subflows: Annotated[bool, Meta(description="false: without those that other runs called.")] = True
    retry_of: Annotated[UUID | None, Meta(description="New runs that retry this one.")] = None
    idempotency_key: Annotated[str, Meta(max_length=200, description="Triggered with this key.")] = ""
    concurrency_key: Annotated[str, Meta(max_length=200, description="Taking turns by this key.")] = ""
    since: Annotated[Moment | None, Meta(description="Made from then on.")] = None
    until: Annotated[Moment | None, Meta(description="Made before then.")] = None
    expected_since: Annotated[Moment | None, Meta(description="Meant to start from then on.")] = None
    expected_until: Annotated[Moment | None, Meta(description="Meant to start before then.")] = None
    started_since: Annotated[Moment | None, Meta(description="Started from then on.")] = None
    started_until: Annotated[Moment | None, Meta(description="Started before then.")] = None
    ended_since: Annotated[Moment | None, Meta(description="Ended from then on.")] = None
    ended_until: Annotated[Moment | None, Meta(description="Ended before then.")] = None


def page(asked: RunsAsked, *, deployment: UUID | None, by: Actor) -> tuple[list[FlowRun], str | None]:
    """The newest runs that are as asked, and the cursor of what follows, or None.

    Where no index finds them a page looks at a bounded number of runs; it may then be short, and still have a next one.

    Raises:
        Invalid: A state, an id or a cursor is none.
    """
    exact, rest, hidden = _exact(asked, deployment, by), _rest(asked, by), hidden_deployments(by)
    indexed = dict(list(exact.items())[:1])
    own = FlowRun.objects.filter(workspace_id=by.workspace_id).filter(**indexed, **_made(asked))
    rows = cursors.after(own, by="created_at", cursor=asked.cursor)
    # Not joined: of flows too few to have statistics PostgreSQL would take all the runs, and sort them.
    shown = rows.without(hidden).prefetch_related("flow", "deployment__flow").defer("history")
    rest &= Q(**{name: value for name, value in exact.items() if name not in indexed})
    if rest:
        shown = shown.filter(rest)
    if not rest and not hidden:
        return cursors.newest(shown, by="created_at", cursor="", limit=asked.limit)
    edge = _last_looked_at(rows)
    if edge is not None:
        at, id = edge
        shown = shown.filter(created_at__gte=at).exclude(created_at=at, id__lt=id)
    items, following = cursors.newest(shown, by="created_at", cursor="", limit=asked.limit)
    return items, following or (cursors.write_cursor(*edge) if edge else None)


def chosen(asked: RunsAsked, *, deployment: UUID | None, by: Actor) -> QuerySet[FlowRun]:
    """All runs that are as asked and that the actor may see, in no order, without the bound of a page.

    Raises:
        Invalid: A state or an id is none.
    """
    rows = FlowRun.objects.filter(_rest(asked, by), workspace_id=by.workspace_id, **_exact(asked, deployment, by))
    return rows.filter(**_made(asked)).without(hidden_deployments(by))


def _exact(asked: RunsAsked, deployment: UUID | None, by: Actor) -> dict[str, Any]:
    """What has an index that is in the list's order, or leads to few; the first of these is used."""
    states = asked_states(asked.state)
    found = {
        "id__in": asked_ids(asked.id),
        "idempotency_key": asked.idempotency_key,
        "retry_of": asked.retry_of,
        "parent_id": asked.parent,
        "root_id": asked.root,
        "backfill_id": asked.backfill,
        "deployment_id": deployment,
        "flow_id": _flow(asked.flow, by) if asked.flow else None,
        "state_type": states[0] if len(states) == 1 else None,
    }
    return {name: value for name, value in found.items() if value}


def _flow(name: str, by: Actor) -> UUID:
    found = Flow.objects.filter(workspace_id=by.workspace_id, name=name).values_list("id", flat=True).first()
    return found or UUID(int=0)  # No flow has this id.


def _made(asked: RunsAsked) -> dict[str, Any]:
    bounds = {"created_at__gte": asked.since, "created_at__lt": asked.until}
    return {name: at for name, at in bounds.items() if at is not None}


def _rest(asked: RunsAsked, by: Actor) -> Q:
    """What is looked for run by run."""
    states = asked_states(asked.state)
    found = {
        "state_type__in": states if len(states) > 1 else None,
        "id": None if asked.subflows else F("root_id"),
        "deployment_version": asked.deployment_version,
        "version": asked.version,
        "name__icontains": asked.name,
        "tags__contains": [tag for tag in ",".join(asked.tag).split(",") if tag],
        "origin": asked.origin,
        "created_by": asked.created_by,
        "concurrency_key": asked.concurrency_key,
    }
    for word, column in TIMES.items():
        found[f"{column}__gte"] = getattr(asked, f"{word}_since")
        found[f"{column}__lt"] = getattr(asked, f"{word}_until")
    return Q(**{name: value for name, value in found.items() if value}) & _text(asked.text, by)


def _text(text: str, by: Actor) -> Q:
    flows = Flow.objects.filter(workspace_id=by.workspace_id, name__icontains=text)
    return Q(name__icontains=text) | Q(flow__in=flows.values("id")) if text else Q()


def _last_looked_at(rows: QuerySet[FlowRun]) -> tuple[Any, UUID] | None:
    """The run after which no more are looked at for this page; None: all of them are."""
    places = rows.order_by("-created_at", "-id").values_list("created_at", "id")
    return next(iter(places[LOOKED_AT - 1 : LOOKED_AT]), None)


def asked_states(asked: list[str]) -> list[str]:
    """The state types that a list is asked for, separated by commas.

    Raises:
        Invalid: One is none.
    """
    states = [state for state in dict.fromkeys(",".join(asked).upper().split(",")) if state]
    if unknown := set(states) - set(StateType):
        raise Invalid(f"There is no state {', '.join(sorted(unknown))[:200]}.", fields={"state": "A state type."})
    return states


def asked_ids(asked: list[str]) -> list[UUID]:
    """The runs that are asked for by their ids, separated by commas.

    Raises:
        Invalid: One is none, or there are too many.
    """
    texts = [text for text in ",".join(asked).split(",") if text]
    ids = [id for text in texts[: MAX_IDS + 1] if (id := as_id(text))]
    if len(ids) != len(texts) or len(ids) > MAX_IDS:
        raise Invalid("These are no ids of runs.", fields={"id": f"UUIDs, {MAX_IDS:,} at most."})
    return ids
