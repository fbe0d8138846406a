"""The door at which processes wait for their slots: `GET /api/v1/slots/wait?session=…&since=…`.

One request waits for all that a process has asked for. Served on the event loop: it reads the log of the process in
Redis (`words.py`), and sleeps until a word says that there is something new.
"""

from __future__ import annotations

import asyncio
import contextlib
import re
from collections import defaultdict
from typing import Any
from uuid import UUID

from channels.db import database_sync_to_async

from runs import long_polls
from runs.announcements import Announcements, announcements
from runs.slots.words import GRANTED, LOST, log_of
from tenants.errors import Invalid

BEGINNING = "0-0"
SINCE = re.compile(r"[0-9]{1,20}-[0-9]{1,20}")

Line = tuple[str, dict[str, str]]


async def wait_app(scope: dict[str, Any], receive: Any, send: Any) -> None:
    """The door as an ASGI application.

    Answers `{"since": …, "granted": [ids], "lost": [ids]}`: where the log ends now, and what it told since `since`.
    """
    await long_polls.serve(scope, send, _answer)


async def _answer(scope: dict[str, Any]) -> dict[str, Any]:
    actor = await database_sync_to_async(long_polls.caller)(scope, "slots.take")
    assert actor.workspace_id is not None
    session, since = _read(long_polls.query_of(scope))
    lines = await listeners().wait(log_of(actor.workspace_id, session), since, long_polls.wait_seconds())
    told: dict[str, Any] = {"since": lines[-1][0] if lines else since}
    for name, field in (("granted", GRANTED), ("lost", LOST)):
        told[name] = [ask for _, fields in lines if field in fields for ask in fields[field].split(",")]
    return told


def _read(query: dict[str, str]) -> tuple[UUID, str]:
    try:
        session = UUID(query.get("session", ""))
    except ValueError as error:
        raise Invalid("session is an id.", fields={"session": "A UUID."}) from error
    since = query.get("since", BEGINNING)
    if not SINCE.fullmatch(since):
        raise Invalid("since is what the last answer said.", fields={"since": f"Like {BEGINNING}."})
    return session, since


class Listeners:
    """Those who wait in this process, by their logs."""

    def __init__(self, heard: Announcements) -> None:
        self.heard = heard
        self.of_log: defaultdict[str, set[asyncio.Event]] = defaultdict(set)
        heard.slots = self.hear

    def hear(self, log: str | None) -> None:
        """There is something new in a log; None: there may be in any."""
        for name in list(self.of_log) if log is None else [log]:
            for event in self.of_log.get(name, ()):
                event.set()

    async def wait(self, log: str, since: str, seconds: float) -> list[Line]:
        """What a log tells since then: at once if there is something, else when a word comes, or nothing in time."""
        self.heard.listen()
        event = asyncio.Event()
        self.of_log[log].add(event)  # Before the log is read: a word may come in while that is under way.
        try:
            if lines := await self._read(log, since):
                return lines
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(event.wait(), seconds)
            return await self._read(log, since)
        finally:
            self.of_log[log].discard(event)
            if not self.of_log[log]:
                del self.of_log[log]

    async def _read(self, log: str, since: str) -> list[Line]:
        return await self.heard.client.xrange(log, f"({since}", "+")


_of_loop: dict[int, Listeners] = {}


def listeners() -> Listeners:
    """The ones of this event loop."""
    heard = announcements()
    known = _of_loop.get(id(heard))
    if known is None or known.heard is not heard:
        known = _of_loop[id(heard)] = Listeners(heard)
    return known
