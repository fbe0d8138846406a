"""The server's own storage for small values of runs: bytes under a key, never opened here.

Whoever may read a value unpickles it, so it matters who wrote it: the token of a run writes the values of its own run
and of the chain that it replays, and nobody writes over, or reads, what a run made that they may not see.
"""

from __future__ import annotations

import re
from typing import Any
from uuid import UUID

from django.utils.timezone import now

from orchestrator.bodies import wrong_in_result_key
from orchestrator.wire import MAX_STORED
from runs.hidden import find_run, hidden_deployments, of_seen_runs
from runs.models import FlowRun, StoredResult
from runs.partitions import fix_partition, kept_until
from tenants.errors import Conflict, Forbidden, Invalid, NotFound, TooLarge
from tenants.permissions import Actor

_OF_RUN = re.compile(r"runs/([0-9a-f]{8}-(?:[0-9a-f]{4}-){3}[0-9a-f]{12})/.+")


def store(content: bytes, key: str, *, by: Actor) -> bool:
    """Keep the bytes of a value under a key, over what was there; True when the key is new.

    Raises:
        Invalid: This is no key.
        TooLarge: It has more than 512 KiB.
        Forbidden: The key belongs to another run.
        Conflict: A run that the actor may not see has stored under this key.
    """
    if wrong := wrong_in_result_key(key):
        raise Invalid(wrong, fields={"key": wrong})
    if len(content) > MAX_STORED:
        raise TooLarge(
            f"The server keeps values of {MAX_STORED >> 10} KiB at most, and this one has {len(content):,} bytes."
            " Choose a result_storage of your own: a directory, or an address like s3://bucket/results."
        )
    run, named = _owner(key, by), _OF_RUN.fullmatch(key)
    own = StoredResult.objects.filter(workspace_id=by.workspace_id, key=key)
    known = own.count()
    if known and not _seen(key, by).exists():
        raise Conflict("Another run's value has this key. Take another one.")
    place = (run.retention, run.bucket) if run else fix_partition(by.organization_id, now())
    row = StoredResult(
        organization_id=by.organization_id, workspace_id=by.workspace_id, key=key,
        run_id=run.id if run else UUID(named[1]) if named else None,
        size=len(content), content=content, keep_until=kept_until(place),
    )  # fmt: skip
    StoredResult.objects.bulk_create(
        [row], update_conflicts=True, unique_fields=["organization", "workspace", "key"],
        update_fields=["run_id", "size", "content", "created_at", "keep_until"],
    )  # fmt: skip
    return not known


def find(key: str, *, by: Actor) -> StoredResult:
    """A value with its bytes, by one query: in between it might be removed.

    Raises:
        NotFound: There is none, or none for this actor.
    """
    return _first(_seen(key, by))


def size_of(key: str, *, by: Actor) -> int:
    """How many bytes a value has, without reading them.

    Raises:
        NotFound: There is none, or none for this actor.
    """
    return _first(_seen(key, by).defer("content")).size


def remove(key: str, *, by: Actor) -> None:
    """Forget a value.

    Raises:
        NotFound: There is none, or none for this actor.
        Forbidden: The key belongs to another run.
    """
    found = _first(_seen(key, by).defer("content"))
    _owner(key, by)
    found.delete()


def _first(rows: Any) -> StoredResult:
    found = rows.first()
    if found is None:
        raise NotFound("There is no value under this key.")
    return found


def _seen(key: str, by: Actor) -> Any:
    rows = StoredResult.objects.filter(workspace_id=by.workspace_id, key=key)
    return of_seen_runs(rows, hidden_deployments(by))


def _owner(key: str, by: Actor) -> FlowRun | None:
    """The run whose value is stored: the one that asks, or, where a key does, the one that the key of the value names;
    None where there is none yet, as with a run called by hand that has told of nothing so far.
    """
    named = _OF_RUN.fullmatch(key)
    wanted = UUID(named[1]) if named else None
    if by.run_id is not None:
        run = FlowRun.objects.get(id=by.run_id)
        if wanted is not None and wanted not in {run.id, run.replay_root}:
            raise Forbidden("The token of a run stores the values of this run, and of those that it replays.")
        return run
    if wanted is None or not FlowRun.objects.filter(workspace_id=by.workspace_id, id=wanted).exists():
        return None
    return find_run(by, wanted)
