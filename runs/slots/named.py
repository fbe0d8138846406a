"""Limits that code names, as people and programs set them; and slots that somebody takes away."""

from __future__ import annotations

from typing import Any
from uuid import UUID

from django.db import IntegrityError, transaction
from django.db.models import QuerySet
from msgspec import UNSET

from orchestrator.slot_bodies import LimitInput, wrong_of_limit
from orchestrator.storable import clean_text
from runs import live
from runs.models import NamedLimit, Slot
from runs.slots import words
from runs.slots.queue import hand_on, lock
from tenants import audit
from tenants.errors import Conflict, Invalid, NotFound
from tenants.permissions import Actor

MOST = 5_000  # limits of one workspace
SETTINGS = ("slots", "rate", "active")
LIST = "limits"  # what live pages listen for


def find(by: Actor, *, name: str = "", id: UUID | None = None) -> NamedLimit:
    """A limit of the workspace.

    Raises:
        NotFound: There is none.
    """
    wanted = {"name": name} if id is None else {"id": id}
    found = NamedLimit.objects.filter(workspace_id=by.workspace_id, **wanted).first()
    if found is None:
        raise NotFound("There is no such limit in this workspace.")
    return found


def set_limit(*, name: str, told: LimitInput, by: Actor) -> tuple[NamedLimit, bool]:
    """Make a limit, or change what is told of it; say whether it is new. Those who wait go on where they may.

    What is held stays held: a limit that is lowered lets nobody in until enough has come back.

    Raises:
        Invalid: `fields` says what can't be taken.
        Conflict: The workspace has as many as it may have.
    """
    assert by.workspace_id is not None
    name = clean_text(name)
    lock(by.workspace_id, [(Slot.Kind.LIMIT.value, name)])  # Before its row, as everybody does.
    limit = NamedLimit.objects.select_for_update().filter(workspace_id=by.workspace_id, name=name).first()
    if fields := wrong_of_limit(name, told, is_new=limit is None):
        [(field, text), *_] = fields.items()
        raise Invalid(f"{field}: {text}", fields=fields)
    if limit is None:
        return _create(name, told, by), True
    before = {field: getattr(limit, field) for field in SETTINGS}
    changed = {field: value for field, value in _told(told).items() if value != before[field]}
    if changed:
        for field, value in changed.items():
            setattr(limit, field, value)
        if "rate" in changed or "slots" in changed:
            limit.reserved_until = None
        limit.save(update_fields=[*changed, "reserved_until"])
        _note(by, "limit.updated", limit, {"from": {field: before[field] for field in changed}, "to": changed})
    _go_on(limit)
    return limit, False


def _create(name: str, told: LimitInput, by: Actor) -> NamedLimit:
    own = {"organization_id": by.organization_id, "workspace_id": by.workspace_id}
    if NamedLimit.objects.filter(workspace_id=by.workspace_id).count() >= MOST:
        raise Conflict(f"A workspace has {MOST:,} limits at most. Delete one first.")
    try:
        with transaction.atomic():
            limit = NamedLimit.objects.create(**own, name=name, **_told(told))
    except IntegrityError as error:
        raise Conflict("Somebody has just made this limit. Look at it, then change it.") from error
    _note(by, "limit.created", limit, _told(told))
    return limit


def _told(told: LimitInput) -> dict[str, Any]:
    return {field: value for field in SETTINGS if (value := getattr(told, field)) is not UNSET}


def delete(limit: NamedLimit, *, by: Actor) -> None:
    """Delete a limit: who waits goes on, and nothing is limited any more."""
    _lock(limit)
    _note(by, "limit.deleted", limit, {})
    NamedLimit.objects.filter(id=limit.id).delete()
    _go_on(limit)


def reset(limit: NamedLimit, *, by: Actor) -> int:
    """Take all slots of a limit away from their holders, who go on without; those who wait get them."""
    taken = _take_away(limit, list(_held(limit).values_list("ask", flat=True)))
    NamedLimit.objects.filter(id=limit.id).update(reserved_until=None)
    _note(by, "limit.reset", limit, {"slots_taken_away": taken})
    return taken


def take_away(limit: NamedLimit, *, ask: UUID, by: Actor) -> None:
    """Take slots away from one holder, who goes on without.

    Raises:
        NotFound: It holds none.
    """
    found = _held(limit).filter(ask=ask).values("label", "run_id", "occupy").first()
    if found is None:
        raise NotFound("It does not hold a slot of this limit any more.")
    _take_away(limit, [ask])
    told = {"run": str(found["run_id"] or ""), "holder": found["label"], "occupied": found["occupy"]}
    _note(by, "limit.slot_taken_away", limit, told)


def _held(limit: NamedLimit) -> QuerySet[Slot]:
    own = Slot.objects.filter(workspace_id=limit.workspace_id, kind=Slot.Kind.LIMIT, name=limit.name)
    return own.exclude(held_at=None)


_TAKE_AWAY = """
    DELETE FROM slot s USING k
    WHERE s.kind = k.kind AND s.name = k.name AND s.workspace_id = %s AND s.ask = ANY(%s::uuid[])
"""


def _take_away(limit: NamedLimit, asks: list[UUID]) -> int:
    """Delete asks under all of their names, tell their processes, and hand on what they held."""
    own = Slot.objects.filter(workspace_id=limit.workspace_id, ask__in=asks)
    gone = list(own.values_list("session_id", "ask", "kind", "name"))
    keys = {(kind, name) for *_, kind, name in gone} | {(Slot.Kind.LIMIT.value, limit.name)}
    words.tell(limit.workspace_id, lost={(session, ask) for session, ask, *_ in gone})
    hand_on(limit.workspace_id, keys, [(_TAKE_AWAY, [limit.workspace_id, asks])])
    return len({ask for _, ask, *_ in gone})


def _lock(limit: NamedLimit) -> None:
    lock(limit.workspace_id, [(Slot.Kind.LIMIT.value, limit.name)])


def _go_on(limit: NamedLimit) -> None:
    hand_on(limit.workspace_id, [(Slot.Kind.LIMIT.value, limit.name)])


def _note(by: Actor, action: str, limit: NamedLimit, details: dict[str, Any]) -> None:
    audit.record(by, action, limit, details=details)
    live.changed(workspace_id=limit.workspace_id, what=LIST)
