"""Assets as pages and the API show them."""

from __future__ import annotations

from typing import Any
from uuid import UUID

from django.db.models import OuterRef, QuerySet, Subquery

from runs.hidden import hidden_deployments
from runs.models import Asset, FlowRun, Materialization
from tenants.errors import NotFound
from tenants.permissions import Actor

PAGE = 50
MOST_NEIGHBOURS = 200


def page(workspace_id: UUID, *, text: str = "", after: str = "", limit: int = PAGE) -> tuple[list[Asset], str]:
    """Assets by key, each with its newest materialization as `last_at`, `last_ok`, `last_run`; and where to go on."""
    last = Materialization.objects.filter(asset=OuterRef("pk"), organization=OuterRef("organization"))
    newest = last.order_by("-at", "-id")
    rows = Asset.objects.filter(workspace_id=workspace_id, key__gt=after).order_by("key")
    if text:
        rows = rows.filter(key__icontains=text)
    rows = rows.annotate(
        last_at=Subquery(newest.values("at")[:1]),
        last_ok=Subquery(newest.values("succeeded")[:1]),
        last_run=Subquery(newest.values("run_id")[:1]),
    )
    found = list(rows[: limit + 1])
    return found[:limit], found[limit - 1].key if len(found) > limit else ""


def find(workspace_id: UUID, id: UUID) -> Asset:
    """One asset.

    Raises:
        NotFound: There is none.
    """
    found = Asset.objects.filter(workspace_id=workspace_id, id=id).first()
    if found is None:
        raise NotFound("There is no such asset here.")
    return found


def upstream(asset: Asset) -> list[Asset]:
    """What it is made of."""
    return list(_own(asset).filter(feeds__downstream=asset).order_by("key")[:MOST_NEIGHBOURS])


def downstream(asset: Asset) -> list[Asset]:
    """What is made of it."""
    return list(_own(asset).filter(made_of__upstream=asset).order_by("key")[:MOST_NEIGHBOURS])


def _own(asset: Asset) -> QuerySet[Asset]:
    return Asset.objects.filter(workspace_id=asset.workspace_id)


def materializations(asset: Asset) -> QuerySet[Materialization]:
    """When it was made, or failed to be."""
    return Materialization.objects.filter(asset=asset, workspace_id=asset.workspace_id)


def with_runs(rows: list[Materialization], by: Actor) -> list[tuple[Materialization, FlowRun | None]]:
    """Each with its run, where that is still there, and to be seen."""
    found = FlowRun.objects.filter(workspace_id=by.workspace_id, id__in={row.run_id for row in rows})
    found = found.without(hidden_deployments(by))
    runs: dict[Any, FlowRun] = {
        run.id: run for run in found.defer("history", "error", "parameters").select_related("flow")
    }
    return [(row, runs.get(row.run_id)) for row in rows]
