"""Events that code tells of. Those of the platform itself are in the histories of the runs."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from orchestrator import clock
from orchestrator.bodies import EventInput
from orchestrator.ids import uuid7
from orchestrator.storable import clean_text, json_value
from orchestrator.testing.memory import paging
from orchestrator.testing.memory.asked import Asked, Refusal
from orchestrator.testing.memory.rows import Event
from orchestrator.testing.memory.shown import micros_of, show_event
from orchestrator.testing.memory.store import Store
from orchestrator.wire import encode, wrong_in_event


def write(store: Store, event: Event) -> None:
    """Keep an event, once."""
    store.events.setdefault(event.id, event)


def page(store: Store, asked: Asked) -> dict[str, Any]:
    """The newest, by name or how names begin, by resource, by run, by time."""
    name, resource = asked.query.get("event", "").removesuffix("*"), asked.query.get("resource", "")
    run = asked.uuid("flow_run")
    since, until = (asked.moment(bound) for bound in ("since", "until"))
    fits: list[Callable[[Event], bool]] = [
        lambda event: event.event.startswith(name),
        lambda event: not resource or event.resource.get("id") == resource,
        lambda event: run is None or event.run == run,
        lambda event: since is None or event.t >= since,
        lambda event: until is None or event.t < until,
    ]
    rows = [event for event in store.events.values() if all(fit(event) for fit in fits)]
    items, cursor = paging.newest(rows, asked, "t")
    return {"items": [show_event(event) for event in items], "next": cursor}


def one(store: Store, asked: Asked) -> dict[str, Any]:
    """One event."""
    found = store.events.get(asked.id)
    if found is None:
        raise Refusal("not_found", "There is no such event here.")
    return show_event(found)


def emit(store: Store, asked: Asked) -> tuple[dict[str, Any], int]:
    """An event that a program tells of outside of any run."""
    told = asked.read(EventInput)
    payload = b"" if told.payload is None else encode(told.payload)
    wrong = wrong_in_event(told.event, told.resource, told.related, payload)
    if told.occurred is not None and (told.occurred.tzinfo is None or not 2000 <= told.occurred.year < 2100):
        wrong["occurred"] = "A time of this century, ISO 8601 with a zone."
    if wrong:
        raise Refusal("invalid", "The event can't be taken; see fields.", wrong)
    at = clock.now() if told.occurred is None else micros_of(told.occurred)
    made = Event(
        id=told.id or uuid7(), run=None, t=at, event=clean_text(told.event), resource=json_value(told.resource),
        related=json_value(told.related), payload=json_value(told.payload),
    )  # fmt: skip
    write(store, made)
    return {"id": made.id}, 201
