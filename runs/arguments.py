"""Which stored arguments of background calls are still needed.

They lie where the server can't reach them: who can asks, and removes the others (`orchestrator/leftovers.py`).
"""

from __future__ import annotations

from collections.abc import Collection
from datetime import UTC, datetime

from django.db.models.fields.json import KeyTextTransform

from orchestrator.states import ALIVE
from orchestrator.wire import MAX_AWAITED
from runs.models import FlowRun
from runs.partitions import is_past
from tenants.errors import Invalid
from tenants.permissions import Actor


def needed(calls: Collection[str], *, by: Actor) -> list[str]:
    """Those of some calls that a run of the workspace was made for whose rows are kept, or that has not ended.

    Whoever asks may not see all of these runs; their arguments are needed all the same.

    Raises:
        Invalid: There are none, or too many.
    """
    if not 0 < len(calls) <= MAX_AWAITED:
        raise Invalid(f"1 to {MAX_AWAITED:,} calls.", fields={"calls": f"1 to {MAX_AWAITED:,}."})
    rows = FlowRun.objects.filter(workspace_id=by.workspace_id, call__has_key="arguments")
    rows = rows.annotate(arguments=KeyTextTransform("arguments", "call")).filter(arguments__in=list(calls))
    today = datetime.now(UTC).date()
    found = rows.values_list("arguments", "state_type", "retention", "bucket")
    return sorted({of for of, state, *place in found if state in ALIVE or not is_past((place[0], place[1]), today)})
