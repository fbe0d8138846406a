"""The door at which processes wait for their slots: `GET /api/v1/slots/wait?session=…&since=…`.

One request waits for all that a process has asked for. Served on the event loop: it reads the log of the process in
Redis (`words.py`), and sleeps until a word says that there is something new.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import random
import re
from collections import defaultdict
from typing import Any
from urllib.parse import parse_qs
from uuid import UUID

from channels.db import database_sync_to_async
from django.db import DatabaseError
from redis.exceptions import RedisError

from runs.announcements import Announcements, announcements
from runs.slots.words import GRANTED, LOST, log_of
from runs.usage.api_calls import calls
from tenants.authentication import actor_of
from tenants.errors import Invalid, Problem, Unauthorized, error_body
from tenants.permissions import require

WAIT_SECONDS = 45.0  # Proxies commonly give up after 60.
SPREAD = 0.1
BEGINNING = "0-0"
SINCE = re.compile(r"[0-9]{1,20}-[0-9]{1,20}")

Line = tuple[str, dict[str, str]]


async def wait_app(scope: dict[str, Any], receive: Any, send: Any) -> None:
    """The door as an ASGI application.

    Answers `{"since": …, "granted": [ids], "lost": [ids]}`: where the log ends now, and what it told since `since`.
    """
    status, body = await _answer(scope)
    head = [(b"content-type", b"application/json"), (b"cache-control", b"no-store")]
    await send({"type": "http.response.start", "status": status, "headers": head})
    await send({"type": "http.response.body", "body": json.dumps(body).encode()})


async def _answer(scope: dict[str, Any]) -> tuple[int, dict[str, Any]]:
    if scope["method"] != "GET":
        return 405, error_body("method_not_allowed", "Ask by GET.")
    secret = dict(scope["headers"]).get(b"authorization", b"").decode("latin-1").partition(" ")[2]
    query = {name: texts[0] for name, texts in parse_qs(scope["query_string"].decode("latin-1")).items()}
    try:
        workspace_id = await database_sync_to_async(_workspace_of)(secret)
        session, since = _read(query)
        return 200, await _wait(log_of(workspace_id, session), since)
    except Problem as problem:
        return problem.status, error_body(problem.code, problem.message, problem.fields)
    except (RedisError, OSError, DatabaseError):
        return 503, error_body("unavailable", "The server is short of a store. Try again in some seconds.")


def _workspace_of(secret: str) -> UUID:
    actor = actor_of(secret)
    if actor is None:
        raise Unauthorized("This key is unknown, expired or revoked.")
    calls.count(actor)
    require(actor, "slots.take")
    assert actor.workspace_id is not None
    return actor.workspace_id


def _read(query: dict[str, str]) -> tuple[UUID, str]:
    try:
        session = UUID(query.get("session", ""))
    except ValueError as error:
        raise Invalid("session is an id.", fields={"session": "A UUID."}) from error
    since = query.get("since", BEGINNING)
    if not SINCE.fullmatch(since):
        raise Invalid("since is what the last answer said.", fields={"since": f"Like {BEGINNING}."})
    return session, since


async def _wait(log: str, since: str) -> dict[str, Any]:
    lines = await listeners().wait(log, since, WAIT_SECONDS * random.uniform(1 - SPREAD, 1))  # noqa: S311
    told: dict[str, Any] = {"since": lines[-1][0] if lines else since}
    for name, field in (("granted", GRANTED), ("lost", LOST)):
        told[name] = [ask for _, fields in lines if field in fields for ask in fields[field].split(",")]
    return told


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
