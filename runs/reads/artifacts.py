"""Artifacts as pages and the API show them: by run, by key, the newest of each key."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any
from uuid import UUID

from django.db import connection
from django.db.models import Case, F, Func, IntegerField, JSONField, QuerySet, When

from runs.hidden import hidden_deployments, of_seen_runs
from runs.models import Artifact, FlowRun
from runs.reads.markdown import as_html
from tenants.errors import NotFound
from tenants.permissions import Actor

SMALL = 8 << 10  # bytes of data that a list shows whole; larger ones are left where they are
MOST_KEYS = 200


def in_workspace(by: Actor) -> QuerySet[Artifact]:
    """Those of a workspace that the actor may see, without their data."""
    return _seen(by).defer("data")


def _seen(by: Actor) -> QuerySet[Artifact]:
    return of_seen_runs(Artifact.objects.filter(workspace_id=by.workspace_id), hidden_deployments(by))


def find(by: Actor, id: UUID) -> Artifact:
    """One, with its data.

    Raises:
        NotFound: There is none.
    """
    found = _seen(by).filter(id=id).first()
    if found is None:
        raise NotFound("There is no such artifact here.")
    return found


def of_key(by: Actor, key: str) -> QuerySet[Artifact]:
    """The versions of a key.

    Raises:
        NotFound: There are none.
    """
    rows = in_workspace(by).filter(key=key)
    if not key or not rows.exists():
        raise NotFound("There is no artifact of this key here.")
    return rows


def of_run(run: FlowRun) -> QuerySet[Artifact]:
    """Those of a run; small ones with their data, as `shown`."""
    # Its size as it is stored: for that PostgreSQL does not read what lies elsewhere.
    stored = Func(F("data"), function="pg_column_size", output_field=IntegerField())
    whole = Case(When(stored_size__lte=SMALL, then=F("data")), output_field=JSONField())
    rows = Artifact.objects.filter(workspace_id=run.workspace_id, run_id=run.id).defer("data")
    return rows.annotate(stored_size=stored).annotate(shown=whole)


# One look into the index for each key: a workspace may have a million artifacts under a hundred keys. The bounds of
# time are in its order, so that the newest of a key is the first row.
_NEWEST_OF_KEYS = """
    WITH RECURSIVE found AS (
        (SELECT key FROM artifact WHERE organization_id = %(organization)s AND workspace_id = %(workspace)s
            AND key > %(after)s ORDER BY key LIMIT 1)
        UNION ALL
        SELECT (SELECT a.key FROM artifact a WHERE a.organization_id = %(organization)s
            AND a.workspace_id = %(workspace)s AND a.key > found.key ORDER BY a.key LIMIT 1)
        FROM found WHERE found.key IS NOT NULL
    ), keys AS (SELECT key FROM found WHERE key IS NOT NULL LIMIT %(limit)s)
    SELECT keys.key, newest.id FROM keys CROSS JOIN LATERAL (
        SELECT a.id FROM artifact a WHERE a.organization_id = %(organization)s AND a.workspace_id = %(workspace)s
        AND a.key = keys.key ORDER BY a.created_at DESC, a.id DESC LIMIT 1
    ) newest
"""


@dataclass(frozen=True, slots=True)
class KeyPage:
    """The newest artifact of some keys, by key, and after which key the next page begins."""

    items: list[Artifact]
    next: str


def newest_of_keys(by: Actor, *, after: str = "", limit: int = 50) -> KeyPage:
    """The newest artifact of each key, in the order of the keys; keys whose newest one is hidden are left out."""
    asked = {"organization": by.organization_id, "workspace": by.workspace_id, "after": after, "limit": limit + 1}
    with connection.cursor() as cursor:
        cursor.execute(_NEWEST_OF_KEYS, asked)
        rows = sorted(cursor.fetchall())
    seen = in_workspace(by).in_bulk([id for _, id in rows[:limit]])
    items = [seen[id] for _, id in rows[:limit] if id in seen]
    return KeyPage(items, rows[limit - 1][0] if len(rows) > limit else "")


def described(artifact: Artifact) -> str:
    """Its description, which is markdown, as safe HTML."""
    return as_html(artifact.description) if artifact.description else ""


def with_runs(artifacts: list[Artifact], workspace_id: UUID) -> list[tuple[Artifact, FlowRun | None]]:
    """Each with the run that made it, where that is still there."""
    ids = {artifact.run_id for artifact in artifacts}
    rows = FlowRun.objects.filter(workspace_id=workspace_id, id__in=ids).defer("history", "error", "parameters")
    runs: dict[Any, FlowRun] = {run.id: run for run in rows.select_related("flow")}
    return [(artifact, runs.get(artifact.run_id)) for artifact in artifacts]
