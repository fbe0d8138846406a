"""Which deployments use blocks: their parameters, or those of a schedule, say `{"$block": "type/name"}`."""

from __future__ import annotations

import json
from collections.abc import Collection, Iterator
from uuid import UUID

from django.db.models import Model, Q, QuerySet, TextField
from django.db.models.functions import Cast

from blocks.references import User, tells_users
from orchestrator.block_data import blocks_in
from runs.hidden import hidden_deployments
from runs.models import Deployment, Schedule
from tenants.permissions import Actor

MAX_READ = 1_000  # deployments that name blocks at all


@tells_users
def deployments_using(workspace_id: UUID, paths: Collection[str], by: Actor | None) -> Iterator[tuple[str, User]]:
    """Each use of these blocks by a deployment."""
    wanted, seen = set(paths), set[tuple[UUID, str]]()
    hidden = hidden_deployments(by) if by else []
    deployments = _naming(Deployment, workspace_id, paths).select_related("flow")
    schedules = _naming(Schedule, workspace_id, paths).select_related("deployment__flow")
    found = [(row, row.parameters) for row in deployments]
    found += [(row.deployment, row.parameters) for row in schedules]
    for deployment, parameters in found:
        for path in wanted & set(blocks_in(parameters).values()):
            if (deployment.id, path) not in seen and deployment.id not in hidden:
                seen.add((deployment.id, path))
                name = f"{deployment.flow.name} / {deployment.name}"
                yield path, User("deployment", name, "deployment", (deployment.id,))


def _naming(model: type[Model], workspace_id: UUID, paths: Collection[str]) -> QuerySet:
    """Rows whose parameters name one of these blocks, or any where many are asked for."""
    wanted = Q()
    for text in (f'"$block": {json.dumps(path)}' for path in paths) if len(paths) < 3 else ('"$block"',):
        wanted |= Q(text__contains=text)
    rows = model.objects.filter(workspace_id=workspace_id).annotate(text=Cast("parameters", TextField()))
    return rows.filter(wanted).order_by("-id")[:MAX_READ]
