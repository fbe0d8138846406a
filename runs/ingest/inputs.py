"""What runs ask of people: rows of `input_request`, and the event that tells of each."""

from __future__ import annotations

from typing import Any
from uuid import UUID

from orchestrator.cleaned import asked_of, expiry_of
from orchestrator.schema import SchemaRefusal, check_schema
from orchestrator.wire import InputRequest, encode
from runs import events, live
from runs.ingest.streams import OpenStream
from runs.inputs import doorbell
from runs.inputs.requests import State
from runs.partitions import Place, kept_until
from runs.statements import raw_cursor, run_together
from runs.transitions import from_micros
from tenants.database import ORGANIZATION

Row = tuple[dict[str, Any], Place]
"""The columns of a request, and where the rows of its run lie."""

# A later attempt comes to the same place again, and waits for the same answer, in the words of its own code; a retry
# asks again for what nobody had answered in time. What was answered stays so: it is noted who has asked again.
_DONE = "(q.state IN ('answered', 'rejected'))"
_OF_NEWEST = (
    "title", "description", "schema", "initial", "quorum", "roles", "teams", "link", "expires_at", "state", "ended_at",
)  # fmt: skip
_WRITE = f"""
    INSERT INTO input_request AS q (
        organization_id, id, workspace_id, run_id, root_id, attempt, key, pause, title, description, schema, initial,
        quorum, roles, teams, link, state, created_at, expires_at, keep_until)
    VALUES ({ORGANIZATION}, %(id)s, %(workspace_id)s, %(run_id)s, %(root_id)s, %(attempt)s, %(key)s, %(pause)s,
        %(title)s, %(description)s, %(schema)s, %(initial)s, %(quorum)s, %(roles)s, %(teams)s, %(link)s, 'waiting',
        %(created_at)s, %(expires_at)s, %(keep_until)s)
    ON CONFLICT (organization_id, root_id, key) DO UPDATE SET
        attempt = excluded.attempt, run_id = excluded.run_id, pause = excluded.pause,
        {", ".join(f"{name} = CASE WHEN {_DONE} THEN q.{name} ELSE excluded.{name} END" for name in _OF_NEWEST)}
    WHERE q.state IN ('expired', 'over') OR q.attempt < excluded.attempt
    RETURNING q.id, q.state
"""


def rows_of(stream: OpenStream, run_id: UUID, entry: InputRequest) -> list[Row]:
    """The request of an entry; none of an attempt that is over, or if it asks for what can't be asked."""
    asked = asked_of(entry)
    if asked is not None and asked["schema"] is not None:
        try:
            check_schema(asked["schema"])
        except SchemaRefusal:
            asked = None
    if asked is None or stream.superseded or stream.part.head.writer != 0:
        stream.reject(entry.seq, "superseded" if stream.superseded else "invalid")
        return []
    root, expires = stream.root, expiry_of(entry.expires)
    asked |= {
        "id": entry.id, "workspace_id": root.workspace_id, "run_id": run_id, "root_id": root.id,
        "attempt": stream.attempt, "created_at": from_micros(stream.at(entry.t)),
        "expires_at": from_micros(stream.at(expires)) if expires is not None else None,
    }  # fmt: skip
    return [(asked, (root.retention, root.bucket))]


def write_requests(rows: list[Row]) -> None:
    """Write requests, and the event of each that is new."""
    cursor = raw_cursor()
    for asked, place in rows:
        packed = {name: _json(asked[name]) for name in ("schema", "initial")}
        cursor.execute(_WRITE, {**asked, **packed, "keep_until": kept_until(place)})  # type: ignore[arg-type]
        found = cursor.fetchone()
        if found is not None and found[1] == State.WAITING:
            _tell({**asked, "id": found[0]}, place)


def _tell(asked: dict[str, Any], place: Place) -> None:
    payload = {name: asked[name] for name in ("key", "title", "quorum")}
    payload |= {"input": str(asked["id"]), "message": asked["description"][: events.MAX_MESSAGE]}
    told = events.of_input(
        "flow-run.waiting", workspace_id=asked["workspace_id"], run_id=asked["run_id"], place=place,
        at=asked["created_at"], payload=payload,
    )  # fmt: skip
    run_together(events.writing([told]))
    live.changed(workspace_id=asked["workspace_id"], what="inputs")
    doorbell.ring([asked["root_id"]])


def _json(value: Any) -> str | None:
    return None if value is None else encode(value).decode()
