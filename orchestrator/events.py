"""Events: what happened in your world, for people to see and for automations to react to.

Inside a run an event goes into the run's journal, as a log line does. Outside of one it is sent to the API at once.
Where no API is known it is logged, and nothing else.
"""

from __future__ import annotations

import logging
import os
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from functools import cache
from typing import TYPE_CHECKING, Any
from uuid import UUID

from orchestrator import clock
from orchestrator.config import current_api
from orchestrator.context import current_flow_run, current_task_run, in_event_loop
from orchestrator.counterparts import missing
from orchestrator.ids import uuid7
from orchestrator.storable import clean_text, json_value
from orchestrator.wire import encode, wrong_in_event

if TYPE_CHECKING:
    from concurrent.futures import ThreadPoolExecutor
    from threading import Semaphore

    from orchestrator.engine.run import Run

MAX_WAITING = 1_000
"""Events of coroutines outside of runs that may wait to be sent."""
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


@dataclass(frozen=True, slots=True)
class Event:
    """Something that happened. `resource` is what it happened to: labels, of which `id` names it."""

    event: str
    resource: dict[str, str]
    related: list[dict[str, str]] = field(default_factory=list)
    payload: Any = None
    occurred: datetime = field(default_factory=lambda: _moment(clock.now()))
    id: UUID = field(default_factory=uuid7)


def emit_event(
    event: str,
    resource: str | dict[str, str],
    occurred: datetime | None = None,
    related: list[dict[str, str]] | None = None,
    payload: Any = None,
    id: UUID | None = None,
    follows: Event | UUID | None = None,
) -> Event:
    """Tell that something happened.

    Args:
        event: Its name, from the general to the special: `order.paid`. 200 characters at most; names such as
            `flow-run.…` are the platform's own.
        resource: What it happened to: an id like `order.17`, or labels of which `id` is one.
        occurred: When, with a zone; now by default.
        related: Others that had a part in it, as labels with an `id` and a `role`; 50 at most.
        payload: Whatever JSON can hold, 64 KiB at most.
        id: The event's own, if it has one already: told twice, it fires an automation once.
        follows: The event that this one comes after.

    Raises:
        ValueError: Something of it can't be taken; the message says what.
        ApiError: Outside of a run: the API refused, or could not be reached. (In a coroutine outside of a run that is
            logged, since nothing waits for it.)

    >>> from orchestrator import flow
    >>> from orchestrator.events import emit_event
    >>> @flow
    ... def ship(order: int) -> None:
    ...     emit_event("order.shipped", f"order.{order}", payload={"parcels": 2})
    >>> ship(17)
    """
    others = [_labels(each) for each in related or []]
    if follows is not None:
        others.append({"id": f"event.{follows.id if isinstance(follows, Event) else follows}", "role": "follows"})
    made = Event(event, _labels(resource), others, _json(payload), occurred or _moment(clock.now()), id or uuid7())
    if made.occurred.tzinfo is None:
        raise ValueError("occurred has no zone. Give it one: datetime.now(UTC).")
    packed = b"" if payload is None else encode(made.payload)
    if wrong := wrong_in_event(made.event, made.resource, made.related, packed):
        raise ValueError(" ".join(f"{name}: {told}" for name, told in wrong.items()))
    tell(made)
    return made


def tell(event: Event) -> None:
    """Tell of an event that is known to be sound: by the run around this code, or by the API."""
    run = current_task_run() or current_flow_run()
    if run is not None and run.stream is not None:
        _by_journal(run, event)
    elif run is not None:
        run.log.info("The event %s of %s. No API is known, so nobody hears of it.", event.event, event.resource["id"])
    elif current_api() is None:
        _log().info("The event %s of %s. No API is known, so nobody hears of it.", event.event, event.resource["id"])
    else:
        _by_api(event)


def _by_journal(run: Run, event: Event) -> None:
    from orchestrator.journal.records import EventTold

    assert run.stream is not None
    t = (event.occurred - _EPOCH) // timedelta(microseconds=1)
    told = {"id": event.id, "event": event.event, "resource": event.resource, "related": event.related}
    run.stream.put(EventTold(run, **told, payload=event.payload, t=t))


def _by_api(event: Event) -> None:
    if not in_event_loop():
        _post(event)
        return
    sender, places = _sender(os.getpid())
    if not places.acquire(blocking=False):
        _log().error("The event %s of %s is not sent: %d wait already.", event.event, event.resource["id"], MAX_WAITING)
        return
    sender.submit(_post_or_log, event).add_done_callback(lambda _: places.release())


@cache
def _sender(pid: int) -> tuple[ThreadPoolExecutor, Semaphore]:
    """The one thread by which coroutines of this process send, and the places of events that wait for it.

    The process waits for it at its end, and the client for no answer longer than its time-outs.
    """
    from concurrent.futures import ThreadPoolExecutor
    from threading import Semaphore

    return ThreadPoolExecutor(1, thread_name_prefix="orchestrator-events"), Semaphore(MAX_WAITING)


def _post_or_log(event: Event) -> None:
    try:
        _post(event)
    except Exception as error:
        _log().error("The event %s of %s could not be sent: %s", event.event, event.resource["id"], error)


def _post(event: Event) -> None:
    from orchestrator.client import Client
    from orchestrator.masking import mask, mask_json

    body = {
        "id": str(event.id),
        "event": mask(event.event),
        "resource": mask_json(event.resource),
        "related": mask_json(event.related),
        "payload": mask_json(event.payload),
        "occurred": event.occurred.isoformat(),
    }
    with Client() as client:
        client.post("/events", body, again=True)


def _labels(resource: Any) -> dict[str, str]:
    """Labels by our names; those that users of Prefect know are taken, too."""
    if isinstance(resource, str):
        return {"id": clean_text(resource)}
    if not isinstance(resource, dict):
        raise TypeError(
            f'A resource is an id or a dictionary like {{"id": "order.17"}}, not {type(resource).__name__}.'
        )
    return {clean_text(_name(str(name))): clean_text(str(text)) for name, text in resource.items()}


def _name(label: str) -> str:
    return label.removeprefix("prefect.resource.") or label


def _json(payload: Any) -> Any:
    return None if payload is None else json_value(payload)


def _moment(micros: int) -> datetime:
    return _EPOCH + timedelta(microseconds=micros)


def _log() -> logging.Logger:
    from orchestrator.logging import set_up

    set_up()
    return logging.getLogger("orchestrator.events")


__getattr__ = missing(__name__)
