"""Limits of tags: a task run with a limited tag waits for a slot before each of its executions.

Which tags are limited is asked once, and again every few seconds while tagged tasks begin; nobody waits for that but
the first one. What is called within a task run that holds a tag's slot shares it: else it would wait for itself.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Generator
from contextlib import suppress
from contextvars import ContextVar
from typing import TYPE_CHECKING, Any

from orchestrator.concurrency.holding import desk_here, lost, named, new_ask, say, take, take_async
from orchestrator.config import Api, current_api
from orchestrator.engine.drivers import Call
from orchestrator.exceptions import OrchestratorError
from orchestrator.slot_bodies import TAG

if TYPE_CHECKING:
    from orchestrator.concurrency.asks import Ask
    from orchestrator.concurrency.desk import Desk
    from orchestrator.engine.drivers import Effect
    from orchestrator.engine.run import Run

FRESH_SECONDS = 10.0
LOOK_SECONDS = 5.0  # that the first tagged task waits for a server at most

_held: ContextVar[frozenset[str]] = ContextVar("held_tags", default=frozenset())


class Held:
    """Slots of tags that one execution of a task run holds."""

    def __init__(self, desk: Desk, ask: Ask) -> None:
        self._desk, self._ask = desk, ask
        self._before = _held.get()
        _held.set(self._before | frozenset(ask.names))

    def give_back(self) -> None:
        """The execution is over."""
        _held.set(self._before)
        self._desk.give_back(self._ask)


def taken(run: Run) -> Generator[Effect, Any, Held | None]:
    """Wait for a slot of each limited tag of a task run, if it has any. A part of its life."""
    if run.definition.kind_of_run != "task" or run.stream is None or (api := current_api()) is None:
        return None
    known = _known_of(api)
    if known.at is None:
        yield Call(known.look)
    elif time.monotonic() - known.at > FRESH_SECONDS:
        known.refresh()
    names = {f"{TAG}{tag}" for tag in run.tags}.intersection(known.names) - _held.get()
    if not names:
        return None
    desk = desk_here(strict=False)
    assert desk is not None
    ask = new_ask(sorted(names), "limit", 1, None)
    ask.on_lost = lambda: say(lost(ask))
    run.await_slot(f"Waits for a slot of {named(ask)}.")
    try:
        yield _Take(desk, ask)
    except BaseException:
        desk.give_back(ask)
        raise
    return Held(desk, ask)


class _Take:
    """Ask for slots, and wait."""

    __slots__ = ("_ask", "_desk")

    def __init__(self, desk: Desk, ask: Ask) -> None:
        self._desk, self._ask = desk, ask

    def run(self) -> None:
        take(self._desk, self._ask)

    async def arun(self) -> None:
        await take_async(self._desk, self._ask)


class _Known:
    """The limits of tags of one API, as they were when somebody last looked."""

    def __init__(self, api: Api) -> None:
        self._api = api
        self._lock = threading.Lock()
        self._looking = False
        self.names: frozenset[str] = frozenset()
        self.at: float | None = None

    def look(self) -> None:
        """Ask the server, unless somebody has just done so. While it is away, what was known counts."""
        with self._lock:
            if self.at is not None and time.monotonic() - self.at <= FRESH_SECONDS:
                return
            with suppress(OrchestratorError, KeyError, TypeError, ValueError):
                self.names = frozenset(self._read())
            self.at = time.monotonic()

    def _read(self) -> list[str]:
        import json
        from urllib.parse import quote

        from orchestrator.journal.transport import Transport

        transport = Transport(self._api, LOOK_SECONDS)
        found: list[str] = []
        cursor: str | None = ""
        try:
            while cursor is not None:
                path = f"/limits?prefix={quote(TAG)}&limit=200&cursor={quote(cursor, safe='')}"
                page = json.loads(transport.request("GET", path))
                found += [each["name"] for each in page["items"]]
                cursor = page["next"]
        finally:
            transport.close()
        return found

    def refresh(self) -> None:
        """Have somebody look; until then what was known counts."""
        if not self._looking:
            self._looking = True
            threading.Thread(target=self._look_once, name="orchestrator-tags", daemon=True).start()

    def _look_once(self) -> None:
        try:
            self.look()
        finally:
            self._looking = False


_known: dict[Api, _Known] = {}


def _known_of(api: Api) -> _Known:
    found = _known.get(api)
    return found if found is not None else _known.setdefault(api, _Known(api))
