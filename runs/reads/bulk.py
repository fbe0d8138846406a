"""Bulk operations as pages show them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from orchestrator.bulk import described
from orchestrator.ids import as_id
from runs.bulk import operations, wording
from runs.hidden import hidden_deployments
from runs.models import BulkOperation, Deployment, FlowRun
from runs.reads.run_filter import RunFilter
from tenants.cursors import newest
from tenants.permissions import Actor

PAGE = 50
SHOWN_OPEN = 10
FIRST = 10  # of the runs that were chosen one by one


@dataclass(frozen=True, slots=True)
class Shown:
    """An operation, and what its deployment is called by now."""

    row: BulkOperation
    deployment: str

    @property
    def words(self) -> wording.Words:
        """What is said of its kind."""
        return wording.KINDS[self.row.kind]

    @property
    def state(self) -> tuple[str, str]:
        """Its state as a type and a name."""
        return wording.state_of(self.row)

    @property
    def conditions(self) -> list[wording.Condition]:
        """Its filter in words."""
        return wording.conditions(self.row.filter, deployment=self.deployment)

    @property
    def query(self) -> str | None:
        """The same filter in the address of the list of runs; None where that can't tell it."""
        found = RunFilter.of_words(self.row.filter, deployment=self.row.deployment_id)
        return found.query() if found else None

    @property
    def not_done(self) -> int:
        """How many runs had changed when their turn came."""
        return sum(self.row.refused.values())

    @property
    def shares(self) -> dict[str, int]:
        """How many are done and not done, by the tone of their part of the bar."""
        return {"ok": self.row.done, "warn": self.not_done}

    @property
    def total(self) -> int:
        """How many there were, or have become since."""
        return max(self.row.count, self.row.done + self.not_done)

    @property
    def reasons(self) -> list[dict[str, Any]]:
        """Why some were not done, the most frequent first."""
        return described(self.row.refused)

    @property
    def left_out(self) -> list[dict[str, Any]]:
        """Why others were left out from the start."""
        return described(self.row.left_out)


def page(by: Actor, *, cursor: str) -> tuple[list[Shown], str]:
    """The newest operations from a cursor on, and where what follows begins."""
    rows, more = newest(operations.seen_by(by), by="created_at", cursor=cursor, limit=PAGE)
    return shown(rows), more or ""


def open_ones(by: Actor) -> list[Shown]:
    """Those that may still do something, of which an organization has few."""
    rows = operations.seen_by(by).filter(state__in=["waiting", "running"])
    return shown(list(rows.order_by("-created_at")[:SHOWN_OPEN]))


def shown(rows: Sequence[BulkOperation]) -> list[Shown]:
    """With the names of their deployments, by one query."""
    ids = {row.deployment_id for row in rows if row.deployment_id}
    known = Deployment.objects.filter(id__in=ids).select_related("flow") if ids else []
    names = {each.id: f"{each.flow.name} / {each.name}" for each in known}
    return [Shown(row, names.get(row.deployment_id, "")) for row in rows]


def first_chosen(operation: BulkOperation, by: Actor) -> list[FlowRun]:
    """The newest of the runs that were chosen one by one, as far as the actor may see them."""
    ids = [id for text in wording.chosen_ids(operation.filter) if (id := as_id(text))]
    if not ids:
        return []
    own = FlowRun.objects.filter(workspace_id=by.workspace_id, id__in=ids).without(hidden_deployments(by))
    return list(own.select_related("flow").defer("history").order_by("-created_at", "-id")[:FIRST])
